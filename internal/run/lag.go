package run

import (
	"fmt"
	"time"
)

// Workload says how the copies of a revision live.
type Workload string

// The workloads.
const (
	Deployment  Workload = ""            // copies are alike and live as long as they are wanted
	StatefulSet Workload = "StatefulSet" // each has the lowest free ordinal at the end of its name
	Job         Workload = "Job"         // each is started for a batch of work and ends with it
)

// Trigger is something outside that tells how much work waits, as KEDA knows them. Nothing in it must be looked up.
type Trigger struct {
	Type, Name string
	MetricType string // "AverageValue" (or empty), "Value"; "Utilization" for cpu and memory
	// UseCachedMetrics is whether it is asked at the polling interval only.
	UseCachedMetrics bool
	Metadata         map[string]string
	Auth             map[string]string // authentication parameters
	Env              map[string]string // what "…FromEnv" metadata refer to
}

// Lag is how a revision is scaled by triggers, within its MinScale and MaxScale (whose 0 is 100 here): what a ScaledObject of KEDA
// says. Zero durations are KEDA's defaults.
type Lag struct {
	Triggers        []Trigger
	Idle            *int          // copies while nothing waits; nil is MinScale
	Polling         time.Duration // 30 s
	Cooldown        time.Duration // 5 min; negative is none
	InitialCooldown time.Duration
	Fallback        *Fallback
	Modifiers       *Modifiers
	Up, Down        *Rules
	// Pause leaves the number of copies alone, whatever waits; nil does not.
	Pause *Pause
}

// Pause is that of scaling by triggers. Requests still bring copies.
type Pause struct {
	Copies *int // that there are meanwhile, whatever MinScale and MaxScale say; nil: as many as there were
}

// Fallback is what a trigger that fails more than Threshold times in a row counts for.
type Fallback struct {
	Threshold, Replicas int
	Behavior            string // KEDA's names; empty is "static"
}

// Modifiers combine triggers by a formula.
type Modifiers struct {
	Formula            string
	Target, Activation float64
	MetricType         string
}

// Rules limit changes in one direction, as the behavior of a HorizontalPodAutoscaler does. Nil fields are its defaults.
type Rules struct {
	Window    *time.Duration
	Select    string // "Max", "Min", "Disabled"
	Rates     []Rate
	Tolerance *float64
}

// Rate limits how much may change within a period.
type Rate struct {
	Percent bool
	Value   int
	Period  time.Duration
}

// Batch is how copies of the workload Job are started and what becomes of those that fail: what a ScaledJob of KEDA says.
type Batch struct {
	Strategy    string // "default", "custom", "accurate", "eager"
	Deduction   int
	RunningPart string // "0.5"
	Combine     string // "max", "min", "avg", "sum"
	// Never is whether a copy that fails is not started again; otherwise it is, Retries times.
	Never bool
	// Retries is how often in a row; 0 is 6.
	Retries int
}

// Watch says what a trigger is opened for.
type Watch struct {
	Key
	Trigger
	Index     int
	Job       bool
	Composite bool // a formula combines the triggers
	Polling   time.Duration
	// Copies is what the ready copies use now.
	Copies func() []CopyUsage
}

// Title is what the trigger is called in messages and formulas: its name, or its place and type.
func (w Watch) Title() string {
	if w.Trigger.Name != "" {
		return w.Trigger.Name
	}
	return fmt.Sprintf("%d (%s)", w.Index, w.Type)
}

// CopyUsage is what a copy uses, and may use; a limit of 0 is none.
type CopyUsage struct {
	ID          string
	CPU         time.Duration // since its start
	MemoryBytes int64
	CPUMillis   int64 // limit
	MemoryLimit int64
}
