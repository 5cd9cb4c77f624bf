package lambda

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/openfunction/ofn/framework/shim/host"
)

// invocation is one event on its way.
type invocation struct {
	id, trace, client string
	event             []byte
	deadline          time.Time
	worker            atomic.Pointer[worker] // that took it
	done              chan outcome
	gone              chan struct{} // closed when nobody waits for it any more
}

// settle hands over what became of it; only the first counts.
func (i *invocation) settle(o outcome) {
	select {
	case i.done <- o:
	default:
	}
}

// outcome is data, a stream or an error.
type outcome struct {
	data        []byte
	stream      io.Reader
	contentType string
	trailer     http.Header
	passed      chan struct{} // to be closed when the stream has been read
	err         error
}

// errTimeout is an event that was not answered in time.
var errTimeout = errors.New("the function did not answer in time")

// ServeHTTP makes an event of a call and answers with what the program returns.
func (c *Contract) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := c.body(w, r)
	if !ok {
		return
	}
	inv := c.invocation(r)
	direct := strings.HasPrefix(r.URL.Path, "/2015-03-31/functions/") && strings.HasSuffix(r.URL.Path, "/invocations") && r.Method == http.MethodPost
	inv.event = body
	switch {
	case direct || c.raw:
		if len(bytes.TrimSpace(body)) == 0 {
			inv.event = []byte("{}")
		}
		if !json.Valid(inv.event) {
			host.Answer(w, http.StatusBadRequest, "the event is not JSON")
			return
		}
	default:
		var err error
		if inv.event, err = newEvent(r, body, inv.id, time.Now()); err != nil {
			c.failures.Crash(w, r, err)
			return
		}
	}
	if direct {
		c.invoke(w, r, inv)
		return
	}
	c.call(w, r, inv)
}

func (c *Contract) body(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(c.maxBody)))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		host.Answer(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the request body is larger than %d bytes", large.Limit))
	}
	return data, err == nil
}

// invocation is an event without its content.
func (c *Contract) invocation(r *http.Request) *invocation {
	limit := c.limit
	if ms, err := strconv.ParseInt(r.Header.Get("X-OpenFunction-Timeout-Ms"), 10, 44); err == nil && ms > 0 {
		limit = min(limit, time.Duration(ms)*time.Millisecond)
	}
	inv := &invocation{id: uuid(), trace: trace(r), deadline: time.Now().Add(limit), done: make(chan outcome, 1), gone: make(chan struct{})}
	if client, err := base64.StdEncoding.DecodeString(r.Header.Get("X-Amz-Client-Context")); err == nil {
		inv.client = string(client)
	}
	return inv
}

// run waits for the outcome of an event. A program that is beyond its time is killed and started again.
func (c *Contract) run(ctx context.Context, inv *invocation) outcome {
	late := time.NewTimer(time.Until(inv.deadline))
	defer late.Stop()
	select {
	case c.events <- inv:
	case <-late.C:
		return outcome{err: errTimeout}
	case <-ctx.Done():
		return outcome{err: ctx.Err()}
	}
	select {
	case o := <-inv.done:
		return o
	case <-late.C:
		select {
		case o := <-inv.done: // it was in time after all, and the program may have another one
			return o
		default:
		}
		if w := inv.worker.Load(); w != nil {
			w.restart()
		}
		return outcome{err: errTimeout}
	case <-ctx.Done(): // the program goes on, as at AWS; nobody hears of it
		return outcome{err: ctx.Err()}
	}
}

// call answers over HTTP.
func (c *Contract) call(w http.ResponseWriter, r *http.Request, inv *invocation) {
	defer close(inv.gone)
	o := c.run(r.Context(), inv)
	var said *functionError
	var err error
	switch {
	case r.Context().Err() != nil:
		return
	case errors.Is(o.err, errTimeout):
		c.failures.Late(r, o.err)
		host.Answer(w, http.StatusGatewayTimeout, "the function ran too long")
		return
	case errors.As(o.err, &said):
		c.failures.Error(w, r, o.err)
		return
	case o.err != nil:
		c.failures.Crash(w, r, o.err)
		return
	case o.stream != nil:
		c.stream(w, r, o)
		return
	case c.raw:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(o.data) // the caller went away
		return
	default:
		err = writeReply(w, o.data)
	}
	if err != nil {
		c.failures.Crash(w, r, err)
	}
}

func (c *Contract) stream(w http.ResponseWriter, r *http.Request, o outcome) {
	defer close(o.passed)
	begun, err := writeStream(w, o.contentType, o.stream)
	if problem := o.trailer.Get("Lambda-Runtime-Function-Error-Type"); err == nil && problem != "" {
		err = fmt.Errorf("the program broke its answer off: %s", problem)
	}
	switch {
	case err == nil || r.Context().Err() != nil:
	case begun:
		c.failures.Late(r, err)
		panic(http.ErrAbortHandler)
	default:
		c.failures.Crash(w, r, err)
	}
}

// invoke answers in the way of the API of AWS.
func (c *Contract) invoke(w http.ResponseWriter, r *http.Request, inv *invocation) {
	defer close(inv.gone)
	h := w.Header()
	h.Set("X-Amzn-Requestid", inv.id)
	h.Set("X-Amz-Executed-Version", "$LATEST")
	o := c.run(r.Context(), inv)
	if o.stream != nil {
		var err error
		o.data, err = io.ReadAll(io.LimitReader(o.stream, int64(c.maxBody)))
		o.err = err
		close(o.passed)
	}
	h.Set("Content-Type", "application/json")
	if o.err != nil {
		h.Set("X-Amz-Function-Error", "Unhandled")
		c.failures.Late(r, o.err)
		o.data = errorData(inv, o.err)
	}
	_, _ = w.Write(o.data) // the caller went away
}

// errorData is the error as the caller of AWS's API sees it.
func errorData(inv *invocation, err error) []byte {
	var said *functionError
	if errors.As(err, &said) && json.Valid(said.raw) {
		return said.raw
	}
	data, _ := json.Marshal(map[string]string{"errorType": "Runtime.ExitError", "errorMessage": "RequestId: " + inv.id + " Error: " + err.Error()}) // strings always can
	return data
}

// uuid is a random one, version 4.
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// trace is the header of X-Ray, made of the trace of the call where it has one.
func trace(r *http.Request) string {
	if t := r.Header.Get("X-Amzn-Trace-Id"); t != "" {
		return t
	}
	id, span, sampled := host.TraceID(r), host.ID(), "0"
	if id == "" {
		id = fmt.Sprintf("%08x%s%s", time.Now().Unix(), host.ID(), host.ID()[:8])
	} else if parts := strings.Split(r.Header.Get("Traceparent"), "-"); len(parts[2]) == 16 {
		span = parts[2]
		if strings.HasSuffix(parts[3], "1") {
			sampled = "1"
		}
	}
	return "Root=1-" + id[:8] + "-" + id[8:] + ";Parent=" + span + ";Sampled=" + sampled
}
