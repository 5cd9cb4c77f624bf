package calls

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Calls keeps and runs calls. Its methods may be called from any goroutine.
type Calls struct {
	o       Options
	journal *journal

	// attempts ends those under way, writes ends what waits for the disk; both with the reason errStopping.
	attempts   context.Context
	endAttempt context.CancelCauseFunc
	writes     context.Context
	endWrites  context.CancelCauseFunc
	work       sync.WaitGroup
	full       atomic.Bool // the disk, when it was last looked at

	mu        sync.Mutex
	index     *index
	use       usage
	pending   map[string]chan struct{} // idempotency keys of calls on their way to disk
	doubtful  []string                 // ids of requests that were refused and may be on disk
	watchers  map[chan Summary]struct{}
	stopAlarm func() bool
	stopSweep func() bool
	sweeping  bool
	closed    bool
}

// Why an attempt is broken off.
var (
	errStopping  = errors.New("the platform ended")
	errCancelled = errors.New("cancelled")
	errDeadline  = errors.New("the function did not answer in time")
)

// usage is what the calls take, for the limits.
type usage struct {
	waiting    int
	byFunction map[Name]int // waiting
	bytes      int64        // of requests on disk
	ended      int
	results    int64 // bytes of results on disk
}

// Open reads what is on disk and goes on with it.
func Open(ctx context.Context, o Options) (*Calls, error) {
	o.setDefaults()
	j, err := openJournal(ctx, o.Log, o.JetStream)
	if err != nil {
		return nil, err
	}
	room := j.room()
	if room < 64<<10 {
		return nil, fmt.Errorf("opening the calls: JetStream takes messages of %d bytes, too few", o.JetStream.Conn().MaxPayload())
	}
	o.MaxBody, o.MaxResult = min(o.MaxBody, room), min(o.MaxResult, room)
	c := &Calls{o: o, journal: j, index: newIndex(o.PerFunction, o.Concurrent, o.InFlight), use: usage{byFunction: map[Name]int{}},
		pending: map[string]chan struct{}{}, watchers: map[chan Summary]struct{}{}}
	c.attempts, c.endAttempt = context.WithCancelCause(context.WithoutCancel(ctx))
	c.writes, c.endWrites = context.WithCancelCause(context.WithoutCancel(ctx))
	if err := c.restore(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dispatch()
	c.planSweep()
	return c, nil
}

// Close begins nothing more, lets attempts end until ctx does, and breaks off the others, which run again at the next start.
func (c *Calls) Close(ctx context.Context) {
	c.mu.Lock()
	c.closed = true
	for _, stop := range []func() bool{c.stopAlarm, c.stopSweep} {
		if stop != nil {
			stop()
		}
	}
	for w := range c.watchers {
		close(w)
		delete(c.watchers, w)
	}
	c.mu.Unlock()
	ended := make(chan struct{})
	go func() { c.work.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	c.endAttempt(errStopping)
	late := time.AfterFunc(ioTimeout, func() { c.endWrites(errStopping) })
	<-ended
	late.Stop()
	c.endWrites(errStopping)
}

// lookAgain is how soon the clock is looked at again: it may be set, and the machine may sleep, while a call waits for its time.
const lookAgain = time.Minute

// dispatch begins what can begin, and plans to be called again. The lock is held.
func (c *Calls) dispatch() {
	if c.closed {
		return
	}
	now := c.o.Clock.Now()
	for e := c.index.next(now); e != nil; e = c.index.next(now) {
		ctx, cancel := context.WithCancelCause(c.attempts)
		e.busy, e.cancel = true, cancel
		if e.stop {
			cancel(errCancelled)
		}
		c.work.Go(func() {
			defer cancel(nil)
			c.do(ctx, e)
		})
	}
	if c.stopAlarm != nil {
		c.stopAlarm()
		c.stopAlarm = nil
	}
	if t := c.index.earliest(); !t.IsZero() {
		c.stopAlarm = c.o.Clock.AfterFunc(min(max(t.Sub(now), 0), lookAgain), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.dispatch()
		})
	}
}

// do is what is next for e, which has a slot.
func (c *Calls) do(ctx context.Context, e *entry) {
	var next change
	if e.state.Ended() {
		next = c.notify(ctx, e)
	} else {
		next = c.attempt(ctx, e)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index.release(e)
	e.cancel = nil
	e.leave()
	c.settle(e, next)
	c.dispatch()
}

// change is a new record of a call that is on disk, or, without a record, that nothing could be written.
type change struct {
	record *record
	seq    uint64
	size   int
	again  time.Time // when there is no record
}

// settle makes a change that is on disk known and queues what is to be done next. The lock is held, and e is not busy.
func (c *Calls) settle(e *entry, n change) {
	if n.record == nil {
		e.due = n.again
		c.index.enqueue(e)
		return
	}
	c.take(e, n)
	if e.state == Succeeded {
		c.dropRequest(e)
	}
	if e.state.Ended() {
		e.stop = false
	} else if e.stop {
		e.due = time.Time{}
	}
	if !e.state.Ended() || e.notice {
		c.index.enqueue(e)
	}
}

// take makes e what the record says, and counts it. The lock is held.
func (c *Calls) take(e *entry, n change) {
	r, before := n.record, e.state
	e.state, e.reason, e.attempts, e.status = r.State, r.Reason, r.Count, r.Status
	e.ended, e.due = r.Ended, r.Due
	e.notice = r.Notice != nil && !r.Notice.Sent && !r.Notice.GaveUp
	if e.notice {
		e.due = r.Notice.Due
	}
	c.use.results += int64(n.size - e.resultSize)
	e.recordSeq, e.resultSize = n.seq, n.size
	c.count(e, before)
	if before == r.State && r.State.Ended() {
		return // word of the end, which is no news of the call
	}
	c.tell(e)
	if r.State.Ended() {
		c.o.Metrics.Ended(e.function, e.state, e.ended.Sub(e.accepted))
		if e.done != nil {
			close(e.done)
			e.done = nil // a redriven call ends again
		}
	}
}

// count notes that e, whose state was before, waits or has ended. An empty state is a call that is new. The lock is held.
func (c *Calls) count(e *entry, before State) {
	waited, waits := before != "" && !before.Ended(), !e.state.Ended()
	switch {
	case !waited && waits:
		c.use.waiting++
		c.use.byFunction[e.function]++
	case waited && !waits:
		c.leave(e.function)
	}
	switch {
	case before.Ended() && waits:
		c.use.ended--
	case !before.Ended() && !waits:
		c.use.ended++
	}
}

// leave notes that a call does not wait any more. The lock is held.
func (c *Calls) leave(function Name) {
	c.use.waiting--
	if c.use.byFunction[function]--; c.use.byFunction[function] <= 0 {
		delete(c.use.byFunction, function)
	}
}

// persist writes until the disk takes it; it fails only when the platform ends. What is not written is done again after the next
// start, so it must not become known before.
func (c *Calls) persist(r *record, payload []byte) (change, error) {
	wait := 50 * time.Millisecond
	for n := 1; ; n++ {
		seq, err := c.journal.putRecord(c.writes, r, payload)
		if err == nil {
			return change{record: r, seq: seq, size: len(payload)}, nil
		}
		c.mend(c.writes)
		if n == 1 {
			c.o.Log.Error("the state of a call cannot be written and is tried again", "call", r.ID, "err", err)
		}
		if !c.pause(wait) {
			return change{}, fmt.Errorf("call %s: %w", r.ID, errors.Join(ErrUnavailable, err))
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// mend lets the store recover from a write that failed.
func (c *Calls) mend(ctx context.Context) {
	if c.o.Mend == nil {
		return
	}
	if err := c.o.Mend(ctx); err != nil {
		c.o.Log.Debug("the store of calls cannot be mended yet", "err", err)
	}
}

// pause waits; it is false when the platform ends.
func (c *Calls) pause(d time.Duration) bool {
	if c.writes.Err() != nil {
		return false
	}
	over := make(chan struct{})
	stop := c.o.Clock.AfterFunc(d, func() { close(over) })
	defer stop()
	select {
	case <-over:
		return true
	case <-c.writes.Done():
		return false
	}
}
