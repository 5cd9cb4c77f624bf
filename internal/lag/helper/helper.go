package helper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/openfunction/ofn/internal/compile"
	"github.com/openfunction/ofn/internal/lag/externalscaler"
)

// The waits between starts of a program that ends, and between attempts to build it.
const (
	firstStart = 100 * time.Millisecond
	lastStart  = 30 * time.Second
	stableRun  = 10 * time.Second
	nextBuild  = 5 * time.Minute
)

// Options of a helper. Dir is required.
type Options struct {
	Dir  string   // where the program's socket is; made when missing
	Find []string // where a built program may be
	// Compiler builds the program, in Dir, when it is nowhere; nil: nothing does.
	Compiler *compile.Compiler
	Env      []string // "KEY=value"; the program is given what of it concerns proxies and certificates
	Log      *slog.Logger
}

// Helper is the program. Make it with New and end it with Close.
type Helper struct {
	opt Options
	log *slog.Logger

	mu     sync.Mutex
	users  int
	cancel context.CancelFunc // of the life under way; nil: none
	ended  chan struct{}      // closed when that life ended
	closed bool
	state  NotReady // while there is no program
	conn   *grpc.ClientConn
}

// NotReady is why the program cannot be asked yet.
type NotReady struct {
	Reason  string // Building, NotBuilt, Starting
	Message string
}

// Error implements error.
func (n *NotReady) Error() string { return n.Message }

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the helper of scaling triggers is closed")

// New makes a helper that runs nothing until it is used.
func New(o Options) *Helper {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Helper{opt: o, log: o.Log}
}

// Use starts the program unless it runs, and returns what ends this use. The program ends with its last user.
func (h *Helper) Use() (done func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users++
	if h.users == 1 && !h.closed {
		h.begin()
	}
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.users--; h.users == 0 && h.cancel != nil {
			h.cancel()
			h.cancel, h.conn = nil, nil
		}
	})
}

// begin starts a life after the one before. It needs h.mu.
func (h *Helper) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	before, ended := h.ended, make(chan struct{})
	h.cancel, h.ended = cancel, ended
	h.state = NotReady{"Starting", "the helper that asks the sources of scaling triggers is being started"}
	go func() {
		defer close(ended)
		if before != nil {
			<-before
		}
		h.live(ctx)
	}()
}

// Close ends the program and returns when it has ended.
func (h *Helper) Close() {
	h.mu.Lock()
	h.closed = true
	if h.cancel != nil {
		h.cancel()
		h.cancel, h.conn = nil, nil
	}
	ended := h.ended
	h.mu.Unlock()
	if ended != nil {
		<-ended
	}
}

// Client is for one question to the program. The error is a *NotReady while it is being built or cannot be. The program may
// have ended and be started again: use grpc.WaitForReady.
func (h *Helper) Client() (externalscaler.ExternalScalerClient, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, ErrClosed
	case h.conn == nil:
		s := h.state
		return nil, &s
	}
	return externalscaler.NewExternalScalerClient(h.conn), nil
}

// say tells why there is no program.
func (h *Helper) say(reason, message string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = NotReady{reason, message}
}

// socketName begins the name of what is made in Dir for a time. A platform that was killed leaves it there.
const socketName = "socket-"

// tidy removes what a life of the platform that was killed left behind. Dir is this platform's alone.
func (h *Helper) tidy() {
	left, err := filepath.Glob(filepath.Join(h.opt.Dir, socketName+"*"))
	if err != nil {
		return
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			h.log.Warn("removing what an earlier life left", "path", dir, "err", err)
		}
	}
}

// live finds or builds the program, and keeps it running, until ctx ends.
func (h *Helper) live(ctx context.Context) {
	h.tidy()
	program, err := h.program(ctx)
	for err != nil {
		if ctx.Err() != nil {
			return
		}
		h.log.Error("scaling triggers cannot be asked", "err", err, "again_in", nextBuild)
		h.say("NotBuilt", err.Error())
		if !sleep(ctx, nextBuild) {
			return
		}
		program, err = h.program(ctx)
	}
	if err := h.keep(ctx, program); err != nil && ctx.Err() == nil {
		h.say("NotStarted", err.Error())
		h.log.Error("scaling triggers cannot be asked", "err", err)
	}
}

// keep runs the program again and again.
func (h *Helper) keep(ctx context.Context, program string) error {
	dir, err := os.MkdirTemp(h.socketDir(), socketName)
	if err != nil {
		return fmt.Errorf("making a place for a socket: %w", err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	conn, err := connect(socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	h.mu.Lock()
	if ctx.Err() == nil {
		h.conn = conn
	}
	h.mu.Unlock()
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = firstStart, lastStart
	for {
		begun := time.Now()
		err := h.run(ctx, program, socket)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(begun) > stableRun {
			wait.Reset()
		}
		d := wait.NextBackOff()
		h.log.Warn("the helper of scaling triggers ended", "err", err, "again_in", d)
		if !sleep(ctx, d) {
			return ctx.Err()
		}
	}
}

// maxSocket is how long the path of a socket may be, less its last part.
const maxSocket = 70

// socketDir is where the socket is: with the program, unless that path is too long for a socket.
func (h *Helper) socketDir() string {
	if len(h.opt.Dir) > maxSocket || os.MkdirAll(h.opt.Dir, 0o755) != nil {
		return ""
	}
	return h.opt.Dir
}

// connect makes a connection that follows the program through its lives.
func connect(socket string) (*grpc.ClientConn, error) {
	c, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(grpc.ConnectParams{
		Backoff: grpcbackoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}, MinConnectTimeout: time.Second}))
	if err != nil {
		return nil, fmt.Errorf("connecting to the helper: %w", err)
	}
	return c, nil
}

// run is one life of the program.
func (h *Helper) run(ctx context.Context, program, socket string) error {
	cmd := exec.CommandContext(ctx, program, "--socket", socket)
	compile.Attend(cmd)
	said := &lastWords{}
	cmd.Stderr, cmd.WaitDelay = said, 5*time.Second
	cmd.Env = h.environment()
	stdin, err := cmd.StdinPipe() // it ends when this does
	if err != nil {
		return err
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", program, err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	return errors.New("it ended by itself")
}

// environment is that of the program. It is given no more of the platform's than how to reach what it asks.
func (h *Helper) environment() []string {
	out := []string{"HOME=" + h.opt.Dir, "PATH=/usr/bin:/bin", "GOMAXPROCS=2", "GOMEMLIMIT=256MiB"}
	for _, kv := range h.opt.Env {
		switch key, _, _ := strings.Cut(kv, "="); strings.ToUpper(key) {
		case "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR":
			out = append(out, kv)
		}
	}
	return out
}

// lastWords keeps the end of what was written.
type lastWords struct{ b []byte }

const maxWords = 2048

// Write implements io.Writer.
func (l *lastWords) Write(p []byte) (int, error) {
	l.b = append(l.b, p...)
	l.b = l.b[max(0, len(l.b)-maxWords):]
	return len(p), nil
}

// String is what was written last.
func (l *lastWords) String() string { return string(l.b) }

// sleep waits, and is false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
