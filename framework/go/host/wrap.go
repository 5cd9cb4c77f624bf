package host

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	// reserved begins the paths that never reach a function.
	reserved = "/_ofn/"
	// HealthPath answers 200 while the process takes requests and 503 once it drains.
	HealthPath = reserved + "health"
	// ReadyPath does the same: a compiled function is ready as soon as it is well.
	ReadyPath = reserved + "ready"
	// ProbeHeader selects the same answer on any path, with its own value as the body, as Knative's probes expect.
	ProbeHeader = "K-Network-Probe"

	probeValue = "queue"
)

// Wrap adds health answers, deadlines and panic recovery to h. Serve does it already; Wrap is for servers of one's own.
func Wrap(h http.Handler, log *slog.Logger) http.Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return wrap(h, log, new(drain))
}

// drain is what the server and its requests share at the end.
type drain struct {
	begun atomic.Bool
	// hijacked counts handlers that took over their connection, which http.Server.Shutdown does not wait for. It only grows
	// while Shutdown still waits for the handler that hijacks.
	hijacked sync.WaitGroup
}

// wait returns false when handlers of hijacked connections still run when ctx ends.
func (d *drain) wait(ctx context.Context) bool {
	done := make(chan struct{})
	go func() { // outlives wait only when handlers do
		d.hijacked.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

func wrap(h http.Handler, log *slog.Logger, d *drain) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, reserved) || r.Header.Get(ProbeHeader) == probeValue {
			platform(w, r, d.begun.Load())
			return
		}
		r, cancel := accept(r)
		if cancel != nil {
			defer cancel()
		}
		t := &tracker{ResponseWriter: w, drain: d}
		defer func() {
			if t.hijacked {
				d.hijacked.Done()
			}
			if v := recover(); v != nil {
				recovered(t, r, v, log)
			}
		}()
		h.ServeHTTP(t.writer(), r)
	})
}

// platform answers what the platform asks, which never reaches a function.
func platform(w http.ResponseWriter, r *http.Request, draining bool) {
	probe := r.Header.Get(ProbeHeader) == probeValue
	known := probe || r.URL.Path == HealthPath || r.URL.Path == ReadyPath
	switch {
	case !known:
		http.Error(w, "not found", http.StatusNotFound)
	case draining:
		http.Error(w, "draining", http.StatusServiceUnavailable)
	case probe:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte(probeValue)) // a prober that has gone is told nothing
	default:
		http.Error(w, "ok", http.StatusOK)
	}
}

// recovered answers a panic. A response that has begun can only be broken off, so that the client does not take
// it for a whole one.
func recovered(t *tracker, r *http.Request, v any, log *slog.Logger) {
	if v == http.ErrAbortHandler {
		panic(v)
	}
	name := t.function
	if name == "" {
		name = functionOf(r.Context())
	}
	id := Failure{Function: name, Cause: fmt.Sprint(v), Stack: string(debug.Stack())}.Log(log, r)
	if t.wrote {
		panic(http.ErrAbortHandler)
	}
	h := t.Header()
	for k := range h { // what the function meant for its own answer
		delete(h, k)
	}
	if t.function != "" {
		h.Set(FunctionHeader, t.function)
	}
	WriteFailure(t.ResponseWriter, http.StatusInternalServerError, "crash", id)
}
