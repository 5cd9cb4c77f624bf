package calls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// maxInterrupted is how often the end of the platform may cut a call off before it is given up: it may be the cause.
const maxInterrupted = 5

// answer is what an attempt came to.
type answer struct {
	status    int // 0 when there is none
	header    http.Header
	body      []byte
	truncated bool
	after     time.Duration // that it asks to wait
}

// attempt runs a call once. It returns when what came of it is on disk.
func (c *Calls) attempt(ctx context.Context, e *entry) change {
	r, req, err := c.load(e)
	if other := c.unseen(e, err); other.record != nil {
		return other
	}
	if errors.Is(err, ErrNotFound) && r != nil {
		r.end(c.o.Clock.Now(), DeadLettered, "its request is no longer on disk")
		return c.persisted(r, nil)
	}
	if err != nil {
		c.o.Log.Error("a call cannot be read and is tried again", "call", e.id, "err", err)
		return change{again: c.o.Clock.Now().Add(5 * time.Second)}
	}
	now := c.o.Clock.Now()
	if r.State == Running {
		r.interrupted(now)
	}
	switch {
	case errors.Is(context.Cause(ctx), errCancelled):
		r.end(now, Cancelled, "cancelled")
		return c.persisted(r, nil)
	case r.expired(now):
		r.end(now, DeadLettered, fmt.Sprintf("it was not begun within its maximum age of %s", time.Duration(r.MaxAge)))
		return c.persisted(r, nil)
	case r.Interrupted > maxInterrupted:
		r.end(now, DeadLettered, fmt.Sprintf("the platform ended %d times while it ran", r.Interrupted))
		return c.persisted(r, nil)
	}
	r.begin(now)
	begun := c.persisted(r, nil)
	if begun.record == nil {
		return begun
	}
	c.mu.Lock()
	c.take(e, begun)
	c.mu.Unlock()
	a, err := c.call(ctx, r, req)
	c.conclude(ctx, r, a, err)
	if !r.State.Ended() {
		return c.persisted(r, nil)
	}
	return c.persisted(r, frame(a.header, a.body))
}

// persisted is persist whose failure, at the end of the platform, changes nothing.
func (c *Calls) persisted(r *record, payload []byte) change {
	n, err := c.persist(r, payload)
	if err != nil {
		return change{again: c.o.Clock.Now()}
	}
	return n
}

// load reads the newest record of a call and its request.
func (c *Calls) load(e *entry) (*record, *message, error) {
	c.mu.Lock()
	requestSeq, recordSeq := e.requestSeq, e.recordSeq
	c.mu.Unlock()
	var newest *record
	if recordSeq != 0 {
		m, err := c.journal.record(c.writes, recordSeq)
		if err != nil {
			return nil, nil, err
		}
		newest = m.record
	}
	req, err := c.journal.request(c.writes, requestSeq)
	if err == nil && newest == nil {
		newest = req.record
	}
	return newest, req, err
}

// unseen is the record that took the place of the one that e has and that was not found: a change whose answer was lost, of which was
// said that it cannot be kept. It is on disk, and counts.
func (c *Calls) unseen(e *entry, err error) change {
	if !errors.Is(err, ErrNotFound) {
		return change{}
	}
	m, err := c.journal.newest(c.writes, e.id)
	if err != nil {
		return change{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.at.seq <= e.recordSeq {
		return change{}
	}
	return change{record: m.record, seq: m.at.seq, size: m.at.size}
}

// call sends the request to the gateway and reads the answer.
func (c *Calls) call(ctx context.Context, r *record, req *message) (answer, error) {
	deadline := time.Duration(r.Deadline)
	if deadline == 0 {
		deadline = c.o.AttemptTimeout
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := c.o.Clock.AfterFunc(deadline, func() { cancel(errDeadline) })
	defer stop()
	out, err := newHTTP(ctx, r.Method, r.Host, r.Path, req.body)
	if err != nil {
		return answer{}, err
	}
	out.Header = req.header.Clone()
	if out.Header == nil {
		out.Header = http.Header{}
	}
	out.Header.Set(HeaderID, r.ID)
	out.Header.Set(HeaderAttempt, strconv.Itoa(r.Count))
	out.Header.Set(HeaderTimeout, strconv.FormatInt(max(deadline.Milliseconds(), 1), 10))
	begun := c.o.Clock.Now()
	a, err := c.exchange(out)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	c.o.Metrics.Attempt(r.Function, a.status, c.o.Clock.Now().Sub(begun))
	return a, err
}

// newHTTP is a request to the gateway for a host.
func newHTTP(ctx context.Context, method, host, path string, body []byte) (*http.Request, error) {
	u, err := url.Parse("http://" + host + path)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	out, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	if len(body) == 0 {
		out.Body, out.ContentLength = http.NoBody, 0
	}
	return out, nil
}

// maxResultHeader bounds the header that is kept of a result.
const maxResultHeader = 16 << 10

// maxResultType bounds its Content-Type, which is in the record as well.
const maxResultType = 512

// exchange sends a request. An answer that breaks off is no answer.
func (c *Calls) exchange(out *http.Request) (answer, error) {
	resp, err := c.o.Transport.RoundTrip(out)
	if err != nil {
		return answer{}, fmt.Errorf("calling the function: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(c.o.MaxResult)+1))
	if err != nil {
		return answer{}, fmt.Errorf("reading the answer: %w", err)
	}
	a := answer{status: resp.StatusCode, header: kept(resp.Header), body: body, after: retryAfter(resp.Header, c.o.Clock.Now())}
	if len(body) > c.o.MaxResult {
		a.body, a.truncated = body[:c.o.MaxResult], true
	}
	if len(a.header.Get("Content-Type")) > maxResultType {
		a.header.Del("Content-Type")
	}
	if headerSize(a.header) > maxResultHeader {
		a.header = http.Header{"Content-Type": a.header["Content-Type"]}
		a.truncated = true
	}
	return a, nil
}

// conclude decides what an answer, or none, means for the call.
func (c *Calls) conclude(ctx context.Context, r *record, a answer, err error) {
	now := c.o.Clock.Now()
	cause := context.Cause(ctx)
	switch {
	case err != nil && errors.Is(cause, errStopping):
		r.interrupted(now)
		return
	case err != nil && errors.Is(cause, errCancelled):
		r.over(now, 0, "cancelled")
		r.end(now, Cancelled, "cancelled while it ran")
		return
	case err != nil:
		r.over(now, 0, err.Error())
	default:
		r.over(now, a.status, "")
		r.Status, r.ResultType, r.Size, r.Truncated = a.status, a.header.Get("Content-Type"), len(a.body), a.truncated
	}
	problem := fmt.Sprintf("the function answered %d", a.status)
	if err != nil {
		problem = err.Error()
		r.Status, r.ResultType, r.Size, r.Truncated = 0, "", 0, false
	}
	switch {
	case err == nil && a.status < http.StatusBadRequest:
		r.end(now, Succeeded, "")
	case err == nil && !r.Policy.Retry.has(a.status):
		r.end(now, Failed, problem)
	case errors.Is(cause, errCancelled):
		r.end(now, Cancelled, "cancelled while it ran")
	case r.exhausted():
		r.end(now, DeadLettered, fmt.Sprintf("attempt %d of %d was the last: %s", r.Begun-r.Interrupted, r.Policy.Attempts, problem))
	default:
		r.retry(now, max(r.Policy.wait(r.Begun-r.Interrupted), a.after), problem)
	}
}

// retry plans the next attempt, unless the call is too old by then.
func (r *record) retry(now time.Time, wait time.Duration, problem string) {
	due := now.Add(wait)
	if r.expired(due) {
		r.end(now, DeadLettered, fmt.Sprintf("its maximum age of %s ends before the next attempt: %s", time.Duration(r.MaxAge), problem))
		return
	}
	r.State, r.Reason, r.Due = Retrying, short(problem), due
}
