package scale

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Reading is what a trigger answered.
type Reading struct {
	Trigger string // its name, which formulas use and messages show
	Values  []Value
	// Active is whether anything waits, by the trigger's own activation threshold.
	Active bool
	// Resource is whether it measures the copies themselves, which says nothing about what waits.
	Resource bool
	Err      error
}

// Value is one metric of a trigger.
type Value struct {
	Sum    float64
	Target float64
	// PerCopy is whether Target is for one copy's share of Sum (AverageValue). Otherwise it is for Sum, whatever the number of
	// copies (Value), or for a measured average of the copies.
	PerCopy bool
}

// Lag decides for one revision by what waits for it: Poll whether there is any copy, as KEDA does, Sync how many, as the
// HorizontalPodAutoscaler does. It is not safe for concurrent use. Unlike both, the step from none goes straight to the number that
// the backlog asks for, within what Up allows where it is given: the limits that an HPA has without being asked protect against
// freak measurements of pods, not against a backlog.
type Lag struct {
	policy   LagPolicy
	created  time.Time
	want     int
	last     time.Time // when it was active; zero: never
	failures map[string]int
	hpa      hpa
	active   bool
	failed   error
}

// NewLag makes a decider of a revision made at created that has copies now. The error says what of the policy cannot be.
func NewLag(p LagPolicy, created time.Time, copies int) (*Lag, error) {
	p, err := p.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Lag{policy: p, created: created, want: copies, failures: map[string]int{}}
	l.rest()
	return l, nil
}

// Update replaces the policy and keeps what happened.
func (l *Lag) Update(p LagPolicy) error {
	p, err := p.withDefaults()
	if err == nil {
		l.policy = p
		l.rest()
	}
	return err
}

// rest keeps still during a pause, and says whether there is one. What was going on before it is forgotten: KEDA takes the
// HorizontalPodAutoscaler away meanwhile, and makes a new one after it.
func (l *Lag) rest() bool {
	p := l.policy.Pause
	if p == nil {
		return false
	}
	if p.Copies != nil {
		l.want = *p.Copies
	}
	l.hpa, l.active, l.failed = hpa{}, false, nil
	clear(l.failures)
	return true
}

// Policy is what the decider goes by, defaults filled in.
func (l *Lag) Policy() LagPolicy { return l.policy }

// Want is how many copies there should be.
func (l *Lag) Want() int { return l.want }

// Active is whether anything waited at the last poll.
func (l *Lag) Active() bool { return l.active }

// Failed is why a trigger could not be asked last time; nil when all could.
func (l *Lag) Failed() error { return l.failed }

// Poll takes in the answers of all triggers to a poll. ready is how many copies are ready.
func (l *Lag) Poll(now time.Time, rs []Reading, ready int) int {
	if l.rest() {
		return l.want
	}
	a := l.answers(rs, ready)
	l.active = a.active
	p := l.policy
	switch {
	case a.active && (l.want == 0 || p.Idle != nil && l.want < p.Min):
		l.last = now
		l.begin(now, a)
	case a.active && a.failed == nil:
		l.last = now
	case a.active:
		// Others could not be asked: what was active before still is as far as known.
	case a.failed != nil && (p.Fallback == nil || p.Fallback.Replicas != 0):
		// Nothing goes because nothing is known.
	case p.Idle != nil && l.want > *p.Idle, l.want > 0 && p.Min == 0:
		l.cool(now)
	case p.Idle == nil && l.want < p.Min:
		l.want = p.Min
	}
	return l.want
}

// begin is the step from none, or from idle.
func (l *Lag) begin(now time.Time, a answers) {
	p := l.policy
	base := max(1, p.Min)
	most := 0
	for _, v := range a.values {
		if !v.resource {
			most = max(most, p.fromNone(v.Value))
		}
	}
	n := min(max(most, base), p.Max)
	l.hpa.known(now, base)
	if p.Up != nil && n > base {
		n = max(base, min(n, l.hpa.upLimit(now, base, p.up())))
	}
	l.hpa.changed(now, base, n, p)
	l.hpa.remember(now, n)
	l.want = n
}

// cool takes the last copies away when it is time.
func (l *Lag) cool(now time.Time) {
	p, due := l.policy, false
	if l.last.IsZero() {
		due = l.created.Add(p.InitialCooldown).Before(now)
	} else {
		due = l.last.Add(p.Cooldown).Before(now)
	}
	if !due {
		return
	}
	l.want, l.hpa = p.Min, hpa{}
	if p.Idle != nil {
		l.want = *p.Idle
	}
}

// Sync takes in the answers of all triggers and follows them, while there are copies. copies is how many there are, ready how
// many of them are ready.
func (l *Lag) Sync(now time.Time, rs []Reading, copies, ready int) int {
	if l.rest() {
		return l.want
	}
	p := l.policy
	low := max(1, p.Min)
	switch {
	case l.want == 0 || p.Idle != nil && l.want == *p.Idle && l.want < p.Min:
		return l.want
	case l.want > p.Max:
		l.become(now, p.Max)
		return l.want
	case l.want < low:
		l.become(now, low)
		return l.want
	}
	l.hpa.known(now, l.want)
	a := l.answers(rs, ready)
	n, ok := l.proposal(a, copies, ready)
	if !ok {
		return l.want
	}
	l.become(now, l.hpa.normal(now, l.want, n, low, p))
	return l.want
}

// become changes the number.
func (l *Lag) become(now time.Time, n int) {
	l.hpa.changed(now, l.want, n, l.policy)
	l.want = n
}

// proposal is the largest number that a metric asks for. It is false when nothing may be concluded: no metric is known, or
// some are not and the others would take copies away.
func (l *Lag) proposal(a answers, copies, ready int) (int, bool) {
	most := 0
	for _, v := range a.values {
		most = max(most, l.policy.proposed(v.Value, l.want, copies, ready))
	}
	if len(a.values) == 0 || a.failed != nil && most < l.want {
		return 0, false
	}
	return most, true
}

// proposed is the number of copies that a metric asks for.
func (p LagPolicy) proposed(v Value, want, copies, ready int) int {
	if v.Target <= 0 {
		return 0
	}
	if v.PerCopy {
		if p.within(v.Sum / (v.Target * float64(copies))) {
			return copies
		}
		return copiesOf(math.Ceil(v.Sum / v.Target))
	}
	ratio := v.Sum / v.Target
	if p.within(ratio) {
		return want
	}
	return copiesOf(math.Ceil(ratio * float64(ready)))
}

// fromNone is the same while there is none. A metric that more copies do not share tells nothing then.
func (p LagPolicy) fromNone(v Value) int {
	if v.Target <= 0 || !v.PerCopy {
		return 0
	}
	return copiesOf(math.Ceil(v.Sum / v.Target))
}

// answers are readings in which fallbacks and the formula were applied.
type answers struct {
	values []known
	active bool
	failed error
}

type known struct {
	Value
	resource bool
}

// answers takes in readings: it counts failures, puts fallbacks in place and applies the formula.
func (l *Lag) answers(rs []Reading, ready int) answers {
	var a answers
	var errs []error
	fell, resources := []known{}, 0
	inputs := map[string]any{}
	for _, r := range rs {
		n, isNil := l.fallen(r, ready)
		if r.Resource {
			resources++
		}
		switch {
		case isNil:
			inputs[r.Trigger] = nil
		case n >= 0:
			fell = append(fell, known{Value: Value{Sum: float64(n), Target: 1, PerCopy: true}})
			a.values = append(a.values, fell[len(fell)-1])
			a.active = true
		case r.Err != nil:
			errs = append(errs, fmt.Errorf("trigger %s: %w", r.Trigger, r.Err))
		default:
			for _, v := range r.Values {
				a.values = append(a.values, known{v, r.Resource})
				inputs[r.Trigger] = v.Sum
			}
			a.active = a.active || r.Active && !r.Resource
		}
	}
	a.failed = errors.Join(errs...)
	if f := l.policy.Formula; f != nil {
		a = l.combined(f, a, inputs, fell)
	}
	// Triggers that measure copies never bring the first one: alone, they keep it.
	a.active = a.active || resources > 0 && resources == len(rs) && a.failed == nil
	l.failed = a.failed
	return a
}

// combined is one metric in place of all.
func (l *Lag) combined(f *Formula, a answers, inputs map[string]any, fell []known) answers {
	var resources []known
	for _, v := range a.values {
		if v.resource {
			resources = append(resources, v)
		}
	}
	out := answers{failed: a.failed, values: resources}
	if len(fell) > 0 {
		out.values = append(out.values, fell[0])
		out.active = a.failed == nil
		return out
	}
	if a.failed != nil {
		return out
	}
	sum, err := f.eval(inputs, l.policy.Fallback)
	if err != nil {
		out.failed = err
		return out
	}
	out.values = append(out.values, known{Value: Value{Sum: sum, Target: f.Target, PerCopy: !f.Whole}})
	out.active = sum > f.Activation
	return out
}

// fallen counts a failure, and says how many copies a trigger that failed too often asks for, or that the formula shall see nil for it.
// The number is -1 when neither is so.
func (l *Lag) fallen(r Reading, ready int) (n int, isNil bool) {
	if r.Err == nil {
		delete(l.failures, r.Trigger)
		return -1, false
	}
	f := l.policy.Fallback
	if l.failures[r.Trigger]++; f == nil || l.failures[r.Trigger] <= f.Threshold {
		return -1, false
	}
	switch f.Behaviour {
	case FallbackFormula:
		return -1, l.policy.Formula != nil
	case FallbackCurrent:
		return l.want, false
	case FallbackCurrentIfHigher:
		return max(l.want, f.Replicas), false
	case FallbackCurrentIfLower:
		return min(l.want, f.Replicas), false
	default:
		return f.Replicas, false
	}
}
