package node

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/scale"
)

// Triggers opens what revisions are scaled by beside requests; lag.Triggers is one.
type Triggers interface {
	// Open prepares a trigger and connects to nothing. poll asks it, one call at a time; its reading has an error when that
	// failed. end gives back what it holds, after the last poll. The error is the user's to mend.
	Open(w run.Watch) (poll func(context.Context) scale.Reading, end func(), err error)
}

// defaultRetries is how often in a row a copy of the workload Job is started again after a failure; Kubernetes' backoffLimit.
const defaultRetries = 6

// lagPolicy is how a revision is scaled by triggers.
type lagPolicy struct {
	scale.LagPolicy
	jobs    scale.JobPolicy
	retries int
}

// batched is whether copies are started for batches of work and end with them.
func (d desired) batched() bool { return d.Workload == run.Job && d.lag != nil }

// lagPolicyOf checks what a revision says of triggers; nil when it says nothing.
func (n *Node) lagPolicyOf(r run.Revision) (*lagPolicy, error) {
	if r.Lag == nil || len(r.Lag.Triggers) == 0 {
		return nil, nil
	}
	if n.opt.Triggers == nil {
		return nil, errors.New("the function is scaled by triggers, which this runner does not offer")
	}
	o := &lagPolicy{LagPolicy: scale.LagPolicy{Min: r.MinScale, Max: r.MaxScale, Idle: r.Lag.Idle, Polling: r.Lag.Polling, Cooldown: r.Lag.Cooldown,
		InitialCooldown: r.Lag.InitialCooldown, Up: rulesOf(r.Lag.Up), Down: rulesOf(r.Lag.Down)}}
	if f := r.Lag.Fallback; f != nil {
		o.Fallback = &scale.Fallback{Threshold: f.Threshold, Replicas: f.Replicas, Behaviour: scale.FallbackBehaviour(f.Behavior)}
	}
	if p := r.Lag.Pause; p != nil {
		o.Pause = &scale.Pause{Copies: p.Copies}
	}
	var err error
	if o.Formula, err = formulaOf(r.Lag); err != nil {
		return nil, err
	}
	if _, err := scale.NewLag(o.LagPolicy, time.Time{}, 0); err != nil {
		return nil, err
	}
	b := r.Batch
	if b == nil {
		b = &run.Batch{}
	}
	if o.retries = b.Retries; b.Never {
		o.retries = 0
	} else {
		orElse(&o.retries, defaultRetries)
	}
	o.jobs, err = scale.NewJobPolicy(scale.JobPolicy{Min: r.MinScale, Max: r.MaxScale, Strategy: b.Strategy, Deduction: b.Deduction, Combine: b.Combine}, b.RunningPart)
	return o, err
}

func rulesOf(r *run.Rules) *scale.Rules {
	if r == nil {
		return nil
	}
	out := &scale.Rules{Window: r.Window, Select: scale.Select(r.Select), Tolerance: r.Tolerance}
	for _, rate := range r.Rates {
		out.Rates = append(out.Rates, scale.Rate(rate))
	}
	return out
}

func formulaOf(l *run.Lag) (*scale.Formula, error) {
	m := l.Modifiers
	if m == nil {
		return nil, nil
	}
	var names []string
	for _, t := range l.Triggers {
		if t.Type != "cpu" && t.Type != "memory" {
			names = append(names, t.Name)
		}
	}
	return scale.NewFormula(m.Formula, names, m.Target, m.Activation, m.MetricType == "Value")
}

// backlog is what a revision's loop knows of its triggers. While the revision is to be scaled by them, one goroutine asks them.
type backlog struct {
	lag    *scale.Lag // nil: the revision has no triggers, or nothing routes to it
	polled chan polled

	end       func()      // ends the goroutine and waits for it; nil: there is none
	following atomic.Bool // whether there are copies that follow the backlog
	waiting   int64
	failed    error

	jobs            int // of batched revisions: copies that have not completed
	succeeded, lost int
	failures        int // in a row
}

// polled is what all triggers answered.
type polled struct {
	readings []scale.Reading
	poll     bool // they say whether there is any copy
	sync     bool // they say how many
}

// follow begins, changes or ends the scaling by triggers after the revision changed.
func (l *loop) follow(now time.Time, before desired) {
	b, d := &l.backlog, l.want
	if d.lag == nil || !d.Reachable || l.ending {
		b.stop()
		b.lag, b.jobs, b.waiting, b.failed = nil, 0, 0, nil
		return
	}
	if b.lag == nil {
		ready, starting := l.count()
		b.lag, b.failed = scale.NewLag(d.lag.LagPolicy, now, ready+starting)
	} else {
		b.failed = b.lag.Update(d.lag.LagPolicy)
	}
	if b.end == nil || !reflect.DeepEqual(before.Lag, d.Lag) || before.Workload != d.Workload {
		b.stop()
		b.start(l.asker())
	}
}

func (b *backlog) start(a *asker) {
	ctx, cancel := context.WithCancel(context.Background())
	b.end = func() {
		cancel()
		<-a.done
	}
	go a.run(ctx)
}

func (b *backlog) stop() {
	if b.end != nil {
		b.end()
		b.end = nil
	}
}

// complaint is why a trigger cannot be asked, for the status.
func (b *backlog) complaint() (reason, message string) {
	if b.failed == nil {
		return "", ""
	}
	return run.ReasonTriggerError, "scaling: " + b.failed.Error()
}

// answered takes in what the triggers said.
func (l *loop) answered(p polled) {
	b := &l.backlog
	if b.lag == nil {
		return
	}
	now := time.Now()
	ready, starting := l.count()
	b.waiting = backlogOf(p.readings)
	if l.want.batched() {
		l.batch(p.readings, starting)
		return
	}
	if p.poll {
		b.lag.Poll(now, p.readings, ready)
	}
	if p.sync {
		b.lag.Sync(now, p.readings, max(1, ready+starting), ready)
	}
	b.failed = b.lag.Failed()
	b.following.Store(b.lag.Want() > 0)
}

// batch starts copies for what waits, and lets those without work go when nothing does.
func (l *loop) batch(rs []scale.Reading, starting int) {
	b := &l.backlog
	var errs []error
	for _, r := range rs {
		if r.Err != nil {
			errs = append(errs, fmt.Errorf("trigger %s: %w", r.Trigger, r.Err))
		}
	}
	b.failed = errors.Join(errs...)
	if l.want.lag.Pause != nil {
		return // no more are started; those that run go on to their end
	}
	start, active := l.want.lag.jobs.Jobs(rs, b.jobs, min(starting, b.jobs))
	switch {
	case active:
		b.jobs += start
	case b.failed == nil:
		b.jobs = 0
	}
}

// completed takes in the end of a copy of a batched revision. It is false when the copy is to be started again.
func (l *loop) completed(m *member, o *outcome) bool {
	b := &l.backlog
	switch {
	case o.completed:
		l.failing, l.troubled, l.proven = nil, time.Time{}, true
		l.welcome()
	case o.failed != nil && !m.leaving:
		if b.failures++; b.failures <= l.want.lag.retries {
			return false
		}
		l.remark(o.failed)
		l.restarts++
		b.failures = 0
		b.lost++
		b.jobs = max(0, b.jobs-1)
		l.asked = max(0, l.asked-1)
		return true
	}
	b.failures = 0
	b.succeeded++
	if !m.leaving { // one that was asked to go is not counted as wanted any more
		b.jobs = max(0, b.jobs-1)
		l.asked = max(0, l.asked-1)
	}
	return true
}

// wanted is how many copies there should be: as many as requests or what waits at triggers ask for, whichever is more.
func (l *loop) wanted() int {
	b := &l.backlog
	switch {
	case b.lag == nil:
		return l.asked
	case !l.want.batched():
		return max(l.asked, b.lag.Want())
	}
	if l.proven && l.meter.busy == 0 {
		l.asked = 0 // a batch ends with its work, not some time after it
	}
	return max(l.asked, b.jobs)
}

// backlogOf sums up what waits.
func backlogOf(rs []scale.Reading) int64 {
	sum := 0.0
	for _, r := range rs {
		if r.Err != nil {
			return -1
		}
		for _, v := range r.Values {
			if v.PerCopy {
				sum += v.Sum
			}
		}
	}
	return int64(sum)
}
