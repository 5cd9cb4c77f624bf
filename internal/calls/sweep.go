package calls

import (
	"context"
	"slices"
	"time"
)

// sweepEvery is how often what is over is removed.
const sweepEvery = 15 * time.Second

// planSweep lets sweep run later. The lock is held.
func (c *Calls) planSweep() {
	if c.closed {
		return
	}
	c.stopSweep = c.o.Clock.AfterFunc(sweepEvery, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.closed || c.sweeping {
			return
		}
		c.sweeping = true
		c.work.Go(func() {
			c.sweep()
			c.mu.Lock()
			defer c.mu.Unlock()
			c.sweeping = false
			c.planSweep()
		})
	})
}

// sweep removes calls whose retention is over, the oldest of too many, and what earlier steps left behind.
func (c *Calls) sweep() {
	ctx := c.writes
	overdue := c.overdue()
	for i, e := range overdue {
		err := c.erase(ctx, e)
		if err == nil {
			continue
		}
		if ctx.Err() == nil {
			c.o.Log.Warn("calls cannot be removed, which is tried again", "err", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, later := range overdue[i+1:] {
			later.leave()
		}
		return
	}
	c.mu.Lock()
	left, doubtful := c.leftBehind(), c.doubtful
	c.doubtful = nil
	c.mu.Unlock()
	for _, e := range left {
		c.deleteRequest(ctx, e)
	}
	var still []string
	for _, id := range doubtful {
		if ctx.Err() != nil || !c.journal.undo(ctx, id) {
			still = append(still, id)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doubtful = append(c.doubtful, still...)
}

// overdue claims the calls that are to be removed.
func (c *Calls) overdue() []*entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.o.Clock.Now()
	var ended, out []*entry
	for _, e := range c.index.calls {
		if e.state.Ended() && !e.busy && !e.notice {
			ended = append(ended, e)
		}
	}
	slices.SortFunc(ended, func(a, b *entry) int { return a.ended.Compare(b.ended) })
	over, results := c.use.ended-c.o.MaxEnded, c.use.results-c.o.MaxResultBytes
	for _, e := range ended {
		held := e.key != "" && now.Sub(e.accepted) <= c.o.KeyWindow
		if tooMany := over > 0 || results > 0; !tooMany && (held || now.Sub(e.ended) < c.o.Retention) {
			continue
		}
		over--
		results -= int64(e.resultSize)
		c.claim(e)
		out = append(out, e)
	}
	return out
}

// leftBehind claims the calls that succeeded and whose requests are still on disk. The lock is held.
func (c *Calls) leftBehind() (out []*entry) {
	for _, e := range c.index.calls {
		if e.state == Succeeded && e.requestSeq != 0 && !e.busy && !e.notice {
			c.claim(e)
			out = append(out, e)
		}
	}
	return out
}

// dropRequest removes the request of a call that succeeded: there is nothing to run again. The lock is held, and e is not busy.
func (c *Calls) dropRequest(e *entry) {
	if c.closed || e.requestSeq == 0 || e.notice {
		return // sweep, or the next start, does it
	}
	c.claim(e)
	c.work.Go(func() { c.deleteRequest(c.writes, e) })
}

// deleteRequest ends a claim. What fails is tried again by sweep.
func (c *Calls) deleteRequest(ctx context.Context, e *entry) {
	err := c.journal.deleteRequest(ctx, e.requestSeq)
	c.mu.Lock()
	defer c.mu.Unlock()
	e.leave()
	if err == nil {
		c.use.bytes -= int64(e.requestSize)
		e.requestSeq, e.requestSize = 0, 0
	}
	if e.notice && e.at < 0 {
		c.index.enqueue(e)
		c.dispatch()
	}
}
