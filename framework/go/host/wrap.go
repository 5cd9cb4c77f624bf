package host

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

const (
	// HealthPath answers 200 while the process takes requests and 503 once it drains. Paths that begin with /_ofn/ are reserved.
	HealthPath = "/_ofn/health"
	// ProbeHeader selects the same answer on any path, with its own value as the body, as Knative's probes expect.
	ProbeHeader = "K-Network-Probe"
	// ErrorIDHeader carries the id under which the cause of a 500 is found in the log.
	ErrorIDHeader = "X-OpenFunction-Error-Id"

	// StatusHeader is "crash" when the function panicked. OpenFunction functions also use "success" and "error".
	StatusHeader = "X-OpenFunction-Status"

	probeValue = "queue"
)

// Wrap adds health answers and panic recovery to h. Serve does it already; Wrap is for servers of one's own.
func Wrap(h http.Handler, log *slog.Logger) http.Handler {
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
		if r.URL.Path == HealthPath || r.Header.Get(ProbeHeader) == probeValue {
			health(w, r, d.begun.Load())
			return
		}
		t := &tracker{ResponseWriter: w, drain: d}
		defer func() {
			if t.hijacked {
				d.hijacked.Done()
			}
			if v := recover(); v != nil {
				recovered(w, r, v, t.wrote, log)
			}
		}()
		h.ServeHTTP(t.writer(), r)
	})
}

func health(w http.ResponseWriter, r *http.Request, draining bool) {
	if draining {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	body := "ok"
	if v := r.Header.Get(ProbeHeader); v != "" {
		body = v
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, body)
}

// recovered answers a panic. A response that has begun can only be broken off, so that the client does not take
// it for a whole one.
func recovered(w http.ResponseWriter, r *http.Request, v any, wrote bool, log *slog.Logger) {
	if v == http.ErrAbortHandler {
		panic(v)
	}
	id := NewErrorID()
	log.Error("function panicked", "id", id, "method", r.Method, "path", r.URL.Path,
		"panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	if wrote {
		panic(http.ErrAbortHandler)
	}
	writeError(w, id)
}

// NewErrorID makes the id that ties a 500 to its log line: 16 hexadecimal digits.
func NewErrorID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// writeError answers 500 with the id and nothing of the cause, which may hold secrets.
func writeError(w http.ResponseWriter, id string) {
	h := w.Header()
	for k := range h { // what the function meant for its own answer
		delete(h, k)
	}
	h.Set(ErrorIDHeader, id)
	h.Set(StatusHeader, "crash")
	http.Error(w, "internal error, id "+id, http.StatusInternalServerError)
}

// tracker knows whether a response has begun and whether its connection was taken over.
type tracker struct {
	http.ResponseWriter
	drain           *drain
	wrote, hijacked bool
}

// writer has the optional interfaces of the writers of net/http: those of HTTP/1 (Flusher, Hijacker, ReaderFrom), or that of
// HTTP/2 (Flusher); http.ResponseController reaches the rest.
func (t *tracker) writer() http.ResponseWriter {
	_, hijacks := t.ResponseWriter.(http.Hijacker)
	_, reads := t.ResponseWriter.(io.ReaderFrom)
	_, flushes := t.ResponseWriter.(http.Flusher)
	switch {
	case hijacks && reads && flushes:
		return &http1Tracker{t}
	case flushes:
		return &flushTracker{t}
	}
	return t
}

// Unwrap serves http.ResponseController.
func (t *tracker) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func (t *tracker) WriteHeader(code int) {
	if code >= 200 || code == http.StatusSwitchingProtocols { // others are informational: the response is still to come
		t.wrote = true
	}
	t.ResponseWriter.WriteHeader(code)
}

func (t *tracker) Write(p []byte) (int, error) {
	t.wrote = true
	return t.ResponseWriter.Write(p)
}

func (t *tracker) WriteString(s string) (int, error) {
	t.wrote = true
	return io.WriteString(t.ResponseWriter, s)
}

type flushTracker struct{ *tracker }

func (t *flushTracker) Flush() {
	t.wrote = true
	t.ResponseWriter.(http.Flusher).Flush()
}

type http1Tracker struct{ *tracker }

func (t *http1Tracker) Flush() {
	t.wrote = true
	t.ResponseWriter.(http.Flusher).Flush()
}

func (t *http1Tracker) ReadFrom(r io.Reader) (int64, error) {
	t.wrote = true
	return t.ResponseWriter.(io.ReaderFrom).ReadFrom(r)
}

func (t *http1Tracker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := t.ResponseWriter.(http.Hijacker).Hijack()
	if err == nil {
		t.wrote, t.hijacked = true, true
		t.drain.hijacked.Add(1)
	}
	return conn, rw, err
}
