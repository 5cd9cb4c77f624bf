package scale

import (
	"math"
	"time"
)

// Scaler decides for one revision. It is not safe for concurrent use: the revision's own goroutine has it.
type Scaler struct {
	policy        Policy
	stable, panic *window
	delay         *delay
	panicking     time.Time // when it was last over the threshold; zero is not in panic
	panicMost     int       // the most that was wanted in this panic
	zero          zero
}

// Desired is what the KPA's rules alone ask for.
type Desired struct {
	Copies        int
	Panicking     bool
	Stable, Panic float64 // the two averages
	// Excess is the capacity left over the wanted burst; negative when it is too little.
	Excess int
}

// New makes a scaler of a revision that has ready copies now. With more than one it begins in panic, so that a restart, which
// knows no past, does not scale in.
func New(p Policy, ready int, now time.Time) *Scaler {
	s := &Scaler{policy: p, stable: newWindow(p.Window), panic: newWindow(p.PanicWindow), panicMost: ready}
	s.delay = newDelay(p.ScaleDownDelay)
	if ready > 1 {
		s.panicking = now
	}
	return s
}

// Update replaces the policy and keeps what was measured. Numbers of another metric are forgotten.
func (s *Scaler) Update(p Policy) {
	if p.ScaleDownDelay != s.policy.ScaleDownDelay {
		s.delay = newDelay(p.ScaleDownDelay)
	}
	if p.Metric != s.policy.Metric {
		s.stable, s.panic = newWindow(p.Window), newWindow(p.PanicWindow)
	} else {
		s.stable, s.panic = s.stable.resized(p.Window), s.panic.resized(p.PanicWindow)
	}
	s.policy = p
}

// Started notes that copies were started because requests waited, ahead of any decision. When that is the step that would have
// begun panic, it begins panic, and within a panic it prolongs it: what a burst needed is kept until a window has passed
// without another.
func (s *Scaler) Started(now time.Time, ready, total int) {
	if total > 1 && (!s.panicking.IsZero() || float64(total)/max(1, float64(ready)) >= s.policy.PanicAt) {
		s.panicking, s.panicMost = now, max(s.panicMost, total)
	}
}

// Policy is what the scaler goes by.
func (s *Scaler) Policy() Policy { return s.policy }

// Record adds what was measured over the second that ends now: the mean concurrency and the requests that arrived.
func (s *Scaler) Record(now time.Time, concurrency, rps float64) {
	v := concurrency
	if s.policy.Metric == RPS {
		v = rps
	}
	s.stable.record(now, v)
	s.panic.record(now, v)
}

// Desired applies the KPA's rules to what was recorded. The boolean is false, and nothing is decided, when nothing was recorded
// within the window.
func (s *Scaler) Desired(now time.Time, ready int, reachable bool) (Desired, bool) {
	if !s.stable.written {
		return Desired{}, false
	}
	d := Desired{Stable: s.average(s.stable, now), Panic: s.average(s.panic, now)}
	have := max(1, float64(ready))
	forStable, forPanic := math.Ceil(d.Stable/s.policy.Target), math.Ceil(d.Panic/s.policy.Target)
	s.watchPanic(now, forPanic/have >= s.policy.PanicAt)

	want := s.rated(forStable, have, reachable)
	if !s.panicking.IsZero() {
		s.panicMost = max(s.panicMost, want, s.rated(forPanic, have, reachable))
		want = s.panicMost
	}
	if reachable && s.policy.ScaleDownDelay > 0 {
		want = s.delay.largest(now, want)
	}
	d.Copies, d.Panicking, d.Excess = want, !s.panicking.IsZero(), s.excess(ready, d.Panic)
	return d, true
}

// average is the mean of a window by the policy's algorithm.
func (s *Scaler) average(w *window, now time.Time) float64 {
	if s.policy.Exponential {
		return w.exponential(now)
	}
	return w.average(now)
}

// rated limits how fast the number may change from have, and lifts it to the activation scale.
func (s *Scaler) rated(want, have float64, reachable bool) int {
	least := 0.0
	if reachable {
		least = math.Floor(have / maxDown)
	}
	n := int(min(max(want, least), have*maxUp))
	if want > 0 && s.policy.Activation > 1 {
		n = max(n, s.policy.Activation)
	}
	return n
}

// watchPanic begins, prolongs and ends panic.
func (s *Scaler) watchPanic(now time.Time, over bool) {
	switch {
	case over:
		s.panicking = now
	case !s.panicking.IsZero() && now.Sub(s.panicking) > s.policy.Window:
		s.panicking, s.panicMost = time.Time{}, 0
	}
}

// excess is the capacity beyond the present load and the wanted burst.
func (s *Scaler) excess(ready int, load float64) int {
	switch {
	case s.policy.Burst == 0:
		return 0
	case s.policy.Burst < 0:
		return -1
	}
	return int(math.Floor(float64(ready)*s.policy.Total - s.policy.Burst - load))
}
