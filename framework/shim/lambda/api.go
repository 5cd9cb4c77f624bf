package lambda

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// api is the runtime API of one program.
func (w *worker) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", w.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", w.response)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", w.failure)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", w.initError)
	return mux
}

func (w *worker) next(out http.ResponseWriter, r *http.Request) {
	inv, ok := w.take(r.Context(), w.ask())
	if !ok {
		panic(http.ErrAbortHandler) // the program ended, or is about to
	}
	h := out.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", w.contract.arn())
	h.Set("Lambda-Runtime-Trace-Id", inv.trace)
	if inv.client != "" {
		h.Set("Lambda-Runtime-Client-Context", inv.client)
	}
	h.Set("Content-Length", strconv.Itoa(len(inv.event)))
	_, _ = out.Write(inv.event) // a program that does not read it ends, or takes too long
}

// reply is what the API says.
func reply(w http.ResponseWriter, code int, members map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(members) // the program went away: it ended
}

func accepted(w http.ResponseWriter) {
	reply(w, http.StatusAccepted, map[string]string{"status": "OK"})
}

func unknown(w http.ResponseWriter) {
	reply(w, http.StatusBadRequest, map[string]string{"errorType": "InvalidRequestID", "errorMessage": "no event with this id waits for an answer"})
}

func (w *worker) response(out http.ResponseWriter, r *http.Request) {
	inv := w.give(r.PathValue("id"))
	if inv == nil {
		unknown(out)
		return
	}
	if r.Header.Get("Lambda-Runtime-Function-Response-Mode") == "streaming" {
		passed := make(chan struct{})
		inv.settle(outcome{stream: r.Body, contentType: r.Header.Get("Content-Type"), trailer: r.Trailer, passed: passed})
		select {
		case <-passed:
		case <-inv.gone: // the caller does not wait any more
		}
		accepted(out)
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(out, r.Body, int64(w.contract.maxBody)))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		inv.settle(outcome{err: fmt.Errorf("the program returned more than %d bytes", large.Limit)})
		reply(out, http.StatusRequestEntityTooLarge, map[string]string{"errorType": "RequestEntityTooLarge", "errorMessage": "the answer is too large"})
		return
	case err != nil:
		inv.settle(outcome{err: fmt.Errorf("reading what the program returned: %w", err)})
		return
	}
	inv.settle(outcome{data: data})
	accepted(out)
}

// functionError is what a program tells of a failure.
type functionError struct {
	Type    string            `json:"errorType"`
	Message string            `json:"errorMessage"`
	Stack   []json.RawMessage `json:"stackTrace"`
	raw     []byte            // as it came
}

// Error is the message with its type.
func (e *functionError) Error() string {
	text := e.Message
	if text == "" {
		text = strings.TrimSpace(string(e.raw))
	}
	if e.Type != "" {
		text = e.Type + ": " + text
	}
	for _, frame := range e.Stack {
		text += "\n\t" + string(frame)
	}
	return text
}

func (w *worker) readError(out http.ResponseWriter, r *http.Request) *functionError {
	e := &functionError{}
	e.raw, _ = io.ReadAll(http.MaxBytesReader(out, r.Body, 1<<20)) // half of it says more than nothing
	_ = json.Unmarshal(e.raw, e)                                   // then its text is all there is
	if e.Type == "" {
		e.Type = r.Header.Get("Lambda-Runtime-Function-Error-Type")
	}
	return e
}

func (w *worker) failure(out http.ResponseWriter, r *http.Request) {
	inv := w.give(r.PathValue("id"))
	if inv == nil {
		unknown(out)
		return
	}
	inv.settle(outcome{err: w.readError(out, r)})
	accepted(out)
}

func (w *worker) initError(out http.ResponseWriter, r *http.Request) {
	e := w.readError(out, r)
	w.mu.Lock()
	w.unable, w.polled = e.Error(), false
	w.mu.Unlock()
	accepted(out)
}
