package wasm_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/wasm"
	"github.com/openfunction/ofn/internal/instance/drivers/wasm/worker"
)

// host runs workers in this process.
type host struct {
	t   testing.TB
	dir string

	mu      sync.Mutex
	started []instance.Spec
	all     []*hosted
}

func (h *host) Start(_ context.Context, s instance.Spec) (instance.Instance, error) {
	path := filepath.Join(h.dir, s.ID[len(s.ID)-8:])
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	in := &hosted{id: s.ID, path: path, cancel: cancel, done: make(chan struct{})}
	h.mu.Lock()
	h.started = append(h.started, s)
	h.all = append(h.all, in)
	h.mu.Unlock()
	go func() {
		defer close(in.done)
		if err := worker.Serve(ctx, l, worker.Options{TempDir: h.t.TempDir(), Log: slog.New(slog.DiscardHandler)}); err != nil {
			h.t.Errorf("worker: %v", err)
		}
	}()
	return in, nil
}

func (h *host) Clean(context.Context) error { return nil }
func (h *host) Close() error                { return nil }

// workers is how many were started of a kind: "wasm" or "wasmc", which compiles.
func (h *host) workers(kind string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.started {
		if s.ID[:len(kind)+1] == kind+"-" {
			n++
		}
	}
	return n
}

// hosted is one worker.
type hosted struct {
	id, path  string
	cancel    context.CancelFunc
	done      chan struct{}
	requested bool
	mu        sync.Mutex
}

func (i *hosted) ID() string            { return i.id }
func (i *hosted) Done() <-chan struct{} { return i.done }
func (i *hosted) Exit() instance.Exit {
	i.mu.Lock()
	defer i.mu.Unlock()
	return instance.Exit{Code: -1, Signal: "killed", Requested: i.requested}
}
func (i *hosted) Usage() (instance.Usage, error) { return instance.Usage{}, errors.ErrUnsupported }
func (i *hosted) Dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", i.path)
}

func (i *hosted) Stop(time.Duration) {
	i.mu.Lock()
	i.requested = true
	i.mu.Unlock()
	i.cancel()
}

// newDriver makes a driver whose workers are in this process.
func newDriver(t testing.TB, change func(*wasm.Options)) (*wasm.Driver, *host) {
	t.Helper()
	h := &host{t: t, dir: t.TempDir()}
	o := wasm.Options{StateDir: guests.state, Host: h, Program: "/proc/self/exe"}
	if change != nil {
		change(&o)
	}
	d, err := wasm.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("closing the driver: %v", err)
		}
	})
	return d, h
}
