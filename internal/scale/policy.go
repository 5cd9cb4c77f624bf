package scale

import (
	"math"
	"time"
)

// Tick is how often a decision is due while a revision has copies or traffic; samples are due every Bucket.
const (
	Tick   = 2 * time.Second
	Bucket = time.Second
)

// Metric is what is measured.
type Metric string

// The metrics.
const (
	Concurrency Metric = "concurrency" // requests inside and waiting, averaged over time
	RPS         Metric = "rps"         // requests arrived per second
)

// The limits and defaults of a policy; they are Knative's.
const (
	minTarget          = 0.01
	defaultConcurrency = 100
	defaultRPS         = 200
	defaultUtilization = 0.7
	defaultWindow      = 60 * time.Second
	minWindow          = 6 * time.Second
	maxWindow          = time.Hour
	defaultPanicWindow = 10.0  // per cent of the window
	defaultPanicAt     = 200.0 // per cent of what the ready copies are meant for
	defaultBurst       = 211
	maxUp              = 1000 // times the ready copies, per decision
	maxDown            = 2    // divides the ready copies, per decision
)

// Policy is how one revision is scaled. Make it with PolicyFrom.
type Policy struct {
	Metric Metric
	// Target is the value of Metric that one copy is meant for; Total is the same before utilization is taken off.
	Target, Total float64
	// Concurrency is the hard limit of requests inside one copy; 0 is unlimited.
	Concurrency int
	// Min and Max bound the copies; a Max of 0 is unlimited. Min holds only while the revision is reachable.
	Min, Max int
	// Initial is how many copies prove a new revision; 0 takes it on trust.
	Initial int
	// Activation is how many copies to have at least when there is any; below 2 it says nothing.
	Activation int
	// Window and PanicWindow are what the two averages are taken over, in whole seconds.
	Window, PanicWindow time.Duration
	// PanicAt is the ratio of wanted to ready copies at which panic begins: no scaling in until a Window has passed without.
	PanicAt float64
	// ScaleDownDelay is how long a larger wanted number is remembered.
	ScaleDownDelay time.Duration
	// Retention is how long the last copy is kept after the decision to have none.
	Retention time.Duration
	// Exponential weighs recent seconds more than older ones.
	Exponential bool
	// Burst is the capacity to keep free for bursts. It only informs: the activator never leaves the path here.
	Burst float64
	// Headroom is whether the user set a target or utilization, and so wants copies beyond those that have work.
	Headroom bool
}

// Missing is how many copies must be started now, beside those already starting, so that each waiting request gets a slot:
// one per missing slot. Copies without a limit hold everything, so that one is enough.
func (p Policy) Missing(waiting, ready, starting int) int {
	if waiting <= 0 {
		return 0
	}
	need := 0
	switch {
	case p.Concurrency > 0:
		need = (waiting+p.Concurrency-1)/p.Concurrency - starting
	case ready+starting == 0:
		need = 1
	}
	if need > 0 {
		need = max(need, p.Activation-ready-starting)
	}
	if p.Max > 0 {
		need = min(need, p.Max-ready-starting)
	}
	return max(need, 0)
}

// bound applies Min, Max and, while the revision is not proven, Initial.
func (p Policy) bound(want int, st State) int {
	if st.Reachable {
		want = max(want, p.Min)
	}
	if !st.Proven {
		want = max(want, p.Initial)
	}
	if p.Max > 0 {
		want = min(want, p.Max)
	}
	return want
}

// needed is the number of copies that the load fills at their hard limit.
func (p Policy) needed(load float64) int {
	return int(math.Ceil(load / float64(p.Concurrency)))
}

// AtRest is how many copies to have when there is none, no request, and nothing to measure.
func (p Policy) AtRest(st State) int { return p.bound(0, st) }
