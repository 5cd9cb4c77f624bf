package scale

import (
	"math"
	"time"
)

// The decay of an exponential average: the weights of a full window add up to at least precision, and no bucket weighs less
// than leastDecay of what is left.
const (
	precision  = 0.9999
	leastDecay = 0.2
)

// window is a ring of one-second sums. A second nobody wrote to counts as zero when it lies between two that were written; those
// after the last write count as unknown, so that a late sample does not look like a drop of load.
type window struct {
	sums        []float64
	first, last int64 // unix seconds of the oldest and newest write that count
	written     bool
}

// newWindow makes one of d, rounded up to seconds.
func newWindow(d time.Duration) *window { return &window{sums: make([]float64, seconds(d))} }

// seconds is d in seconds, rounded up, at least one.
func seconds(d time.Duration) int { return max(1, int((d+time.Second-1)/time.Second)) }

// at is the ring's place for a second.
func (w *window) at(sec int64) *float64 { return &w.sums[sec%int64(len(w.sums))] }

// record adds v to the second of now. Seconds older than the window are dropped.
func (w *window) record(now time.Time, v float64) {
	sec, n := now.Unix(), int64(len(w.sums))
	switch {
	case !w.written || sec-w.last >= n:
		clear(w.sums)
		w.first, w.last, w.written = sec, sec, true
	case sec > w.last:
		for s := w.last + 1; s <= sec; s++ {
			*w.at(s) = 0
		}
		w.last = sec
	case w.last-sec >= n:
		return
	}
	w.first = min(w.first, sec)
	*w.at(sec) += v
}

// average is the mean of the seconds that are known, rounded to a millionth.
func (w *window) average(now time.Time) float64 {
	late, ok := w.lateness(now)
	if !ok {
		return 0
	}
	sum := 0.0
	known := int64(len(w.sums)) - late
	for s := w.last; s > w.last-known; s-- {
		sum += *w.at(s)
	}
	return math.Round(sum/float64(min(w.last-w.first+1, known))*1e6) / 1e6
}

// exponential is the mean in which each second weighs a constant part of what the newer ones left.
func (w *window) exponential(now time.Time) float64 {
	late, ok := w.lateness(now)
	if !ok {
		return 0
	}
	n := len(w.sums)
	decay := max(1-math.Pow(1-precision, 1/float64(n)), leastDecay)
	weight := decay * math.Pow(1-decay, float64(late))
	sum := 0.0
	for s := w.last; s > w.last-int64(n)+late; s-- {
		sum += *w.at(s) * weight
		weight *= 1 - decay
	}
	return sum
}

// lateness is how many seconds passed since the last write; false when nothing in the window is known.
func (w *window) lateness(now time.Time) (int64, bool) {
	late := max(0, now.Unix()-w.last)
	return late, w.written && late < int64(len(w.sums))
}

// resized is a window of another length with the same newest seconds.
func (w *window) resized(d time.Duration) *window {
	n := seconds(d)
	if n == len(w.sums) {
		return w
	}
	to := newWindow(d)
	if !w.written {
		return to
	}
	to.last, to.written = w.last, true
	to.first = max(w.first, w.last-int64(min(n, len(w.sums)))+1)
	for s := to.last; s >= to.first; s-- {
		*to.at(s) = *w.at(s)
	}
	return to
}
