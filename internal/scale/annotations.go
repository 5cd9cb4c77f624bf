package scale

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The annotations of a revision that steer its scaler, after group. All but the ones with an old spelling have one spelling.
const (
	group     = "autoscaling.knative.dev/"
	kpaClass  = "kpa.autoscaling.knative.dev"
	aClass    = "class"
	aMetric   = "metric"
	aTarget   = "target"
	aUse      = "target-utilization-percentage"
	aMin      = "min-scale"
	aMax      = "max-scale"
	aInitial  = "initial-scale"
	aActivate = "activation-scale"
	aDelay    = "scale-down-delay"
	aRetain   = "scale-to-zero-pod-retention-period"
	aWindow   = "window"
	aPanicWin = "panic-window-percentage"
	aPanicAt  = "panic-threshold-percentage"
	aAlgo     = "metric-aggregation-algorithm"
	aBurst    = "target-burst-capacity"
	aHard     = "container-concurrency"
)

// maxCopies bounds every count, so that sums of counts stay in range.
const maxCopies = math.MaxInt32

// PolicyFrom reads the autoscaling.knative.dev/* annotations of a revision, in their present (kebab) and old (camelCase) spelling;
// the present one wins. min, max and containerConcurrency come from elsewhere in the revision and win over the annotations
// unless they are 0. Annotations of other groups and unknown ones are ignored. The error lists every bad value with what is
// allowed; the policy is then the default one with the values that were good.
func PolicyFrom(annotations map[string]string, min, max, containerConcurrency int) (Policy, error) {
	r := &reader{from: annotations}
	r.oneOf(aClass, kpaClass, kpaClass)
	p := Policy{
		Metric:         Metric(r.oneOf(aMetric, string(Concurrency), string(Concurrency), string(RPS))),
		Min:            r.count(aMin, 0, 0),
		Max:            r.count(aMax, 0, 0),
		Initial:        r.count(aInitial, 1, 0),
		Activation:     r.count(aActivate, 0, 2),
		Concurrency:    r.count(aHard, 0, 0),
		Window:         r.duration(aWindow, defaultWindow, minWindow, time.Second),
		ScaleDownDelay: r.duration(aDelay, 0, 0, time.Second),
		Retention:      r.duration(aRetain, 0, 0, time.Nanosecond),
		PanicAt:        r.number(aPanicAt, defaultPanicAt, 110, 1000) / 100,
		Burst:          r.number(aBurst, defaultBurst, -1, math.MaxInt32),
	}
	p.Exponential = r.oneOf(aAlgo, "linear", "linear", "weighted-exponential", "weightedExponential") != "linear"
	part := r.number(aPanicWin, defaultPanicWindow, 1, 100) / 100
	p.PanicWindow = time.Duration(part * float64(p.Window)).Round(time.Second)
	p.PanicWindow = longer(p.PanicWindow, time.Second)
	override(&p.Min, min)
	override(&p.Max, max)
	override(&p.Concurrency, containerConcurrency)
	p.aim(r)
	r.consistent(p)
	return p, errors.Join(r.bad...)
}

// override puts v in place of what an annotation said, when it is set.
func override(to *int, v int) {
	if v > 0 {
		*to = v
	}
}

// longer is the longer of two durations.
func longer(a, b time.Duration) time.Duration {
	if a > b {
		return a
	}
	return b
}

// aim sets the target: what one copy is meant for, less the share kept free.
func (p *Policy) aim(r *reader) {
	p.Total = defaultConcurrency
	switch {
	case p.Metric == RPS:
		p.Total = defaultRPS
	case p.Concurrency > 0:
		p.Total = float64(p.Concurrency)
	}
	_, hasTarget := r.get(aTarget)
	_, hasUse := r.get(aUse)
	if hasTarget {
		p.Total = r.number(aTarget, p.Total, minTarget, math.MaxInt32)
		if p.Metric == Concurrency && p.Concurrency > 0 {
			p.Total = math.Min(p.Total, float64(p.Concurrency))
		}
	}
	p.Target = math.Max(minTarget, p.Total*r.number(aUse, defaultUtilization*100, 1, 100)/100)
	p.Headroom = hasTarget || hasUse
}

// reader takes values from annotations and collects what is wrong with them.
type reader struct {
	from map[string]string
	bad  []error
}

// get finds the value of an annotation in either spelling.
func (r *reader) get(name string) (string, bool) {
	if v, ok := r.from[group+name]; ok {
		return v, true
	}
	v, ok := r.from[group+camel(name)]
	return v, ok
}

// camel spells a-name as aName.
func camel(name string) string {
	words := strings.Split(name, "-")
	for i, w := range words[1:] {
		words[i+1] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, "")
}

// refuse notes that an annotation's value is bad.
func (r *reader) refuse(name, value, want string) {
	r.bad = append(r.bad, fmt.Errorf("annotation %s%s: %q is not valid: must be %s", group, name, value, want))
}

func (r *reader) count(name string, unset, least int) int {
	v, ok := r.get(name)
	if !ok {
		return unset
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || int(n) < least {
		r.refuse(name, v, fmt.Sprintf("a whole number from %d to %d", least, maxCopies))
		return unset
	}
	return int(n)
}

// number reads a finite number; a least of -1 allows -1 itself and everything from 0.
func (r *reader) number(name string, unset, least, most float64) float64 {
	v, ok := r.get(name)
	if !ok {
		return unset
	}
	n, err := strconv.ParseFloat(v, 64)
	switch {
	case err == nil && least == -1 && (n == -1 || n >= 0 && n <= most):
		return n
	case err == nil && least != -1 && n >= least && n <= most:
		return n
	case least == -1:
		r.refuse(name, v, fmt.Sprintf("-1 or a number from 0 to %.0f", most))
	default:
		r.refuse(name, v, fmt.Sprintf("a number from %g to %.0f", least, most))
	}
	return unset
}

func (r *reader) duration(name string, unset, least, unit time.Duration) time.Duration {
	v, ok := r.get(name)
	if !ok {
		return unset
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < least || d > maxWindow || d%unit != 0 {
		whole := ""
		if unit == time.Second {
			whole = ", in whole seconds"
		}
		r.refuse(name, v, fmt.Sprintf("a duration from %v to %v%s, such as 90s", least, maxWindow, whole))
		return unset
	}
	return d
}

func (r *reader) oneOf(name, unset string, allowed ...string) string {
	v, ok := r.get(name)
	if !ok {
		return unset
	}
	for _, a := range allowed {
		if v == a {
			return v
		}
	}
	r.refuse(name, v, "one of "+strings.Join(allowed, ", "))
	return unset
}

// consistent checks the counts against one another.
func (r *reader) consistent(p Policy) {
	clash := func(format string, args ...any) { r.bad = append(r.bad, fmt.Errorf(format, args...)) }
	if p.Max > 0 && p.Min > p.Max {
		clash("min-scale %d is more than max-scale %d: lower the one or raise the other", p.Min, p.Max)
	}
	if p.Activation > 0 && p.Activation < p.Min {
		clash("activation-scale %d is less than min-scale %d: it must be at least that", p.Activation, p.Min)
	}
	if p.Max > 0 && p.Activation > p.Max {
		clash("activation-scale %d is more than max-scale %d: it must be at most that", p.Activation, p.Max)
	}
}
