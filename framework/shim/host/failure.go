package host

import (
	"crypto/rand"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"strings"
)

// NewLog writes JSON lines of the function's contract: time, level, msg and fields.
func NewLog(w io.Writer, e Env) *slog.Logger {
	level := slog.LevelInfo
	if err := level.UnmarshalText([]byte(e["OFN_LOG_LEVEL"])); err != nil {
		level = slog.LevelInfo
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

// Answer sends a text of the shim's own.
func Answer(w http.ResponseWriter, code int, text string) {
	h := w.Header()
	clear(h)
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	if code == http.StatusServiceUnavailable || code == http.StatusTooManyRequests {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text+"\n") // the client went away: nobody to tell
}

// Failures answers calls that failed and tells the operator why.
type Failures struct {
	Log      *slog.Logger
	Function string
}

// Crash is for a program that ended, or never said what it must.
func (f Failures) Crash(w http.ResponseWriter, r *http.Request, err error) {
	f.fail(w, r, "crash", "function crashed", err)
}

// Error is for a program that said that it failed.
func (f Failures) Error(w http.ResponseWriter, r *http.Request, err error) {
	f.fail(w, r, "error", "function failed", err)
}

// Late logs a failure after the answer has begun.
func (f Failures) Late(r *http.Request, err error) { f.line(r, ID(), "function failed", err) }

func (f Failures) fail(w http.ResponseWriter, r *http.Request, status, msg string, err error) {
	id := ID()
	f.line(r, id, msg, err)
	clear(w.Header())
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("X-OpenFunction-Error-Id", id)
	w.Header().Set("X-OpenFunction-Status", status)
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = io.WriteString(w, "internal error, id "+id+"\n") // the client went away: nobody to tell
}

func (f Failures) line(r *http.Request, id, msg string, err error) {
	f.Log.LogAttrs(r.Context(), slog.LevelError, msg, slog.String("id", id), slog.String("function", f.Function),
		slog.String("request_id", RequestID(r)), slog.String("error", err.Error()), slog.String("method", r.Method), slog.String("path", r.URL.Path))
}

// ID is 16 random hexadecimal digits.
func ID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// RequestID is the id of a call: what the caller says, the trace, or a new one, which then is in the request.
func RequestID(r *http.Request) string {
	id := r.Header.Get("X-Request-Id")
	if id != "" && len(id) <= 128 && !strings.ContainsFunc(id, func(c rune) bool { return c < 0x21 || c > 0x7e }) {
		return id
	}
	if trace := TraceID(r); trace != "" {
		return trace
	}
	id = ID() + ID()
	r.Header.Set("X-Request-Id", id)
	return id
}

// TraceID is the trace id of the header traceparent, "" without a valid one.
func TraceID(r *http.Request) string {
	parts := strings.Split(r.Header.Get("Traceparent"), "-")
	if len(parts) < 4 || len(parts[1]) != 32 || strings.Trim(parts[1], "0123456789abcdef") != "" || strings.Trim(parts[1], "0") == "" {
		return ""
	}
	return parts[1]
}
