package calls

import (
	"context"
	"fmt"
	"time"
)

// restore makes the index from what is on disk.
func (c *Calls) restore(ctx context.Context) error {
	begun := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	var orphans []uint64
	err := c.journal.load(ctx, c.restoreRequest, func(r *record, at stored) {
		if c.index.calls[r.ID] == nil && !r.State.Ended() {
			orphans = append(orphans, at.seq) // its request was deleted, so it had ended and its end was deleted too
			return
		}
		c.restoreRecord(r, at)
	})
	if err != nil {
		return fmt.Errorf("restoring the calls: %w", err)
	}
	for _, seq := range orphans {
		if err := c.journal.deleteRecord(ctx, seq); err != nil {
			return fmt.Errorf("restoring the calls: %w", err)
		}
	}
	for _, e := range c.index.calls {
		if e.state == Running {
			e.due = time.Time{} // it is run again, at once
		}
		if e.state == Succeeded && e.requestSeq != 0 {
			c.dropRequest(e)
		}
		if !e.state.Ended() || e.notice {
			c.index.enqueue(e)
		}
	}
	if n := len(c.index.calls); n > 0 {
		c.o.Log.Info("calls are restored", "calls", n, "waiting", c.use.waiting, "took", time.Since(begun).Round(time.Millisecond))
	}
	return nil
}

// restoreRequest makes an accepted call known. The lock is held.
func (c *Calls) restoreRequest(r *record, at stored) {
	e := newEntry(r)
	e.requestSeq, e.requestSize = at.seq, at.size
	c.use.bytes += int64(at.size)
	c.index.add(e)
	c.count(e, "")
}

// restoreRecord makes the newest state of a call known. The lock is held.
func (c *Calls) restoreRecord(r *record, at stored) {
	e := c.index.calls[r.ID]
	before := State("")
	if e == nil {
		e = newEntry(r)
		c.index.add(e)
	} else {
		before = e.state
	}
	e.state, e.reason, e.attempts, e.status = r.State, r.Reason, r.Count, r.Status
	e.ended, e.due = r.Ended, r.Due
	if e.notice = r.Notice != nil && !r.Notice.Sent && !r.Notice.GaveUp; e.notice {
		e.due = r.Notice.Due
	}
	if wait := max(r.Policy.withDefaults().Max, maxRetryAfter); r.State != Scheduled && e.due.After(c.o.Clock.Now().Add(wait)) {
		e.due = c.o.Clock.Now().Add(wait) // it was planned by a clock that was wrong
	}
	e.recordSeq, e.resultSize = at.seq, at.size
	c.use.results += int64(at.size)
	c.count(e, before)
}

// newEntry is a call as it was accepted.
func newEntry(r *record) *entry {
	return &entry{id: r.ID, function: r.Function, method: r.Method, path: r.Path, state: r.State, accepted: r.Accepted, due: r.Due,
		key: r.KeyHash, print: r.Fingerprint, at: -1}
}
