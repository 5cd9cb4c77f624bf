package scale

import "time"

// State is what a revision has at the time of a decision.
type State struct {
	Ready    int
	Starting int
	// Busy is the number of requests inside copies or waiting for one.
	Busy int
	// Reachable is whether anything routes to it.
	Reachable bool
	// Proven is whether it has once had its initial copies ready.
	Proven bool
}

// Decision is the outcome: how many copies there should be.
type Decision struct {
	Want int
	// Why is for the log: the KPA's own outcome.
	Why Desired
}

// Decide says how many copies there should be now: what the KPA desires, within the policy's bounds, and zero only as its rules allow.
func (s *Scaler) Decide(now time.Time, st State) Decision {
	have := st.Ready + st.Starting
	d, known := s.Desired(now, st.Ready, st.Reachable)
	want := have
	if known {
		want = s.busyKept(s.unhurried(d, st), st)
	}
	out := Decision{Want: s.policy.bound(want, st), Why: d}
	if out.Want > 0 || st.Busy > 0 {
		out.Want = max(out.Want, min(1, st.Busy))
		s.zero.busy(now, st.Ready > 0)
		return out
	}
	out.Want = s.zero.hold(now, s.policy, st)
	return out
}

// unhurried takes back copies that the KPA wants as headroom and nobody asked for: with a hard limit on concurrency, and no
// target of the user's own, no more are started than the load fills. On one machine a start takes milliseconds, and idle
// headroom takes memory from others.
func (s *Scaler) unhurried(d Desired, st State) int {
	p := s.policy
	if p.Concurrency == 0 || p.Headroom || p.Metric != Concurrency {
		return d.Copies
	}
	fill := max(p.needed(max(d.Stable, d.Panic, float64(st.Busy))), p.Activation)
	return min(d.Copies, max(fill, st.Ready+st.Starting))
}

// busyKept takes no copy away that the requests of this moment fill, whatever the average of the last seconds is.
func (s *Scaler) busyKept(want int, st State) int {
	if p := s.policy; p.Concurrency > 0 {
		return max(want, min(p.needed(float64(st.Busy)), st.Ready+st.Starting))
	}
	return want
}

// zero is the way of a revision to no copies: active, then inactive for the retention, then none.
type zero struct {
	activeSince   time.Time // zero: not active
	inactiveSince time.Time // zero: not inactive
}

// busy notes that copies are wanted.
func (z *zero) busy(now time.Time, ready bool) {
	z.inactiveSince = time.Time{}
	switch {
	case !ready:
		z.activeSince = time.Time{}
	case z.activeSince.IsZero():
		z.activeSince = now
	}
}

// hold is how many copies of an idle revision to keep. A copy that is starting may finish its start;
// a revision stays active for a whole window after it became so; the last copy then stays for the retention.
func (z *zero) hold(now time.Time, p Policy, st State) int {
	if st.Ready == 0 {
		*z = zero{}
		return st.Starting
	}
	if z.inactiveSince.IsZero() {
		if z.activeSince.IsZero() {
			z.activeSince = now
		}
		if now.Sub(z.activeSince) < p.Window {
			return 1
		}
		*z = zero{inactiveSince: now}
	}
	if now.Sub(z.inactiveSince) < p.Retention {
		return 1
	}
	return 0
}
