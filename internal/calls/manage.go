package calls

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// stateAt is the state that a call has now: one whose time has come is not scheduled any more.
func (e *entry) stateAt(now time.Time) State {
	if e.state == Scheduled && !e.due.After(now) {
		return Queued
	}
	return e.state
}

// find is a call that exists. The lock is held.
func (c *Calls) find(id string) (*entry, error) {
	e := c.index.calls[id]
	if e == nil {
		return nil, ErrNotFound
	}
	return e, nil
}

// Result is the answer of a function, and what is told of its call.
type Result struct {
	Info
	Header http.Header
	Body   []byte
}

// Get tells everything of a call. Its Result has no header and body before the call has ended, nor after an end without answer.
func (c *Calls) Get(ctx context.Context, id string) (*Result, error) {
	c.mu.Lock()
	e, err := c.find(id)
	if err != nil {
		c.mu.Unlock()
		return nil, err
	}
	requestSeq, recordSeq, state := e.requestSeq, e.recordSeq, e.stateAt(c.o.Clock.Now())
	c.mu.Unlock()
	if recordSeq == 0 {
		req, err := c.journal.request(ctx, requestSeq)
		if err != nil {
			return nil, err
		}
		req.record.State = state
		return &Result{Info: req.record.Info}, nil
	}
	m, err := c.journal.newest(ctx, id)
	if err != nil {
		return nil, err
	}
	m.record.Replayable = requestSeq != 0 && m.record.State.Ended() && m.record.State != Succeeded
	return &Result{Info: m.record.Info, Header: m.header, Body: m.body}, nil
}

// Wait returns when the call has ended, or ctx.
func (c *Calls) Wait(ctx context.Context, id string) error {
	c.mu.Lock()
	e, err := c.find(id)
	if err != nil {
		c.mu.Unlock()
		return err
	}
	ended := e.waiter()
	c.mu.Unlock()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.attempts.Done():
		return ErrClosed
	}
}

// Cancel ends a call that has not ended; the request of one that runs is broken off. It returns when that is on disk. ErrFinished
// tells that the call ended otherwise before.
func (c *Calls) Cancel(ctx context.Context, id string) error {
	c.mu.Lock()
	e, err := c.find(id)
	switch {
	case err != nil:
		c.mu.Unlock()
		return err
	case e.state.Ended():
		defer c.mu.Unlock()
		return fmt.Errorf("%w: it is %s", ErrFinished, e.state)
	case e.busy:
		e.stop = true
		if e.cancel != nil {
			e.cancel(errCancelled)
		}
		ended := e.waiter()
		c.mu.Unlock()
		return c.cancelled(ctx, e, ended)
	}
	c.claim(e)
	c.mu.Unlock()
	r, _, err := c.load(e)
	if err == nil {
		r.end(c.o.Clock.Now(), Cancelled, "cancelled")
		return c.rewrite(ctx, e, r, nil)
	}
	return c.rewrite(ctx, e, nil, err)
}

// cancelled waits for the end of a call whose attempt is being broken off.
func (c *Calls) cancelled(ctx context.Context, e *entry, ended <-chan struct{}) error {
	select {
	case <-ended:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.attempts.Done():
		return ErrClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.state != Cancelled {
		return fmt.Errorf("%w: it is %s", ErrFinished, e.state)
	}
	return nil
}

// acquire claims a call that has ended, and that passes check, which is called with the lock held.
func (c *Calls) acquire(ctx context.Context, id string, check func(*entry) error) (*entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		e, err := c.find(id)
		switch {
		case err != nil:
			return nil, err
		case !e.state.Ended():
			return nil, fmt.Errorf("%w: it is %s", ErrNotFinished, e.stateAt(c.o.Clock.Now()))
		case !e.busy:
			if err := check(e); err != nil {
				return nil, err
			}
			c.claim(e)
			return e, nil
		}
		if e.free == nil {
			e.free = make(chan struct{})
		}
		free := e.free
		c.mu.Unlock()
		select {
		case <-free:
		case <-ctx.Done():
			err = ctx.Err()
		}
		c.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
}

// claim keeps everybody else from e. The lock is held.
func (c *Calls) claim(e *entry) {
	c.index.dequeue(e)
	e.busy = true
}

// rewrite gives a claimed call a new record, or only gives it back when there is an error: that of load, after which a change that
// was made before, and refused, may turn out to be on disk.
func (c *Calls) rewrite(ctx context.Context, e *entry, r *record, err error) error {
	var n change
	if err == nil {
		var seq uint64
		if seq, err = c.journal.putRecord(context.WithoutCancel(ctx), r, nil); err == nil {
			n = change{record: r, seq: seq}
		}
	} else if n = c.unseen(e, err); n.record != nil {
		err = nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e.leave()
	switch {
	case err == nil:
		c.settle(e, n)
	case !e.state.Ended() || e.notice:
		c.index.enqueue(e)
	}
	c.dispatch()
	if err != nil {
		c.o.Log.Error("a call cannot be changed", "call", e.id, "err", err)
		return fmt.Errorf("call %s: %w", e.id, ErrUnavailable)
	}
	return nil
}

// Redrive begins a call anew that failed, was cancelled or is a dead letter: with all its attempts, and its age from now. The end
// before is forgotten. ErrNotFinished and, for calls that succeeded, ErrFinished refuse it.
func (c *Calls) Redrive(ctx context.Context, id string) error {
	e, err := c.acquire(ctx, id, func(e *entry) error {
		switch {
		case e.state == Succeeded || e.requestSeq == 0:
			return fmt.Errorf("%w: it %s, and its request is not kept", ErrFinished, e.state)
		case c.use.waiting >= c.o.MaxWaiting || c.use.byFunction[e.function] >= c.o.MaxPerFunction:
			return ErrFull
		}
		return nil
	})
	if err != nil {
		return err
	}
	r, _, err := c.load(e)
	if err != nil {
		return c.rewrite(ctx, e, nil, err)
	}
	now := c.o.Clock.Now()
	r.State, r.Reason, r.Due, r.Ended, r.Notice = Queued, "", now, time.Time{}, nil
	r.Begun, r.Interrupted = 0, 0
	r.Status, r.Size, r.Truncated, r.ResultType = 0, 0, false, ""
	r.Redriven++
	if r.MaxAge > 0 {
		r.Expires = now.Add(time.Duration(r.MaxAge))
	}
	return c.rewrite(ctx, e, r, nil)
}

// Delete forgets a call that has ended, with its result.
func (c *Calls) Delete(ctx context.Context, id string) error {
	e, err := c.acquire(ctx, id, func(*entry) error { return nil })
	if err != nil {
		return err
	}
	return c.erase(ctx, e)
}

// erase removes a claimed call from disk and from memory: its request first, so that no crash between makes it new.
func (c *Calls) erase(ctx context.Context, e *entry) error {
	err := c.journal.deleteRequest(ctx, e.requestSeq)
	if err == nil {
		err = c.journal.deleteRecord(ctx, e.recordSeq)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e.leave()
	if err != nil {
		if e.notice {
			c.index.enqueue(e)
			c.dispatch()
		}
		return fmt.Errorf("call %s: %w", e.id, errors.Join(ErrUnavailable, err))
	}
	c.use.ended--
	c.use.results -= int64(e.resultSize)
	if e.requestSeq != 0 {
		c.use.bytes -= int64(e.requestSize)
	}
	c.index.forget(e)
	return nil
}
