package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Contract is how calls reach a program of another platform.
type Contract interface {
	// Start makes everything ready for calls. Its error says what the user must do.
	Start(ctx context.Context) error
	// Serve answers what arrives at the listener until ctx ends or the program has ended for good, which is an error. Then it lets running
	// calls end, for the grace at most, and ends the program. It closes the listener.
	Serve(ctx context.Context, l net.Listener, grace time.Duration) error
}

// Run starts a contract and serves it.
func Run(ctx context.Context, e Env, c Contract) error {
	grace, err := e.Grace()
	if err != nil {
		return err
	}
	reaping, stop := context.WithCancel(context.Background())
	reaped := make(chan struct{})
	go func() {
		defer close(reaped)
		Reap(reaping)
	}()
	defer func() {
		stop()
		<-reaped
	}()
	if err := c.Start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // asked to end before it was ready
		}
		return err
	}
	l, err := Listen(e)
	if err != nil {
		return err
	}
	return c.Serve(ctx, l, grace)
}

// Site is the HTTP server of a contract.
type Site struct {
	Handler http.Handler
	Log     *slog.Logger
	// Failed tells that the program has ended for good; nil is never.
	Failed <-chan error
}

// Serve serves until ctx ends or the program has; then calls may end for the grace.
func (s Site) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	var draining atomic.Bool
	server := &http.Server{
		Handler: reserved(&draining, s.Handler), IdleTimeout: 15 * time.Minute, ReadHeaderTimeout: time.Minute, ConnContext: withConn,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug), MaxHeaderBytes: 1 << 20,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(breakables{l}) }()
	var failed error
	select {
	case err := <-served:
		return fmt.Errorf("serving: %w", err)
	case failed = <-s.Failed:
	case <-ctx.Done():
	}
	draining.Store(true)
	ending, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	err := server.Shutdown(ending)
	if err != nil {
		err = errors.Join(fmt.Errorf("calls still ran after the grace of %v and were cut off", grace), server.Close())
	}
	<-served
	return errors.Join(failed, err)
}

// reserved answers the paths that never reach a program.
func reserved(draining *atomic.Bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		probe := len(r.Header["K-Network-Probe"]) > 0 && r.Header.Get("K-Network-Probe") == "queue"
		switch {
		case !probe && !strings.HasPrefix(r.URL.Path, "/_ofn/"):
			next.ServeHTTP(w, r)
		case !probe && r.URL.Path != "/_ofn/health" && r.URL.Path != "/_ofn/ready":
			Answer(w, http.StatusNotFound, "not found")
		case draining.Load():
			Answer(w, http.StatusServiceUnavailable, "draining")
		case probe:
			_, _ = w.Write([]byte("queue")) // the prober went away
		default:
			Answer(w, http.StatusOK, "ok")
		}
	})
}
