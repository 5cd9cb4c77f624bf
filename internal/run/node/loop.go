package node

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/scale"
)

// After a failure the next attempt waits, longer each time; a copy that was ready long enough makes it begin anew.
const (
	firstRetry = 10 * time.Millisecond
	lastRetry  = 5 * time.Minute
	stableRun  = 10 * time.Second
	// refuseFrom is the wait from which requests are told the failure instead of waiting for the next attempt.
	refuseFrom = time.Second
	// giveUpAfter is how long a revision that nothing routes to may fail to prove itself.
	giveUpAfter = 10 * time.Minute
)

// loop is the state of an actor's goroutine, seen by nobody else.
type loop struct {
	*actor
	want    desired
	scaler  *scale.Scaler
	ending  bool
	proven  bool
	asked   int // copies that requests ask for
	target  int // copies there should be
	started int // copies started ever, which orders them
	events  chan event
	copies  map[string]*member

	image   image
	meter   meter
	backlog backlog

	failing  *failure
	troubled time.Time // when it began to fail; zero when it does not
	retry    *backoff.ExponentialBackOff
	failedAt time.Time
	retryAt  time.Time // zero: at once
	refusing bool      // the activator was told to fail
	restarts int

	said   *failure // what happened last to copies that served
	saidAt time.Time
}

// member is a copy as its actor sees it.
type member struct {
	*replica
	number  int
	ordinal int // of a StatefulSet; -1 otherwise
	isReady bool
	unwell  *failure // it was ready and is not now, for this
	leaving bool
	stale   bool // made from an earlier revision of the same name
	abort   context.CancelFunc
}

func newLoop(a *actor) *loop {
	l := &loop{actor: a, events: make(chan event), copies: map[string]*member{}, retry: retries()}
	l.image.done = make(chan prepared)
	l.backlog.polled = make(chan polled)
	return l
}

// retries is the way of waits after failures.
func retries() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier, b.RandomizationFactor = firstRetry, lastRetry, 2, 0
	b.Reset()
	return b
}

// run works until the end was asked for and nothing is left.
func (l *loop) run() {
	alarm := time.NewTimer(time.Hour)
	defer alarm.Stop()
	for {
		l.look(time.Now())
		if l.ending && len(l.copies) == 0 && !l.image.busy {
			l.image.release()
			return
		}
		if d, ok := l.next(time.Now()); ok {
			alarm.Reset(d)
		} else {
			alarm.Stop()
		}
		select {
		case <-l.wake:
		case <-alarm.C:
		case e := <-l.events:
			l.heard(e)
		case p := <-l.image.done:
			l.unpacked(p)
		case p := <-l.backlog.polled:
			l.answered(p)
		}
	}
}

// look takes in everything that may have changed and makes it so.
func (l *loop) look(now time.Time) {
	d, fresh, ending := l.taken()
	if fresh {
		l.adopt(d, now)
	}
	if ending && !l.ending {
		l.ending = true
		l.backlog.stop()
		l.leaveAll()
	}
	if !l.ending {
		l.recover(now)
		l.measure(now)
		l.prepare()
		l.supply(now)
	}
	l.publish(l.describe())
}

// adopt takes over a new wanted state.
func (l *loop) adopt(d desired, now time.Time) {
	first := l.scaler == nil
	changed := !first && !sameContainer(l.want, d)
	before := l.want
	l.want = d
	if first {
		l.scaler = scale.New(d.policy, 0, now)
		l.proven = d.Proven
	} else {
		l.scaler.Update(d.policy)
		l.act.Update(l.options(d))
	}
	if changed {
		for _, m := range l.copies {
			m.stale = true
		}
		l.image.outdate()
		l.proven = d.Proven
		l.failing, l.retryAt, l.troubled = nil, time.Time{}, time.Time{}
		l.retry.Reset()
		l.welcome()
	}
	l.asked = l.scaler.Decide(now, l.state()).Want
	l.follow(now, before)
}

// state is what the scaler is told. A copy that was ready counts as such, so that it goes when it is not needed.
func (l *loop) state() scale.State {
	ready, starting := l.count()
	unwell := l.unwell()
	return scale.State{Ready: ready + unwell, Starting: starting - unwell, Busy: l.meter.busy, Reachable: l.want.Reachable, Proven: l.proven || l.gaveUp()}
}

// gaveUp is whether the attempts to prove the revision ended. A request makes another one all the same.
func (l *loop) gaveUp() bool {
	return !l.proven && !l.want.Reachable && !l.troubled.IsZero() && time.Since(l.troubled) > giveUpAfter
}

// count is how many present copies are ready and how many are starting.
func (l *loop) count() (ready, starting int) {
	for _, m := range l.copies {
		switch {
		case m.leaving || m.stale:
		case m.isReady:
			ready++
		default:
			starting++
		}
	}
	return ready, starting
}

// heard takes in what a replica tells.
func (l *loop) heard(e event) {
	m := l.copies[e.id]
	switch {
	case e.note != nil:
		l.remark(e.note)
		return
	case e.unwell != nil:
		m.isReady, m.unwell = false, e.unwell
		return
	case e.ending != nil:
		l.lost(m, e.ending, e.lasted)
		m.leaving = true
		return
	case e.gone == nil:
		m.isReady, m.unwell = true, nil
		if m.stale || m.leaving {
			return
		}
		l.failing, l.troubled = nil, time.Time{}
		l.welcome()
		if ready, _ := l.count(); ready >= l.initial() {
			l.proven = true
		}
		return
	}
	delete(l.copies, e.id)
	m.abort()
	if l.want.batched() && l.completed(m, e.gone) {
		return
	}
	if f := e.gone.failed; f != nil {
		l.lost(m, f, e.gone.lasted)
	}
}

// lost notes that a copy failed, unless it was to go anyway.
func (l *loop) lost(m *member, f *failure, lasted time.Duration) {
	if m.leaving {
		return
	}
	l.restarts++
	if lasted > 0 {
		l.remark(f)
	}
	if !m.stale && (l.failing == nil || !m.asked.Before(l.failedAt)) { // those begun together fail together, and count once
		l.failed(f, lasted)
	}
}

// remarkKept is how long the status of a revision that serves says what happened to its copies.
const remarkKept = time.Minute

// remark keeps something that is worth telling although the revision serves.
func (l *loop) remark(f *failure) { l.said, l.saidAt = f, time.Now() }

// remarks are what the status of a revision that serves says.
func (l *loop) remarks() (reason, message string) {
	for _, m := range l.copies {
		if m.unwell != nil && !m.leaving && !m.stale {
			return m.unwell.reason, m.unwell.message
		}
	}
	if l.said != nil && time.Since(l.saidAt) < remarkKept && len(l.copies) > 0 {
		return l.said.reason, l.said.message
	}
	return l.backlog.complaint()
}

// initial is how many copies must have been ready at once to prove the revision.
func (l *loop) initial() int {
	p := l.want.policy
	n := max(1, p.Initial)
	if p.Max > 0 {
		n = min(n, p.Max)
	}
	return n
}

// failed notes a failure and when to try again.
func (l *loop) failed(f *failure, lasted time.Duration) {
	if lasted >= stableRun {
		l.retry.Reset()
	}
	f.served = lasted > 0
	l.failing, l.failedAt = f, time.Now()
	if l.troubled.IsZero() {
		l.troubled = l.failedAt
	}
	wait := l.retry.NextBackOff()
	if f.final {
		wait = max(wait, refuseFrom)
	}
	l.retryAt = l.failedAt.Add(wait)
	l.node.opt.Log.Warn("a copy failed", "revision", l.key.String(), "reason", f.reason, "message", f.message, "again_in", wait)
	if wait >= refuseFrom {
		l.refusing = true
		l.act.Fail(f)
	}
}

// recover lets requests wait for a copy again when the wait after a failure is over.
func (l *loop) recover(now time.Time) {
	if l.retryAt.IsZero() || now.Before(l.retryAt) {
		return
	}
	l.retryAt = time.Time{}
	l.welcome()
}

// welcome lets requests wait for a copy again where they are refused.
func (l *loop) welcome() {
	if l.refusing && !l.ending {
		l.refusing = false
		l.act.Fail(nil)
	}
}

// next is how long to sleep when nothing happens; false is for ever.
func (l *loop) next(now time.Time) (time.Duration, bool) {
	at := l.retryAt
	if l.ending {
		return 0, false
	}
	if t := l.meter.next; !t.IsZero() && (at.IsZero() || t.Before(at)) {
		at = t
	}
	return max(0, at.Sub(now)), !at.IsZero()
}

// describe makes the status.
func (l *loop) describe() run.Status {
	ready, starting := l.count()
	s := run.Status{Phase: run.Starting, Reason: "Starting", Desired: l.target, Ready: ready, Starting: starting, Restarts: l.restarts, ImageDigest: l.image.root.Digest,
		Backlog: l.backlog.waiting, Succeeded: l.backlog.succeeded, Lost: l.backlog.lost}
	switch {
	case l.failing != nil && ready == 0:
		s.Phase, s.Reason, s.Message = run.Failed, l.failing.reason, l.failing.message
		if l.proven && l.failing.served && l.target == 0 && !l.refusing {
			s.Phase = run.Ready // it can be started again, as far as is known, and needs not now
		}
	case l.proven:
		s.Phase = run.Ready
		s.Reason, s.Message = l.remarks()
	case l.image.busy:
		s.Message = *l.image.said.Load()
	}
	return s
}
