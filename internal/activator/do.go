package activator

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Wait says how a request came to its slot.
type Wait struct {
	For  time.Duration // zero when there was room at once
	Cold bool          // no copy was ready when it arrived
}

// Handler is what Serve calls. It exists so that a caller on the hot path need not allocate a closure for each request.
type Handler interface {
	Handle(e *Endpoint, w Wait) error
}

// handlerFunc adapts the function of Do.
type handlerFunc func(*Endpoint) error

func (f handlerFunc) Handle(e *Endpoint, _ Wait) error { return f(e) }

// Do holds one slot of one copy while fn runs; see Serve.
func (r *Revision) Do(ctx context.Context, fn func(*Endpoint) error) error {
	return r.Serve(ctx, handlerFunc(fn))
}

// Serve holds one slot of one copy while h runs; a request waits in line until there is one. The error is that of h, or
// says why there was no slot: ErrQueueFull, ErrOverload, ErrTimeout, ErrClosed, ErrFailed or the cause of ctx. An error of
// h that wraps ErrUnreachable makes the copy rest a moment, so that the next request goes elsewhere.
func (r *Revision) Serve(ctx context.Context, h Handler) error {
	if !r.budget.admit(r.share) {
		return ErrOverload
	}
	defer r.budget.giveBack(r.share)
	e, w, err := r.acquire(ctx)
	if err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned { // h panicked: the slot is given back all the same
			r.release(e, nil)
		}
	}()
	err = h.Handle(e, w)
	returned = true
	r.release(e, err)
	return err
}

// ErrUnreachable is wrapped by errors of Do's callback that mean the copy did not take the request.
var ErrUnreachable = errors.New("copy unreachable")

// acquire takes a slot or waits for one.
func (r *Revision) acquire(ctx context.Context) (*Endpoint, Wait, error) {
	now := time.Now()
	r.mu.Lock()
	r.meter.arrive(now)
	onStart := r.opt.OnStart
	if r.queue.len == 0 {
		if e := r.pick(now); e != nil {
			r.enter(e, now)
			r.mu.Unlock()
			if onStart != nil {
				onStart(0)
			}
			return e, Wait{}, nil
		}
	}
	if err := r.refusal(); err != nil {
		r.mu.Unlock()
		return nil, Wait{}, err
	}
	cold := len(r.ready) == 0
	w := &waiter{got: make(chan grant, 1)}
	r.meter.change(now, r.busy+r.queue.len)
	r.queue.push(w)
	waiting, onWait, timeout := r.queue.len, r.opt.OnWait, r.opt.Timeout
	r.armRecheck(now)
	r.mu.Unlock()
	if onWait != nil {
		onWait(waiting)
	}
	e, err := r.wait(ctx, w, timeout)
	waited := max(time.Since(now), 1)
	if err == nil && onStart != nil {
		onStart(waited)
	}
	return e, Wait{For: waited, Cold: cold}, err
}

// refusal says why a request may not even wait. Called with mu held.
func (r *Revision) refusal() error {
	if r.closed {
		return ErrClosed
	}
	if r.failed != nil && len(r.ready) == 0 {
		return &FailedError{r.failed}
	}
	if r.queue.len >= r.opt.depth() {
		return ErrQueueFull
	}
	return nil
}

// wait returns the slot that was granted to w, unless ctx or timeout ends first.
func (r *Revision) wait(ctx context.Context, w *waiter, timeout time.Duration) (*Endpoint, error) {
	var late <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		late = t.C
	}
	var err error
	select {
	case g := <-w.got:
		return g.ep, g.err
	case <-late:
		err = ErrTimeout
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	r.mu.Lock()
	now := time.Now()
	r.meter.change(now, r.busy+r.queue.len)
	left := r.queue.remove(w)
	r.mu.Unlock()
	if !left { // granted at the same moment
		if g := <-w.got; g.ep != nil {
			r.release(g.ep, nil)
		}
	}
	return nil, err
}

// pick chooses a copy with room, or nil. Called with mu held.
//
// Without a limit it is the less loaded of two copies drawn at random; with one it is the first that has a free slot, which
// keeps the load together so that the last copies become idle and can go.
func (r *Revision) pick(now time.Time) *Endpoint {
	n := len(r.ready)
	if r.opt.Concurrency > 0 {
		for _, e := range r.ready {
			if e.inFlight < r.opt.Concurrency && !e.resting(now) {
				return e
			}
		}
		return nil
	}
	if n == 0 {
		return nil
	}
	a := r.ready[rand.IntN(n)]
	if n > 1 {
		b := r.ready[rand.IntN(n)]
		if b.inFlight < a.inFlight || a.resting(now) {
			a = b
		}
	}
	if !a.resting(now) {
		return a
	}
	for _, e := range r.ready {
		if !e.resting(now) {
			return e
		}
	}
	return nil
}

func (e *Endpoint) resting(now time.Time) bool {
	return e.failures > 0 && now.Before(e.suspect)
}

// enter takes a slot of e. Called with mu held.
func (r *Revision) enter(e *Endpoint, now time.Time) {
	r.meter.change(now, r.busy+r.queue.len)
	e.inFlight++
	r.busy++
}

// release gives the slot of e back.
func (r *Revision) release(e *Endpoint, err error) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.meter.change(now, r.busy+r.queue.len)
	e.inFlight--
	r.busy--
	switch {
	case err == nil:
		e.failures = 0
	case errors.Is(err, ErrUnreachable):
		e.failures++
		e.suspect = now.Add(min(time.Second, 25*time.Millisecond<<min(e.failures, 6)))
	}
	if e.draining && e.inFlight == 0 {
		close(e.drained)
	}
	if r.queue.len > 0 {
		r.dispatch()
	}
}

// dispatch gives free slots to those who wait longest. Called with mu held.
func (r *Revision) dispatch() {
	now := time.Now()
	for r.queue.len > 0 {
		e := r.pick(now)
		if e == nil {
			r.armRecheck(now)
			return
		}
		r.enter(e, now)
		w := r.queue.head
		r.queue.remove(w)
		w.got <- grant{ep: e}
	}
}

// armRecheck plans a dispatch for when the next resting copy may be tried. Called with mu held.
func (r *Revision) armRecheck(now time.Time) {
	var next time.Time
	for _, e := range r.ready {
		if e.resting(now) && (next.IsZero() || e.suspect.Before(next)) {
			next = e.suspect
		}
	}
	if next.IsZero() || r.closed {
		return
	}
	if r.recheck == nil {
		r.recheck = time.AfterFunc(next.Sub(now), func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.dispatch()
		})
		return
	}
	r.recheck.Reset(next.Sub(now))
}

// refuse sends everybody who waits away. Called with mu held.
func (r *Revision) refuse(err error) {
	r.meter.change(time.Now(), r.busy+r.queue.len)
	for r.queue.len > 0 {
		w := r.queue.head
		r.queue.remove(w)
		w.got <- grant{err: err}
	}
}
