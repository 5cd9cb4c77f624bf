// Package worker is the process in which WebAssembly functions of one namespace run. It has one listener, no files of the host and no
// configuration: the driver tells it everything.
package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/instance/drivers/wasm/guest"
	"github.com/openfunction/ofn/internal/instance/drivers/wasm/wire"
)

const (
	// helloTimeout bounds how long a new connection may take to say whom it is for.
	helloTimeout = 5 * time.Second
	// idleTimeout is how long a connection of the gateway may rest.
	idleTimeout = 10 * time.Minute
	// tidyEvery is how often instances that were of no use are given back.
	tidyEvery = 15 * time.Second
)

// Options make a worker.
type Options struct {
	// TempDir takes compiled modules on their way and the files of copies.
	TempDir string
	// Log receives what no copy's log should.
	Log *slog.Logger
}

// Serve works until ctx ends or the listener fails.
func Serve(ctx context.Context, l net.Listener, o Options) error {
	w, err := newWorker(ctx, o)
	if err != nil {
		return err
	}
	err = w.serve(ctx, l)
	return errors.Join(err, w.close())
}

type worker struct {
	opt     Options
	log     *slog.Logger
	cache   string
	runtime *guest.Runtime
	control *http.Server
	calls   *http.Server
	toOwn   *handover // connections of the driver
	toCopy  *handover // those to copies that we speak HTTP for
	running sync.WaitGroup

	mu      sync.Mutex
	closing bool
	modules map[string]*module
	copies  map[string]*copyOf
}

func newWorker(ctx context.Context, o Options) (*worker, error) {
	w := &worker{opt: o, log: o.Log, cache: filepath.Join(o.TempDir, "cache"), modules: map[string]*module{}, copies: map[string]*copyOf{},
		toOwn: newHandover(), toCopy: newHandover()}
	if err := os.MkdirAll(w.cache, 0o700); err != nil {
		return nil, fmt.Errorf("preparing the worker: %w", err)
	}
	var err error
	if w.runtime, err = guest.NewRuntime(context.WithoutCancel(ctx), guest.Options{CacheDir: w.cache, CompileWorkers: 2}); err != nil {
		return nil, err
	}
	w.control = &http.Server{Handler: w.awaited(w.routes()), ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn), ReadHeaderTimeout: helloTimeout}
	w.calls = &http.Server{
		Handler: http.HandlerFunc(call), IdleTimeout: idleTimeout, MaxHeaderBytes: 1 << 20, // only the gateway asks, and sends heads whole
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ConnState: func(c net.Conn, s http.ConnState) { c.(*copyConn).state(s) },
	}
	return w, nil
}

// awaited makes close wait for requests of the driver: the server does not.
func (w *worker) awaited(h http.Handler) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		closing := w.closing
		if !closing {
			w.running.Add(1)
		}
		w.mu.Unlock()
		if closing {
			panic(http.ErrAbortHandler)
		}
		defer w.running.Done()
		h.ServeHTTP(out, r)
	})
}

// serve accepts connections.
func (w *worker) serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	w.running.Go(func() { _ = w.control.Serve(w.toOwn) })
	w.running.Go(func() { _ = w.calls.Serve(w.toCopy) })
	living, done := context.WithCancel(ctx) // of copies as well
	defer done()
	w.running.Go(func() { w.tidy(living) })
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accepting connections: %w", err)
		}
		w.running.Go(func() { w.greet(living, c) })
	}
}

// greet finds out what a connection is for and hands it over.
func (w *worker) greet(ctx context.Context, c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(helloTimeout))
	var from io.Reader = c
	var with wire.Receiver
	if u, ok := c.(*net.UnixConn); ok {
		with.UnixConn = u
		from = &with
	}
	id, purpose, err := wire.ReadHello(from)
	if err == nil && purpose == wire.Live {
		w.live(ctx, c, with.Passed)
		return
	}
	if with.Passed != nil {
		_ = with.Passed.Close()
	}
	if err != nil || !w.handOver(c, id, purpose == wire.Ask) {
		_ = c.Close()
	}
}

// handOver gives a connection to whom it is for; false when nobody takes it.
func (w *worker) handOver(c net.Conn, id string, answer bool) bool {
	if id == wire.Control {
		return greeted(c, answer) == nil && w.toOwn.give(c)
	}
	w.mu.Lock()
	to := w.copies[id]
	w.mu.Unlock()
	if to != nil && to.connect(c, answer) {
		return true
	}
	if answer {
		_ = wire.Answer(c, false)
	}
	return false
}

// greeted ends the greeting of a connection that is taken.
func greeted(c net.Conn, answer bool) error {
	if answer {
		if err := wire.Answer(c, true); err != nil {
			return err
		}
	}
	return c.SetDeadline(time.Time{})
}

// close ends everything that runs.
func (w *worker) close() error {
	w.toOwn.Close()
	w.toCopy.Close()
	_ = w.control.Close()
	_ = w.calls.Close()
	w.mu.Lock()
	w.closing = true
	w.mu.Unlock()
	w.running.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, m := range w.modules {
		errs = append(errs, m.program.Close(context.Background()))
	}
	return errors.Join(append(errs, w.runtime.Close(context.Background()))...)
}

// tidy gives back what rests, now and then.
func (w *worker) tidy(ctx context.Context) {
	t := time.NewTicker(tidyEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		w.mu.Lock()
		for _, c := range w.copies {
			c.tidy()
		}
		w.mu.Unlock()
	}
}

// handover is a listener whose connections were accepted elsewhere.
type handover struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// give is false when nobody takes connections any more.
func (h *handover) give(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.closed:
		return false
	}
}

// Accept implements net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *handover) Addr() net.Addr { return &net.UnixAddr{Name: "worker", Net: "unix"} }
