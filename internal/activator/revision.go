package activator

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Revision is the queue and the slots of one revision. Its methods may be called from any goroutine.
type Revision struct {
	budget  *Budget
	share   *share
	inForce atomic.Pointer[Options] // what opt is, for readers without mu

	mu      sync.Mutex
	opt     Options
	ready   []*Endpoint          // in the order they were added; draining ones are not in it
	byID    map[string]*Endpoint // ready and draining
	queue   queue
	busy    int // requests inside targets, draining and removed ones included
	failed  error
	closed  bool
	recheck *time.Timer // dispatches again when a suspect target may be tried
	meter   meter
}

// New makes a revision without copies: the first request waits and OnWait is told.
func New(o Options) *Revision {
	r := &Revision{
		budget: o.Budget,
		share:  o.Budget.join(o.Namespace),
		opt:    o,
		byID:   map[string]*Endpoint{},
		meter:  meter{since: time.Now()},
	}
	r.inForce.Store(&o)
	return r
}

// Options are those in force. They must not be changed through the pointer.
func (r *Revision) Options() *Options { return r.inForce.Load() }

// Update replaces the options. More concurrency lets waiting requests go on at once; less throws nothing out.
func (r *Revision) Update(o Options) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opt = o
	r.inForce.Store(&o)
	r.dispatch()
}

// Add brings in a copy that is ready. It ends a failure set by Fail. A copy whose id is known already is ignored.
func (r *Revision) Add(t Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.byID[t.ID()] != nil {
		return
	}
	e := &Endpoint{target: t, drained: make(chan struct{})}
	r.byID[t.ID()] = e
	r.ready = append(r.ready, e)
	r.failed = nil
	r.dispatch()
}

// Drain gives the copy no new request and returns when its last one ended, or with the error of ctx; either way the copy
// is then removed. An unknown id is drained already.
func (r *Revision) Drain(ctx context.Context, id string) error {
	r.mu.Lock()
	e := r.byID[id]
	if e == nil {
		r.mu.Unlock()
		return nil
	}
	if !e.draining {
		e.draining = true
		r.unready(e)
		if e.inFlight == 0 {
			close(e.drained)
		}
	}
	r.mu.Unlock()
	defer r.remove(e)
	select {
	case <-e.drained:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Remove forgets a copy that is gone. Its idle connections are closed; requests inside it see their connection break.
func (r *Revision) Remove(id string) {
	r.mu.Lock()
	e := r.byID[id]
	r.mu.Unlock()
	if e != nil {
		r.remove(e)
	}
}

func (r *Revision) remove(e *Endpoint) {
	r.mu.Lock()
	if r.byID[e.ID()] == e {
		delete(r.byID, e.ID())
		r.unready(e)
	}
	r.mu.Unlock()
	e.shut()
}

// unready takes e out of the copies that get requests. Called with mu held.
func (r *Revision) unready(e *Endpoint) {
	for i, x := range r.ready {
		if x == e {
			r.ready = append(r.ready[:i:i], r.ready[i+1:]...)
			return
		}
	}
}

// Fail says that the revision cannot start: while it has no copy, waiting and new requests get a *FailedError with this
// reason at once. Fail(nil) and Add end it; OnWait is not called meanwhile, so whoever calls Fail decides when to try again.
func (r *Revision) Fail(reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = reason
	if reason != nil && len(r.ready) == 0 {
		r.refuse(&FailedError{reason})
	}
}

// Close refuses waiting and new requests with ErrClosed and closes idle connections. Requests inside copies go on.
func (r *Revision) Close() {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.closed = true
	r.refuse(ErrClosed)
	if r.recheck != nil {
		r.recheck.Stop()
	}
	all := make([]*Endpoint, 0, len(r.byID))
	for _, e := range r.byID {
		all = append(all, e)
	}
	clear(r.byID)
	r.ready = nil
	r.mu.Unlock()
	for _, e := range all {
		e.shut()
	}
	r.budget.leave(r.share)
}

// Load is the number of requests inside targets and of those that wait, now. Unlike Stats it changes nothing.
func (r *Revision) Load() (inFlight, waiting int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.busy, r.queue.len
}

// Stats reports and begins a new period. It also closes connections idle for a minute, so it should be called regularly.
func (r *Revision) Stats(now time.Time) Stats {
	r.mu.Lock()
	s := r.meter.report(now, r.busy, r.queue.len)
	all := append([]*Endpoint(nil), r.ready...)
	r.mu.Unlock()
	for _, e := range all {
		e.prune(now.Add(-idleTimeout))
	}
	return s
}
