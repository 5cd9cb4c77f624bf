package host

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// RequestIDHeader carries the id of the request that log lines show.
	RequestIDHeader = "X-Request-Id"
	// TimeoutHeader says how many milliseconds the caller waits from now on.
	TimeoutHeader = "X-OpenFunction-Timeout-Ms"

	longestRequestID = 128
	// longestTimeout is the most digits of a timeout: 31 years.
	longestTimeout = 12
)

// accept gives the request its deadline, and an id when nobody named one. cancel is nil when there is nothing to give back.
func accept(r *http.Request) (_ *http.Request, cancel context.CancelFunc) {
	if !validRequestID(r.Header.Get(RequestIDHeader)) && traceID(r.Header.Get("Traceparent")) == "" {
		r.Header[RequestIDHeader] = []string{newRequestID()}
	}
	timeout := r.Header.Get(TimeoutHeader)
	if timeout == "" {
		return r, nil
	}
	ms, err := strconv.ParseUint(timeout, 10, 63)
	if err != nil || ms == 0 || len(timeout) > longestTimeout || strings.HasPrefix(timeout, "+") {
		return r, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(ms)*time.Millisecond)
	return r.WithContext(ctx), cancel
}

// RequestID is the id of a request: that of its header, of its trace, or a random one.
func RequestID(r *http.Request) string {
	if id := r.Header.Get(RequestIDHeader); validRequestID(id) {
		return id
	}
	if id := traceID(r.Header.Get("Traceparent")); id != "" {
		return id
	}
	return newRequestID()
}

func newRequestID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

func validRequestID(id string) bool {
	if id == "" || len(id) > longestRequestID {
		return false
	}
	for i := range len(id) {
		if id[i] < 0x21 || id[i] > 0x7E {
			return false
		}
	}
	return true
}

// traceID is the trace of a valid W3C traceparent, otherwise empty.
func traceID(v string) string {
	const zeros = "00000000000000000000000000000000"
	if len(v) < 55 || v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return ""
	}
	if len(v) > 55 && (v[55] != '-' || v[:2] == "00") {
		return ""
	}
	version, trace, span, flags := v[:2], v[3:35], v[36:52], v[53:55]
	if !isHex(version) || !isHex(trace) || !isHex(span) || !isHex(flags) {
		return ""
	}
	if version == "ff" || trace == zeros || span == zeros[:16] {
		return ""
	}
	return trace
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

type (
	logKey      struct{}
	functionKey struct{}
	requestKey  struct{}
)

// Serving says that the function of this name answers: in a header of the answer, in the log, and in the context of the request that it
// returns. It is for processes that serve several functions; w is what Wrap or Serve gave to the handler.
func Serving(w http.ResponseWriter, r *http.Request, function string) *http.Request {
	w.Header().Set(FunctionHeader, function)
	if t, ok := w.(interface{ serving(string) }); ok {
		t.serving(function)
	}
	return r.WithContext(context.WithValue(r.Context(), functionKey{}, function))
}

// functionOf is the name of the function that serves the call.
func functionOf(ctx context.Context) string {
	if name, ok := ctx.Value(functionKey{}).(string); ok {
		return name
	}
	return DefaultFunction
}

// Logger is the log of a call: its lines name the function, the request and the trace. It needs a request that Serve served.
func Logger(r *http.Request) *slog.Logger {
	log, ok := r.Context().Value(logKey{}).(*slog.Logger)
	if !ok {
		log = slog.Default()
	}
	args := []any{"function", functionOf(r.Context()), "request_id", RequestID(r)}
	if trace := traceID(r.Header.Get("Traceparent")); trace != "" {
		args = append(args, "trace_id", trace)
	}
	return log.With(args...)
}

// WithRequest lets ContextLogger know the request of a call.
func WithRequest(ctx context.Context, r *http.Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// ContextLogger is Logger for functions that see only the context of their call: cloudevent, openfunction and typed ones.
func ContextLogger(ctx context.Context) *slog.Logger {
	if r, ok := ctx.Value(requestKey{}).(*http.Request); ok {
		return Logger(r)
	}
	log, ok := ctx.Value(logKey{}).(*slog.Logger)
	if !ok {
		log = slog.Default()
	}
	return traced(ctx, log.With("function", functionOf(ctx)))
}
