package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/scale"
)

// sameContainer is whether copies of one can serve the other.
func sameContainer(a, b desired) bool {
	return reflect.DeepEqual(asContainer(a.Revision), asContainer(b.Revision))
}

// meter gathers what the activator reports into one sample a second, while there is anything to measure.
type meter struct {
	at       time.Time // of the last report
	begun    time.Time // of the sample; zero while at rest
	next     time.Time // when the sample is due; zero while at rest
	samples  int       // since there was something to measure
	area     float64   // concurrency times seconds
	requests int
	busy     int
	waiting  int
}

// take adds a report.
func (m *meter) take(now time.Time, s activator.Stats) {
	m.area += s.AvgConcurrency * now.Sub(m.at).Seconds()
	m.requests += s.Requests
	m.at, m.busy, m.waiting = now, s.InFlight+s.Waiting, s.Waiting
}

// begin starts a sample. Samples end with full seconds, so that each falls into one of the scaler's buckets.
func (m *meter) begin(now time.Time) {
	m.begun, m.next = now, now.Truncate(time.Second).Add(time.Second)
	m.area, m.requests = 0, 0
}

// measure asks the activator once a second what is going on, and the scaler at every tick what to have. At rest, with no copy and nobody
// waiting, neither costs anything: there is no timer.
func (l *loop) measure(now time.Time) {
	m := &l.meter
	if m.at.IsZero() {
		m.at = now
	}
	m.take(now, l.act.Stats(now))
	if len(l.copies) == 0 && m.waiting == 0 {
		m.begun, m.next, m.samples = time.Time{}, time.Time{}, 0
		l.asked = l.want.policy.AtRest(l.state())
		return
	}
	if m.begun.IsZero() {
		m.begin(now)
	}
	if now.Before(m.next) {
		return
	}
	if d := now.Sub(m.begun).Seconds(); d > 0 {
		l.scaler.Record(now, m.area/d, float64(m.requests)/d)
	}
	m.begin(now)
	if m.samples++; m.samples%int(scale.Tick/scale.Bucket) == 1 {
		l.asked = l.scaler.Decide(now, l.state()).Want
	}
}

// supply starts what is missing and ends what is too much.
func (l *loop) supply(now time.Time) {
	ready, starting := l.count()
	if n := l.want.policy.Missing(l.meter.waiting, ready, starting); n > 0 && ready+starting+n > l.asked {
		l.asked = ready + starting + n
		l.scaler.Started(now, ready, l.asked)
	}
	l.target = l.wanted()
	if lacking := l.target - ready - starting; lacking > 0 {
		l.startSome(lacking, starting)
	}
	l.full.Store(l.enough())
	if l.node.opt.Keep() {
		return
	}
	l.retireSome(ready + l.unwell() - l.target)
	l.retireStale(ready)
}

// enough is whether a waiting request changes nothing: a copy without limits is there or coming, or there may be no more. It
// is false before any copy is retired, so that no request is overlooked when the last one goes.
func (l *loop) enough() bool {
	ready, starting := l.count()
	have, p := ready+starting, l.want.policy
	return have > 0 && have >= l.target && ready <= l.target && (p.Concurrency == 0 || p.Max > 0 && have >= p.Max)
}

// startSome starts copies, after a failure one at a time until one is ready.
func (l *loop) startSome(n, starting int) {
	if !l.image.have || !l.retryAt.IsZero() {
		return
	}
	if l.failing != nil {
		n = min(n, 1-(starting-l.unwell()))
	}
	for range n {
		l.startOne()
	}
}

// startOne makes a replica and its goroutine.
func (l *loop) startOne() {
	id := newID(l.key.Name)
	name, ordinal := id, -1
	if l.want.Workload == run.StatefulSet {
		ordinal = l.freeOrdinal()
		name = fmt.Sprintf("%s-%d", l.key.Name, ordinal)
	}
	spec := l.image.plan.copyOf(l.want.Revision, l.image.root.Config.Env, id, name)
	out := &tail{to: l.node.opt.Logs.Sink(l.key, l.want.Function, id)}
	spec.Log = out
	ctx, abort := context.WithCancel(context.Background())
	l.started++
	rev := l.want.Revision
	rev.Port = spec.Listen.Port
	m := &member{number: l.started, ordinal: ordinal, abort: abort, replica: &replica{
		rev: l.want, spec: spec, act: l.act, output: out, events: l.events, kill: l.node.kill,
		ready: readinessOf(rev, spec.Listen.Activation, l.proven), follow: proberOf(rev.Container.Probe, rev),
		startup: proberOf(rev.Container.Startup, rev), liveness: proberOf(rev.Container.Liveness, rev), log: l.node.opt.Log,
		starts: l.node.starts, metrics: l.node.opt.Metrics, dapr: l.node.opt.Dapr, sidecars: l.node.opt.Sidecars, daprd: l.image.daprd, retire: make(chan struct{}), asked: time.Now(), inUse: l.inUse,
	}}
	l.copies[id] = m
	go m.replica.run(ctx) // ends with its last event, which the loop waits for
}

// unwell is how many copies were ready and are not now.
func (l *loop) unwell() int {
	n := 0
	for _, m := range l.copies {
		if m.unwell != nil && !m.leaving && !m.stale {
			n++
		}
	}
	return n
}

// retireSome ends ready copies, each when its requests are done: those that are unwell first, then the newest.
func (l *loop) retireSome(n int) {
	if n <= 0 {
		return
	}
	var ready []*member
	for _, m := range l.copies {
		if (m.isReady || m.unwell != nil) && !m.leaving && !m.stale {
			ready = append(ready, m)
		}
	}
	slices.SortFunc(ready, func(a, b *member) int {
		switch {
		case a.ordinal != b.ordinal:
			return cmp.Compare(b.ordinal, a.ordinal)
		case a.isReady == b.isReady:
			return cmp.Compare(b.number, a.number)
		case b.isReady:
			return -1
		}
		return 1
	})
	for _, m := range ready[:n] {
		m.leaving = true
		close(m.retire)
	}
}

// retireStale ends copies of an earlier container as soon as a present one can take over, or none is wanted.
func (l *loop) retireStale(ready int) {
	if ready == 0 && l.target > 0 {
		return
	}
	for _, m := range l.copies {
		switch {
		case !m.stale || m.leaving:
		case m.isReady || m.unwell != nil:
			m.leaving = true
			close(m.retire)
		default:
			m.leaving = true
			m.abort()
		}
	}
}

// leaveAll ends every copy within its grace and refuses new requests.
func (l *loop) leaveAll() {
	l.act.Fail(errEnding)
	l.asked, l.target = 0, 0
	if l.image.cancel != nil {
		l.image.cancel()
	}
	for _, m := range l.copies {
		m.leaving = true
		m.abort()
	}
}

var errEnding = errors.New("the revision is being removed from this machine")

// asContainer is what of a revision makes its copies; two that are equal here may share copies.
func asContainer(r run.Revision) run.Revision {
	return run.Revision{Key: r.Key, Function: r.Function, Image: r.Image, Container: r.Container, RuntimeClass: r.RuntimeClass, Port: r.Port, Sidecar: r.Sidecar}
}

// freeOrdinal is the lowest that no copy has.
func (l *loop) freeOrdinal() int {
	taken := map[int]bool{}
	for _, m := range l.copies {
		taken[m.ordinal] = true
	}
	n := 0
	for taken[n] {
		n++
	}
	return n
}
