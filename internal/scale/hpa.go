package scale

import (
	"math"
	"time"
)

// hpa is what a HorizontalPodAutoscaler remembers: what it recommended, and what it changed.
type hpa struct {
	recommended []stamped
	ups, downs  []stamped
}

type stamped struct {
	at time.Time
	n  int
}

// known notes the number that there is when the first recommendation is made.
func (h *hpa) known(now time.Time, n int) {
	if h.recommended == nil {
		h.recommended = []stamped{{now, n}}
	}
}

// remember notes a recommendation, and forgets those that no window can ask for any more.
func (h *hpa) remember(now time.Time, n int) {
	h.recommended = append(since(h.recommended, now.Add(-time.Hour)), stamped{now, n})
}

// since are those after a time.
func since(all []stamped, t time.Time) []stamped {
	for len(all) > 0 && !all[0].at.After(t) {
		all = all[1:]
	}
	return all
}

// changed notes a change of the number, for the rates.
func (h *hpa) changed(now time.Time, from, to int, p LagPolicy) {
	switch {
	case p.Up == nil && p.Down == nil || from == to:
	case to > from:
		h.ups = append(since(h.ups, now.Add(-30*time.Minute)), stamped{now, to - from})
	default:
		h.downs = append(since(h.downs, now.Add(-30*time.Minute)), stamped{now, from - to})
	}
}

// normal is a proposal made steady and brought within the limits of change and of the policy.
func (h *hpa) normal(now time.Time, have, want, low int, p LagPolicy) int {
	if p.Up == nil && p.Down == nil {
		want = h.plain(now, want)
		return min(max(want, low), p.Max, max(2*have, 4))
	}
	want = h.steady(now, have, want, p)
	switch {
	case want > have:
		return min(want, p.Max, max(have, h.upLimit(now, have, p.up())))
	case want < have:
		return max(want, low, min(have, h.downLimit(now, have, p.down())))
	}
	return want
}

// plain is the largest recommendation of the last minutes.
func (h *hpa) plain(now time.Time, want int) int {
	most, cutoff := want, now.Add(-defaultDownHold)
	for _, r := range h.recommended {
		if !r.at.Before(cutoff) {
			most = max(most, r.n)
		}
	}
	h.remember(now, want)
	return most
}

// steady is the number within the smallest recommendation of the one window and the largest of the other that is nearest to have.
func (h *hpa) steady(now time.Time, have, want int, p LagPolicy) int {
	up, down := want, want
	upCutoff, downCutoff := now.Add(-*p.up().Window), now.Add(-*p.down().Window)
	for _, r := range h.recommended {
		if r.at.After(upCutoff) {
			up = min(up, r.n)
		}
		if r.at.After(downCutoff) {
			down = max(down, r.n)
		}
	}
	h.remember(now, want)
	return min(max(have, up), down)
}

// changedSince sums up changes of a period that ends now.
func changedSince(all []stamped, now time.Time, period time.Duration) int {
	sum := 0
	for _, c := range all {
		if c.at.After(now.Add(-period)) {
			sum += c.n
		}
	}
	return sum
}

// start is how many there were at the start of a period.
func (h *hpa) start(now time.Time, have int, period time.Duration) int {
	return have - changedSince(h.ups, now, period) + changedSince(h.downs, now, period)
}

// upLimit is the largest number that the rates allow.
func (h *hpa) upLimit(now time.Time, have int, r Rules) int {
	return h.limit(now, have, r, 1)
}

// downLimit is the smallest number that the rates allow.
func (h *hpa) downLimit(now time.Time, have int, r Rules) int {
	return h.limit(now, have, r, -1)
}

// limit goes by the rates in the direction of sign. The larger change is the larger number upwards, the smaller one downwards.
func (h *hpa) limit(now time.Time, have int, r Rules, sign int) int {
	if r.Select == SelectDisabled {
		return have
	}
	larger := (r.Select == SelectMin) != (sign > 0)
	result := math.MaxInt32
	if larger {
		result = math.MinInt32
	}
	for _, rate := range r.Rates {
		start, n := h.start(now, have, rate.Period), 0
		switch {
		case !rate.Percent:
			n = start + sign*rate.Value
		case sign > 0: // rounded up, or a small number would never grow
			n = int(math.Ceil(float64(start) * (1 + float64(rate.Value)/100)))
		default:
			n = int(float64(start) * (1 - float64(rate.Value)/100))
		}
		if larger {
			result = max(result, n)
		} else {
			result = min(result, n)
		}
	}
	return result
}
