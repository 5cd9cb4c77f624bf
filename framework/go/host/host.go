// Package host serves plain HTTP functions with nothing but the standard library, so that a cold start costs little more
// than the start of a Go process. The generated main of a function with the signature func(http.ResponseWriter, *http.Request)
// is one line:
//
//	func main() { host.Main(function.HelloWorld) }
//
// It accepts HTTP/1.1 and HTTP/2 cleartext on the socket it inherits in the manner of systemd (LISTEN_FDS=1 and LISTEN_PID its
// own process id: file descriptor 3), otherwise on a TCP port; answers health probes; turns panics into a 500 with an
// id; and on SIGTERM stops accepting and finishes what it has begun.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	// readHeaderTimeout ends connections that never finish their request header.
	readHeaderTimeout = 30 * time.Second
	// idleTimeout is longer than the keep-alive of the usual proxies, so that the proxy closes first and no request
	// is sent into a closing connection.
	idleTimeout = 620 * time.Second
	// DefaultGrace is how long running requests may take to end after SIGTERM when OFN_GRACE says nothing.
	DefaultGrace = 30 * time.Second
	// DefaultPort is listened on when neither a socket is inherited nor a port is named.
	DefaultPort = 8080
	// DefaultMaxBody is how much of a body is read into memory when OFN_MAX_BODY says nothing.
	DefaultMaxBody = 64 << 20
	// DefaultFunction is the name of a function that nobody named.
	DefaultFunction = "function"
)

// Main serves h until the process is told to end (SIGTERM or SIGINT), then drains and exits: 0 after a complete drain, 1 when
// it could not listen or had to cut requests off. A second signal ends the process at once. It never returns.
func Main(h http.HandlerFunc) {
	c, err := FromEnv(os.Getenv)
	if err == nil {
		err = Run(context.Background(), h, c)
	}
	End(c.Log, err)
}

// End ends the process as the contract of functions wants it: exit code 0 without err, otherwise 1 after a line of the log, which is
// JSON on standard error when log is nil.
func End(log *slog.Logger, err error) {
	if err == nil {
		os.Exit(0)
	}
	if log == nil {
		log = slog.New(slog.NewJSONHandler(os.Stderr, nil))
	}
	log.Error("function server ended", "error", err.Error())
	os.Exit(1)
}

// Run is Serve that the signals SIGTERM and SIGINT end too. A second signal ends the process at once.
func Run(ctx context.Context, h http.Handler, c Config) error {
	signals, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, end := context.WithCancel(ctx)
	defer end()
	context.AfterFunc(signals, func() {
		stop() // before the drain begins: from now on a signal has its default effect
		end()
	})
	return Serve(ctx, h, c)
}

// Config is how to serve. The zero value listens on an inherited socket or DefaultPort and is silent.
type Config struct {
	// Listener is served and closed. When nil, Listen(Port) makes one.
	Listener net.Listener
	// Port is the TCP port when no socket is inherited; 0 is DefaultPort.
	Port int
	// Grace bounds the drain; 0 is DefaultGrace.
	Grace time.Duration
	// Log receives panics and server errors; nil drops them.
	Log *slog.Logger
	// Function is the name of the function in the log; empty is DefaultFunction.
	Function string
	// MaxBody is how many bytes of a request may be read into memory for a function; 0 is DefaultMaxBody. Serve does not look at it.
	MaxBody int64
}

// ErrCut means that requests were still running when the grace period was over and were cut off.
var ErrCut = errors.New("requests were cut off at the end of the grace period")

// Serve serves h, wrapped by Wrap, until ctx ends; then it stops accepting, waits for running requests up to c.Grace, and returns nil,
// or ErrCut when some had to be cut off. The context of a request ends when its client goes away or it is cut off,
// not when ctx ends. Any other error means that the listener failed.
func Serve(ctx context.Context, h http.Handler, c Config) error {
	c, err := c.complete()
	if err != nil {
		return err
	}
	var d drain
	srv := newServer(wrap(h, c.Log, &d), c)
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(c.Listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving on %s: %w", c.Listener.Addr(), err)
	case <-ctx.Done():
	}
	d.begun.Store(true)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Grace)
	defer cancel()
	err = srv.Shutdown(grace)
	<-failed
	if err != nil || !d.wait(grace) {
		return errors.Join(ErrCut, srv.Close())
	}
	return nil
}

func (c Config) complete() (Config, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	if c.Function == "" {
		c.Function = DefaultFunction
	}
	if c.Listener != nil {
		return c, nil
	}
	var err error
	c.Listener, err = Listen(c.Port)
	return c, err
}

func newServer(h http.Handler, c Config) *http.Server {
	base := context.WithValue(context.WithValue(context.Background(), logKey{}, c.Log), functionKey{}, c.Function)
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return base },
		Protocols:         new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	return srv
}
