package scale

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// JobPolicy is how many copies that run to completion are started for what waits: KEDA's ScaledJob.
type JobPolicy struct {
	Min, Max int // Max 0 is 100
	// Strategy is "default" (or empty), "custom", "accurate" or "eager".
	Strategy string
	// Deduction and RunningPart (0.5 is half) are for the strategy custom.
	Deduction   int
	RunningPart float64
	// Combine says how several triggers count: "max" (or empty), "min", "avg" or "sum".
	Combine string
}

// NewJobPolicy checks a policy. part is the running part as text, "0.5"; a custom strategy whose part is no number is the default one.
func NewJobPolicy(p JobPolicy, part string) (JobPolicy, error) {
	if p.Max == 0 {
		p.Max = max(defaultLagMax, p.Min)
	}
	if p.Min < 0 || p.Max < p.Min {
		return p, fmt.Errorf("minReplicas %d and maxReplicas %d: the one must not be negative nor more than the other", p.Min, p.Max)
	}
	if !slices.Contains([]string{"", "default", "custom", "accurate", "eager"}, p.Strategy) {
		return p, fmt.Errorf("scalingStrategy.strategy %q is not one of default, custom, accurate, eager", p.Strategy)
	}
	if !slices.Contains([]string{"", "max", "min", "avg", "sum"}, p.Combine) {
		return p, fmt.Errorf("scalingStrategy.multipleScalersCalculation %q is not one of max, min, avg, sum", p.Combine)
	}
	if p.Strategy == "custom" {
		v, err := strconv.ParseFloat(part, 64)
		if err != nil {
			p.Strategy = "default"
		}
		p.RunningPart = v
	}
	return p, nil
}

// Jobs is how many copies to start now, and whether anything waits. running are all that have not completed, pending those of
// them that have not begun to work.
func (p JobPolicy) Jobs(rs []Reading, running, pending int) (start int, active bool) {
	waiting, most, active := p.combine(rs)
	active = active || p.Min > 0
	if running < p.Min {
		return p.Min - running, active
	}
	if !active {
		return 0, false
	}
	extra := running - p.Min
	limit := 0
	switch p.Strategy {
	case "custom":
		limit = min(most-p.Deduction-int(float64(extra)*p.RunningPart), p.Max)
	case "accurate":
		limit = most - pending
		if most+extra-pending > p.Max {
			limit = p.Max - extra
		}
	case "eager":
		waiting, limit = p.Max, min(p.Max-extra-pending, most)
	default:
		limit = most - extra
	}
	// One machine keeps to the limit where a cluster may pass it: Max bounds all of them together.
	return max(0, min(waiting, limit, p.Max-running)), true
}

// combine is how much waits, and how many copies that fills, at most Max.
func (p JobPolicy) combine(rs []Reading) (waiting, most int, active bool) {
	var sumQueue, sumMost, bestQueue, bestMost, n float64
	for _, r := range rs {
		if r.Err != nil || !r.Active || r.Resource {
			continue
		}
		queue, filled := p.fill(r.Values)
		if n == 0 && p.Combine == "min" || p.Combine == "min" && queue < bestQueue || p.Combine != "min" && queue > bestQueue {
			bestQueue, bestMost = queue, filled
		}
		sumQueue, sumMost = sumQueue+queue, sumMost+filled
		n++
	}
	switch {
	case n == 0:
		return 0, 0, false
	case p.Combine == "sum":
		bestQueue, bestMost = sumQueue, sumMost
	case p.Combine == "avg":
		bestQueue, bestMost = sumQueue/n, sumMost/n
	}
	return copiesOf(math.Ceil(bestQueue)), copiesOf(math.Ceil(min(bestMost, float64(p.Max)))), true
}

// fill is what waits at one trigger, and how many copies that fills.
func (p JobPolicy) fill(values []Value) (queue, filled float64) {
	target := 0.0
	for _, v := range values {
		queue += v.Sum
		target += v.Target
	}
	if target > 0 {
		filled = min(queue/(target/float64(len(values))), float64(p.Max))
	}
	return queue, filled
}
