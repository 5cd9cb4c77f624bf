package scale

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// LagSync is how often the number of copies follows the backlog while there are copies: the period of a HorizontalPodAutoscaler.
const LagSync = 15 * time.Second

// The limits and defaults of a lag policy; they are KEDA's and the HorizontalPodAutoscaler's.
const (
	defaultLagMax    = 100
	defaultCooldown  = 5 * time.Minute
	defaultPolling   = 30 * time.Second
	defaultTolerance = 0.1
	defaultDownHold  = 5 * time.Minute
)

// LagPolicy is how one revision is scaled by what waits for it elsewhere: KEDA's ScaledObject and the HorizontalPodAutoscaler that
// KEDA makes of it. Zero durations and counts are KEDA's defaults where the field says so.
type LagPolicy struct {
	Min, Max int  // Max 0 is 100
	Idle     *int // copies while nothing waits, less than Min; nil is Min
	// Polling is how often triggers are asked whether anything waits: 30 s.
	Polling time.Duration
	// Cooldown is how long after the last activity the last copies go: 5 min. A negative one is none.
	Cooldown time.Duration
	// InitialCooldown is how long a new revision that never was active keeps its copies.
	InitialCooldown time.Duration
	Fallback        *Fallback
	Formula         *Formula // combines the triggers into one metric; nil: the largest number that one of them asks for
	// Up and Down limit the changes. With both nil they are what an HPA without a behaviour does: at most doubled, or raised to
	// four; lowered to the largest number of the last five minutes.
	Up, Down *Rules
	// Pause leaves the number of copies alone, whatever waits; nil does not.
	Pause *Pause
}

// Pause is a time in which triggers change nothing.
type Pause struct {
	Copies *int // that there are meanwhile, whatever Min and Max say; nil: as many as there were
}

// Fallback is what a trigger that cannot be asked counts for.
type Fallback struct {
	Threshold int // failures in a row that are borne
	Replicas  int
	Behaviour FallbackBehaviour
}

// FallbackBehaviour says how many copies a failing trigger asks for.
type FallbackBehaviour string

// The behaviours; the empty one is static.
const (
	FallbackStatic          FallbackBehaviour = "static"                  // Replicas
	FallbackCurrent         FallbackBehaviour = "currentReplicas"         // as many as there are
	FallbackCurrentIfHigher FallbackBehaviour = "currentReplicasIfHigher" // the larger of both
	FallbackCurrentIfLower  FallbackBehaviour = "currentReplicasIfLower"  // the smaller of both
	FallbackFormula         FallbackBehaviour = "scalingModifiers"        // the formula sees nil for it
)

// Select says which of several rate limits counts.
type Select string

// The choices; the empty one is Max.
const (
	SelectMax      Select = "Max"
	SelectMin      Select = "Min"
	SelectDisabled Select = "Disabled" // no change in this direction
)

// Rules limit changes in one direction. Nil fields are the HPA's defaults of that direction.
type Rules struct {
	Window    *time.Duration // stabilization: the most careful number of that time counts
	Select    Select
	Rates     []Rate
	Tolerance *float64
}

// Rate limits how much may change within a period.
type Rate struct {
	Percent bool // of the copies at the start of the period; otherwise in copies
	Value   int
	Period  time.Duration
}

// withDefaults checks the policy and fills it in. The error says what cannot be.
func (p LagPolicy) withDefaults() (LagPolicy, error) {
	if p.Max == 0 {
		p.Max = max(defaultLagMax, p.Min)
	}
	if p.Polling == 0 {
		p.Polling = defaultPolling
	}
	switch {
	case p.Cooldown == 0:
		p.Cooldown = defaultCooldown
	case p.Cooldown < 0:
		p.Cooldown = 0
	}
	switch {
	case p.Min < 0 || p.Max < p.Min:
		return p, fmt.Errorf("minReplicas %d and maxReplicas %d: the one must not be negative nor more than the other", p.Min, p.Max)
	case p.Idle != nil && (*p.Idle < 0 || *p.Idle >= p.Min):
		return p, fmt.Errorf("idleReplicaCount %d must be less than minReplicas %d and not negative", *p.Idle, p.Min)
	case p.Polling < 0:
		return p, fmt.Errorf("pollingInterval %v must not be negative", p.Polling)
	case p.Pause != nil && p.Pause.Copies != nil && *p.Pause.Copies < 0:
		return p, fmt.Errorf("paused-replicas %d must not be negative", *p.Pause.Copies)
	}
	if f := p.Fallback; f != nil {
		if f.Threshold < 0 || f.Replicas < 0 {
			return p, fmt.Errorf("fallback: failureThreshold %d and replicas %d must not be negative", f.Threshold, f.Replicas)
		}
		known := []FallbackBehaviour{"", FallbackStatic, FallbackCurrent, FallbackCurrentIfHigher, FallbackCurrentIfLower, FallbackFormula}
		if !slices.Contains(known, f.Behaviour) {
			return p, fmt.Errorf("fallback.behavior %q is not known; known are %v", f.Behaviour, known[1:])
		}
	}
	return p, p.Up.check("scaleUp", p.Down)
}

// check says what is wrong with rules of one direction, and with others.
func (r *Rules) check(name string, others ...*Rules) error {
	if len(others) > 0 {
		if err := others[0].check("scaleDown"); err != nil {
			return err
		}
	}
	if r == nil {
		return nil
	}
	if !slices.Contains([]Select{"", SelectMax, SelectMin, SelectDisabled}, r.Select) {
		return fmt.Errorf("behavior.%s.selectPolicy %q is not one of Max, Min, Disabled", name, r.Select)
	}
	if w := r.Window; w != nil && (*w < 0 || *w > time.Hour) {
		return fmt.Errorf("behavior.%s.stabilizationWindowSeconds %v is not within an hour", name, *w)
	}
	for _, rate := range r.Rates {
		if rate.Value <= 0 || rate.Period <= 0 || rate.Period > 30*time.Minute {
			return fmt.Errorf("behavior.%s.policies: value %d must be positive, and periodSeconds %v from 1 to 1800", name, rate.Value, rate.Period)
		}
	}
	return nil
}

// filled are the rules of one direction with the HPA's defaults.
func (r *Rules) filled(window time.Duration, rates ...Rate) Rules {
	out := Rules{Window: &window, Select: SelectMax, Rates: rates}
	tolerance := defaultTolerance
	out.Tolerance = &tolerance
	if r == nil {
		return out
	}
	if r.Window != nil {
		out.Window = r.Window
	}
	if r.Select != "" {
		out.Select = r.Select
	}
	if r.Rates != nil {
		out.Rates = r.Rates
	}
	if r.Tolerance != nil {
		out.Tolerance = r.Tolerance
	}
	return out
}

const ratePeriod = 15 * time.Second

// up and down are the rules that count.
func (p LagPolicy) up() Rules {
	return p.Up.filled(0, Rate{Value: 4, Period: ratePeriod}, Rate{Percent: true, Value: 100, Period: ratePeriod})
}

func (p LagPolicy) down() Rules {
	return p.Down.filled(defaultDownHold, Rate{Percent: true, Value: 100, Period: ratePeriod})
}

// within is whether a ratio of what is to what should be is no reason for a change.
func (p LagPolicy) within(ratio float64) bool {
	return 1-*p.down().Tolerance <= ratio && ratio <= 1+*p.up().Tolerance
}

// copiesOf is v as a count of copies.
func copiesOf(v float64) int {
	switch {
	case math.IsNaN(v) || v < 0:
		return 0
	case v > maxCopies:
		return maxCopies
	}
	return int(v)
}
