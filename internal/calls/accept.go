package calls

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Accepted is a call that is on disk.
type Accepted struct {
	ID    string
	State State
	// Repeated tells that the idempotency key was known, and that the call of the first time is meant.
	Repeated bool
}

// Accept returns when the call is on disk: from then on it is run whatever happens to the platform. An error means that it is not
// kept: ErrInvalid, ErrTooLarge, ErrFull, ErrUnavailable, ErrKeyReused or ErrClosed.
func (c *Calls) Accept(ctx context.Context, call Call) (Accepted, error) {
	a, err := c.accept(ctx, &call)
	switch {
	case err == nil && !a.Repeated:
		c.o.Metrics.Accepted(call.Function)
	case errors.Is(err, ErrFull):
		c.o.Metrics.Refused("full")
	case errors.Is(err, ErrUnavailable):
		c.o.Metrics.Refused("disk")
	case errors.Is(err, ErrTooLarge):
		c.o.Metrics.Refused("too-large")
	case err != nil:
		c.o.Metrics.Refused("invalid")
	}
	return a, err
}

func (c *Calls) accept(ctx context.Context, call *Call) (Accepted, error) {
	now := c.o.Clock.Now()
	if err := c.admit(call, now); err != nil {
		return Accepted{}, err
	}
	r, payload := c.newRecord(call, now), frame(call.Header, call.Body)
	size := len(payload)
	if meta, err := encode(r); err != nil || len(meta) > maxRecord {
		return Accepted{}, errors.Join(fmt.Errorf("%w: what is kept of the call beside its request has %d bytes, and %d are taken: shorten the path and the destinations", ErrTooLarge, len(meta), maxRecord), err)
	}
	known, done, err := c.reserve(ctx, r, size)
	if known != nil || err != nil {
		return c.repeated(known), err
	}
	defer done()
	// A caller that goes away must not leave open whether the call is kept.
	seq, certain, err := c.journal.putRequest(context.WithoutCancel(ctx), r, payload)
	if err != nil {
		c.mend(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.leave(call.Function)
		c.use.bytes -= int64(size)
		if !certain && len(c.doubtful) < maxDoubtful {
			c.doubtful = append(c.doubtful, r.ID)
		}
		c.o.Log.Error("a call cannot be kept", "function", call.Function.String(), "err", err)
		return Accepted{}, fmt.Errorf("%w: try again later", ErrUnavailable)
	}
	e := newEntry(r)
	e.requestSeq, e.requestSize = seq, size
	c.index.add(e)
	c.tell(e)
	c.index.enqueue(e)
	c.dispatch()
	return Accepted{ID: e.id, State: r.State}, nil
}

// maxRecord bounds a new record. The store takes 64 KiB, and refuses for ever what is larger: the history of the attempts and the end
// must fit as well.
const maxRecord = 24 << 10

// maxDoubtful bounds the ids that sweep looks after.
const maxDoubtful = 10_000

// admit refuses what can never be kept, and everything when the disk is nearly full.
func (c *Calls) admit(call *Call, now time.Time) error {
	if err := call.check(now); err != nil {
		return err
	}
	if len(call.Body) > c.o.MaxBody {
		return fmt.Errorf("%w: the body has %d bytes, and %d are taken", ErrTooLarge, len(call.Body), c.o.MaxBody)
	}
	for _, d := range []*Destination{call.OnSuccess, call.OnFailure} {
		if d != nil && (d.URL != "" && c.o.Callbacks == nil || d.Topic != "" && c.o.Topics == nil) {
			return invalid("destination %q: this platform sends no word to such", d)
		}
	}
	return c.room()
}

// room refuses calls while the disk is nearly full, which is logged when it begins.
func (c *Calls) room() error {
	if c.o.Room == nil {
		return nil
	}
	err := c.o.Room()
	if was := c.full.Swap(err != nil); err != nil && !was {
		c.o.Log.Error("no calls are accepted until there is room on the disk", "err", err)
	}
	if err != nil {
		return fmt.Errorf("%w: the disk is nearly full", ErrUnavailable)
	}
	return nil
}

func (c *Calls) newRecord(call *Call, now time.Time) *record {
	r := &record{MaxAge: Duration(call.MaxAge), Trace: trace(call.Header), Info: Info{
		ID: strings.ToLower(rand.Text()), Function: call.Function, Host: call.Host, Method: call.Method, Path: call.Path,
		State: Queued, Accepted: now, NotBefore: call.NotBefore, Due: now, Policy: call.Policy.withDefaults(),
		Deadline: Duration(call.Deadline), OnSuccess: call.OnSuccess, OnFailure: call.OnFailure,
	}}
	if call.NotBefore.After(now) {
		r.State, r.Due = Scheduled, call.NotBefore
	}
	if call.MaxAge > 0 {
		r.Expires = r.Due.Add(call.MaxAge)
	}
	if call.Key != "" {
		r.KeyHash = hash(call.Function.Namespace, call.Function.Name, call.Key)
		// Who asks is part of it: the answer to one must not be told to another who guesses the key.
		r.Fingerprint = hash(call.Method, call.Path, call.Header.Get("Content-Type"), strings.Join(call.Header.Values("Authorization"), ","),
			strings.Join(call.Header.Values("Cookie"), ";"), string(call.Body))
	}
	return r
}

// trace is traceparent and tracestate, unless they are longer than anybody has to pass on.
func trace(h http.Header) (t [2]string) {
	const most = 512
	if t = [2]string{h.Get("Traceparent"), h.Get("Tracestate")}; len(t[0]) > most || len(t[1]) > most {
		return [2]string{}
	}
	return t
}

// hash is of the parts, none of which can be taken for another.
func hash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:", len(p))
		_, _ = io.WriteString(h, p) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// reserve takes room for a call, or finds the one that its key means. done must be called when the call is on disk or refused.
func (c *Calls) reserve(ctx context.Context, r *record, size int) (known *entry, done func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if c.closed {
			return nil, nil, ErrClosed
		}
		if e := c.keyed(r); e != nil {
			if e.print != r.Fingerprint {
				return nil, nil, ErrKeyReused
			}
			return e, nil, nil
		}
		wait := c.pending[r.KeyHash]
		if r.KeyHash == "" || wait == nil {
			break
		}
		c.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
		}
		c.mu.Lock()
		if ctx.Err() != nil {
			return nil, nil, fmt.Errorf("%w: another request with this idempotency key is being kept", ErrUnavailable)
		}
	}
	switch {
	case c.use.waiting >= c.o.MaxWaiting:
		return nil, nil, fmt.Errorf("%w: %d", ErrFull, c.use.waiting)
	case c.use.byFunction[r.Function] >= c.o.MaxPerFunction:
		return nil, nil, fmt.Errorf("%w: %d for %s", ErrFull, c.use.byFunction[r.Function], r.Function)
	case c.use.bytes+int64(size) > c.o.MaxBytes:
		return nil, nil, fmt.Errorf("%w: their requests have %d bytes", ErrFull, c.use.bytes)
	}
	c.use.waiting++
	c.use.byFunction[r.Function]++
	c.use.bytes += int64(size)
	return nil, c.hold(r.KeyHash), nil
}

// hold keeps others with the same key waiting until done. The lock is held.
func (c *Calls) hold(key string) (done func()) {
	if key == "" {
		return func() {}
	}
	wait := make(chan struct{})
	c.pending[key] = wait
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.pending, key)
		close(wait)
	}
}

// keyed is the call that a key means within its window. The lock is held.
func (c *Calls) keyed(r *record) *entry {
	e := c.index.keys[r.KeyHash]
	if r.KeyHash == "" || e == nil {
		return nil
	}
	if r.Accepted.Sub(e.accepted) > c.o.KeyWindow {
		delete(c.index.keys, r.KeyHash)
		return nil
	}
	return e
}

func (c *Calls) repeated(e *entry) Accepted {
	if e == nil {
		return Accepted{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return Accepted{ID: e.id, State: e.stateAt(c.o.Clock.Now()), Repeated: true}
}
