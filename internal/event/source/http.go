package source

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/event/cloudevent"
)

// Endpoint is where an HTTP source takes calls.
type Endpoint struct {
	Path     string
	Methods  []string // in capitals; none is POST
	MaxBytes int64    // of a body; 0 is 1 MiB
	// Handle takes one call. ctx ends when the caller has waited long enough: an Emit that fails then is answered by Unsafe.
	Handle func(ctx context.Context, r *http.Request, body []byte) Answer
}

// Answer is what a caller is told.
type Answer struct {
	Code   int
	Header map[string]string
	Body   string
}

// Unsafe answers a call whose event could not be made safe in time. The caller must send it again.
var Unsafe = Answer{Code: http.StatusServiceUnavailable, Header: map[string]string{"Retry-After": "5"}, Body: "the event could not be kept in time: send it again"}

const (
	bodyTime = 30 * time.Second // of sending a body
	callTime = 25 * time.Second // callers give up at about 30 s
	maxCalls = 256              // of one endpoint at once
)

// Run listens at the endpoint until ctx ends and the last call was answered.
func (m *Mux) Run(ctx context.Context, out Out, e Endpoint) error {
	if e.MaxBytes <= 0 {
		e.MaxBytes = 1 << 20
	}
	if len(e.Methods) == 0 {
		e.Methods = []string{http.MethodPost}
	}
	var calls sync.WaitGroup
	slots := make(chan struct{}, maxCalls)
	var mu sync.Mutex // calls begin only before Run waits for them
	open := true
	begin := func() bool {
		mu.Lock()
		defer mu.Unlock()
		if open {
			calls.Add(1)
		}
		return open
	}
	remove, err := m.Handle(e.Path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !begin() {
			Unsafe.write(w)
			return
		}
		defer calls.Done()
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			e.answer(w, r).write(w)
		default:
			Answer{Code: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "1"}, Body: "too many calls at once"}.write(w)
		}
	}))
	if err != nil {
		return err
	}
	out.Connected()
	<-ctx.Done()
	remove()
	mu.Lock()
	open = false
	mu.Unlock()
	calls.Wait()
	return nil
}

func (e Endpoint) answer(w http.ResponseWriter, r *http.Request) Answer {
	if !slices.Contains(e.Methods, r.Method) {
		return Answer{Code: http.StatusMethodNotAllowed, Header: map[string]string{"Allow": strings.Join(e.Methods, ", ")}, Body: "use " + strings.Join(e.Methods, " or ")}
	}
	if r.ContentLength > e.MaxBytes {
		return e.tooLarge()
	}
	body, err := e.body(w, r)
	switch {
	case errors.Is(err, io.ErrShortBuffer):
		return e.tooLarge()
	case err != nil:
		return Answer{Code: http.StatusBadRequest, Body: "the body could not be read"}
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTime)
	defer cancel()
	return e.Handle(ctx, r, body)
}

// body reads the body. Who sends slowly must not hold a place for long, where that can be bounded.
func (e Endpoint) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := http.NewResponseController(w)
	if limit.SetReadDeadline(time.Now().Add(bodyTime)) == nil {
		defer func() { _ = limit.SetReadDeadline(time.Time{}) }() // net/http goes on reading, to see the caller leave
	}
	return cloudevent.ReadLimited(r.Body, e.MaxBytes)
}

func (e Endpoint) tooLarge() Answer {
	return Answer{Code: http.StatusRequestEntityTooLarge, Body: "the body is larger than " + strconv.FormatInt(e.MaxBytes, 10) + " bytes"}
}

func (a Answer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	for name, value := range a.Header {
		w.Header().Set(name, value)
	}
	body := bytes.NewBufferString(a.Body)
	if a.Body != "" && w.Header().Get("Content-Type") == "text/plain; charset=utf-8" {
		body.WriteByte('\n')
	}
	w.WriteHeader(a.Code)
	_, _ = body.WriteTo(w)
}

// Headers are the headers of a request that may say something of a CloudEvent, in lower case.
func Headers(h http.Header) map[string]string {
	out := map[string]string{}
	for name, values := range h {
		name = strings.ToLower(name)
		if len(values) > 0 && (strings.HasPrefix(name, "ce-") || name == "content-type" || name == cloudevent.TraceParent || name == cloudevent.TraceState) {
			out[name] = values[0]
		}
	}
	return out
}
