package host

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
)

const (
	// ErrorIDHeader carries the id under which the cause of a 500 is found in the log.
	ErrorIDHeader = "X-OpenFunction-Error-Id"
	// StatusHeader is "crash" when the function panicked and "error" when it returned an error. OpenFunction functions also use "success".
	StatusHeader = "X-OpenFunction-Status"
	// FunctionHeader names the function that answered, where a process serves several.
	FunctionHeader = "X-OpenFunction-Function"
)

// Failure is a call that failed.
type Failure struct {
	// Function is the name of what was called.
	Function string
	Cause    string
	// Stack is where a panic came from; empty for a returned error.
	Stack string
}

// Log writes the failure's line, with more at its end, and returns the id that ties it to the answer. r is nil when the call was
// no request.
func (f Failure) Log(log *slog.Logger, r *http.Request, more ...any) (id string) {
	id = NewErrorID()
	msg := "function failed"
	args := []any{"id", id, "function", f.Function}
	if r != nil {
		args = append(args, "request_id", RequestID(r))
		if trace := traceID(r.Header.Get("Traceparent")); trace != "" {
			args = append(args, "trace_id", trace)
		}
		args = append(args, "method", r.Method, "path", r.URL.Path)
	}
	args = append(append(args, more...), "error", f.Cause)
	if f.Stack != "" {
		msg = "function crashed"
		args = append(args, "stack", f.Stack)
	}
	log.Error(msg, args...)
	return id
}

// NewErrorID makes the id that ties a 500 to its log line: 16 hexadecimal digits.
func NewErrorID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// WriteFailure answers with a code, usually 500, the id and nothing of the cause, which may hold secrets. kind is the value of
// StatusHeader.
func WriteFailure(w http.ResponseWriter, code int, kind, id string) {
	w.Header().Set(ErrorIDHeader, id)
	w.Header().Set(StatusHeader, kind)
	http.Error(w, "internal error, id "+id, code)
}
