package scale_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/scale"
)

var errDown = errors.New("connection refused")

// lagWorld runs a decider in virtual time; its copies follow at once.
type lagWorld struct {
	t     *testing.T
	lag   *scale.Lag
	start time.Time
	now   time.Time
}

func newLagWorld(t *testing.T, p scale.LagPolicy) *lagWorld {
	t.Helper()
	start := time.Unix(1_700_000_000, 0)
	l, err := scale.NewLag(p, start, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &lagWorld{t, l, start, start}
}

// at sets the seconds since the start.
func (w *lagWorld) at(seconds int) { w.now = w.start.Add(time.Duration(seconds) * time.Second) }

func (w *lagWorld) poll(want int, rs ...scale.Reading) {
	w.t.Helper()
	if got := w.lag.Poll(w.now, rs, w.lag.Want()); got != want {
		w.t.Fatalf("poll at %v: got %d copies, want %d", w.now.Sub(w.start), got, want)
	}
}

func (w *lagWorld) sync(want int, rs ...scale.Reading) {
	w.t.Helper()
	n := w.lag.Want()
	if got := w.lag.Sync(w.now, rs, n, n); got != want {
		w.t.Fatalf("sync at %v: got %d copies, want %d", w.now.Sub(w.start), got, want)
	}
}

// queue is a trigger with n waiting, ten for each copy.
func queue(n float64) scale.Reading {
	return scale.Reading{Trigger: "q", Values: []scale.Value{{Sum: n, Target: 10, PerCopy: true}}, Active: n > 0}
}

func down() scale.Reading { return scale.Reading{Trigger: "q", Err: errDown} }

func ptr[T any](v T) *T { return &v }

func TestLagFromZeroAndBack(t *testing.T) {
	w := newLagWorld(t, scale.LagPolicy{Max: 20})
	w.poll(0, queue(0))
	w.at(30)
	w.poll(20, queue(100_000)) // at once, not one, then five, then ten
	w.at(45)
	w.sync(20, queue(5_000))
	w.at(60)
	w.poll(20, queue(0))
	w.sync(20, queue(0)) // the largest number of five minutes
	w.at(30 + 300)
	w.poll(20, queue(0))
	w.at(30 + 301)
	w.poll(0, queue(0))
}

func TestLagFollows(t *testing.T) {
	w := newLagWorld(t, scale.LagPolicy{Max: 50})
	w.poll(3, queue(25))
	w.at(15)
	w.sync(3, queue(32)) // within a tenth
	w.at(30)
	w.sync(6, queue(90)) // at most doubled
	w.at(45)
	w.sync(9, queue(90))
	w.at(60)
	w.poll(9, queue(10))
	w.sync(9, queue(10))
	w.at(45 + 301)
	w.sync(1, queue(10))
}

func TestLagCooldown(t *testing.T) {
	for name, c := range map[string]struct {
		policy  scale.LagPolicy
		seconds int // after the last activity, when nothing may be left
	}{
		"default": {scale.LagPolicy{}, 300},
		"given":   {scale.LagPolicy{Cooldown: time.Minute}, 60},
		"none":    {scale.LagPolicy{Cooldown: -1}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newLagWorld(t, c.policy)
			w.at(10)
			w.poll(1, queue(1))
			w.at(10 + c.seconds)
			w.poll(1, queue(0))
			w.now = w.now.Add(time.Millisecond)
			w.poll(0, queue(0))
		})
	}
}

func TestLagInitialCooldown(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	l, err := scale.NewLag(scale.LagPolicy{InitialCooldown: time.Minute}, start, 1)
	if err != nil {
		t.Fatal(err)
	}
	if n := l.Poll(start.Add(time.Minute), []scale.Reading{queue(0)}, 1); n != 1 {
		t.Errorf("got %d within the initial cooldown", n)
	}
	if n := l.Poll(start.Add(61*time.Second), []scale.Reading{queue(0)}, 1); n != 0 {
		t.Errorf("got %d after the initial cooldown", n)
	}
}

func TestLagMinimumAndIdle(t *testing.T) {
	w := newLagWorld(t, scale.LagPolicy{Min: 2, Max: 5})
	w.poll(2, queue(0))
	w.at(15)
	w.sync(4, queue(1000))
	w.at(30)
	w.sync(5, queue(1000))
	w = newLagWorld(t, scale.LagPolicy{Min: 3, Max: 5, Idle: ptr(0), Cooldown: time.Second})
	w.poll(0, queue(0))
	w.poll(3, queue(1))
	w.at(10)
	w.poll(0, queue(0))
	w.sync(0, queue(1000)) // only a poll ends idleness
	w = newLagWorld(t, scale.LagPolicy{Min: 3, Max: 5, Idle: ptr(1), Cooldown: time.Second})
	w.poll(0, queue(0))
	w.poll(5, queue(100))
	w.at(10)
	w.poll(1, queue(0))
	w.sync(1, queue(100))
	w.poll(5, queue(100))
}

func TestLagSeveralTriggers(t *testing.T) {
	other := scale.Reading{Trigger: "r", Values: []scale.Value{{Sum: 6, Target: 1, PerCopy: true}}}
	w := newLagWorld(t, scale.LagPolicy{Max: 50})
	w.poll(6, queue(20), other) // one that is not active counts as soon as another is
	w.at(15)
	w.sync(7, queue(70), other)
	w.at(30)
	w.sync(7, down(), other) // what is known would take copies away
	w.at(45)
	other.Values[0].Sum = 12
	w.sync(12, down(), other)
	if err := w.lag.Failed(); !errors.Is(err, errDown) || !strings.Contains(err.Error(), "trigger q") {
		t.Errorf("got %v", err)
	}
}

func TestLagValue(t *testing.T) {
	latency := func(v float64) scale.Reading {
		return scale.Reading{Trigger: "q", Values: []scale.Value{{Sum: v, Target: 2}}, Active: true}
	}
	w := newLagWorld(t, scale.LagPolicy{Max: 50})
	w.poll(1, latency(8)) // it says nothing of how many there should be before there is one
	w.at(15)
	w.sync(4, latency(8))
	w.at(30)
	w.sync(4, latency(2.1))
	w.at(45)
	w.sync(6, latency(3))
}

// TestLagResource: cpu and memory never bring the first copy beside another trigger, and alone keep one.
func TestLagResource(t *testing.T) {
	cpu := func(v float64) scale.Reading {
		return scale.Reading{Trigger: "cpu", Resource: true, Values: []scale.Value{{Sum: v, Target: 50}}}
	}
	w := newLagWorld(t, scale.LagPolicy{Max: 9})
	w.poll(0, queue(0), cpu(0))
	w.poll(1, queue(1), cpu(0))
	w.at(15)
	w.sync(2, queue(1), cpu(100))
	w = newLagWorld(t, scale.LagPolicy{Max: 9})
	w.poll(1, cpu(0))
	w.at(1000)
	w.poll(1, cpu(0))
}

func TestLagFallback(t *testing.T) {
	for name, c := range map[string]struct {
		fallback scale.Fallback
		want     int // from 4 copies, at the second failure
	}{
		"static":                  {scale.Fallback{Threshold: 1, Replicas: 6}, 6},
		"as it is":                {scale.Fallback{Threshold: 1, Replicas: 6, Behaviour: scale.FallbackCurrent}, 4},
		"at least as it is":       {scale.Fallback{Threshold: 1, Replicas: 2, Behaviour: scale.FallbackCurrentIfHigher}, 4},
		"at least the fallback":   {scale.Fallback{Threshold: 1, Replicas: 8, Behaviour: scale.FallbackCurrentIfHigher}, 8},
		"at most the fallback":    {scale.Fallback{Threshold: 1, Replicas: 8, Behaviour: scale.FallbackCurrentIfLower}, 4},
		"a threshold not reached": {scale.Fallback{Threshold: 2, Replicas: 9}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			w := newLagWorld(t, scale.LagPolicy{Max: 20, Fallback: &c.fallback})
			w.poll(4, queue(40))
			w.at(15)
			w.sync(4, down())
			w.at(30)
			w.sync(c.want, down())
		})
	}
	w := newLagWorld(t, scale.LagPolicy{Max: 20, Fallback: &scale.Fallback{Threshold: 1, Replicas: 3}})
	w.poll(0, down())
	w.at(30)
	w.poll(3, down()) // from none as well
	w.at(60)
	w.poll(3, queue(0)) // it answers again: the cooldown begins with the last activity
	w = newLagWorld(t, scale.LagPolicy{Max: 20})
	w.poll(4, queue(40))
	w.at(3000)
	w.poll(4, down()) // without a fallback nothing goes because nothing is known
}

func TestLagFormula(t *testing.T) {
	f, err := scale.NewFormula("(q + r) / 2", []string{"q", "r"}, 5, 10, false)
	if err != nil {
		t.Fatal(err)
	}
	r := func(v float64) scale.Reading {
		return scale.Reading{Trigger: "r", Values: []scale.Value{{Sum: v}}, Active: true}
	}
	w := newLagWorld(t, scale.LagPolicy{Max: 50, Formula: f})
	w.poll(0, queue(10), r(10)) // 10 is not more than 10
	w.poll(4, queue(20), r(20))
	w.at(15)
	w.sync(6, queue(40), r(20))
	w.at(30)
	w.sync(6, down(), r(1000))

	f, err = scale.NewFormula("q ?? r", []string{"q", "r"}, 5, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	w = newLagWorld(t, scale.LagPolicy{Max: 50, Formula: f, Fallback: &scale.Fallback{Replicas: 3, Behaviour: scale.FallbackFormula}})
	w.poll(2, down(), r(10))
	w.at(15)
	rDown := scale.Reading{Trigger: "r", Err: errDown}
	w.sync(3, down(), rDown) // the formula gives nothing
}

func TestFormulaRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		text     string
		triggers []string
		target   float64
		says     string
	}{
		"unknown name": {"q + x", []string{"q"}, 1, "x"},
		"no number":    {`"q"`, []string{"q"}, 1, "must give a number"},
		"no target":    {"q", []string{"q"}, 0, "target"},
		"twice":        {"q", []string{"q", "q"}, 1, "two triggers"},
		"unnamed":      {"q", []string{"q", ""}, 1, "unique name"},
		"long":         {strings.Repeat("q", 5000), []string{"q"}, 1, "longer"},
	} {
		if _, err := scale.NewFormula(c.text, c.triggers, c.target, 0, false); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := scale.NewFormula("q > 3 ? 1 : 2", []string{"q"}, 1, 0, false); err != nil {
		t.Errorf("whole numbers: %v", err)
	}
}

func TestLagBehaviour(t *testing.T) {
	up := &scale.Rules{Rates: []scale.Rate{{Value: 2, Period: time.Minute}}}
	w := newLagWorld(t, scale.LagPolicy{Max: 50, Up: up})
	w.poll(3, queue(1000)) // one, and two more
	for s := 15; s <= 45; s += 15 {
		w.at(s)
		w.sync(3, queue(1000))
	}
	w.at(60)
	w.sync(5, queue(1000))

	w = newLagWorld(t, scale.LagPolicy{Max: 50, Up: &scale.Rules{Select: scale.SelectDisabled}})
	w.poll(1, queue(1000))
	w.at(15)
	w.sync(1, queue(1000))

	short := 0 * time.Second
	w = newLagWorld(t, scale.LagPolicy{Max: 50, Down: &scale.Rules{Window: &short, Rates: []scale.Rate{{Percent: true, Value: 50, Period: time.Minute}}}})
	w.poll(8, queue(80))
	w.at(15)
	w.sync(1, queue(10)) // the rates look at the start of the period, when there was one
	w.poll(1, queue(80))
	w.at(30)
	w.sync(5, queue(80))
	w.at(45)
	w.sync(8, queue(80))
	w.at(120)
	w.sync(4, queue(10))
	w.at(135)
	w.sync(4, queue(10))
	w.at(181)
	w.sync(2, queue(10))

	steady := 30 * time.Second
	w = newLagWorld(t, scale.LagPolicy{Max: 50, Up: &scale.Rules{Window: &steady}})
	w.poll(2, queue(20))
	w.at(15)
	w.sync(2, queue(100))
	w.at(31)
	w.sync(6, queue(60)) // the smallest of the last half minute
}

func TestLagPolicyRefusals(t *testing.T) {
	for name, p := range map[string]scale.LagPolicy{
		"min":       {Min: -1},
		"max":       {Min: 3, Max: 2},
		"idle":      {Min: 1, Max: 2, Idle: ptr(1)},
		"polling":   {Polling: -1},
		"fallback":  {Fallback: &scale.Fallback{Replicas: -1}},
		"behaviour": {Fallback: &scale.Fallback{Behaviour: "x"}},
		"select":    {Up: &scale.Rules{Select: "x"}},
		"window":    {Down: &scale.Rules{Window: ptr(2 * time.Hour)}},
		"rate":      {Down: &scale.Rules{Rates: []scale.Rate{{Value: 1}}}},
	} {
		if _, err := scale.NewLag(p, time.Time{}, 0); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestLagPause: nothing that triggers say changes anything, and after it they begin anew.
func TestLagPause(t *testing.T) {
	w := newLagWorld(t, scale.LagPolicy{Max: 50})
	w.poll(3, queue(25))
	pause := func(p *scale.Pause) {
		t.Helper()
		if err := w.lag.Update(scale.LagPolicy{Max: 50, Pause: p}); err != nil {
			t.Fatal(err)
		}
	}
	pause(&scale.Pause{})
	w.at(30)
	w.poll(3, queue(500))
	w.sync(3, queue(500))
	w.at(3600)
	w.poll(3, queue(0))
	w.poll(3, down())
	if w.lag.Failed() != nil || w.lag.Active() {
		t.Error("a pause complains")
	}
	pause(&scale.Pause{Copies: ptr(60)}) // at once, and more than Max
	if w.lag.Want() != 60 {
		t.Errorf("%d copies", w.lag.Want())
	}
	pause(&scale.Pause{Copies: ptr(0)})
	w.poll(0, queue(500))
	pause(nil)
	w.at(3630)
	w.poll(50, queue(500))
	if _, err := scale.NewLag(scale.LagPolicy{Pause: &scale.Pause{Copies: ptr(-1)}}, w.start, 0); err == nil {
		t.Error("fewer than none")
	}
}
