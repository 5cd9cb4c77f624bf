package scale_test

import (
	"maps"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/scale"
)

var t0 = time.Unix(1_700_000_000, 0)

func policy(t *testing.T, hard int, annotations ...string) scale.Policy {
	t.Helper()
	a := map[string]string{}
	for i := 0; i < len(annotations); i += 2 {
		a[g+annotations[i]] = annotations[i+1]
	}
	p, err := scale.PolicyFrom(a, 0, 0, hard)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// steps runs a scaler whose copies follow every decision at once, and returns when the wanted number changed, as second -> copies.
func steps(s *scale.Scaler, seconds int, load func(sec int) float64) map[int]int {
	changed, st := map[int]int{}, scale.State{Reachable: true, Proven: true}
	for sec := range seconds {
		now := t0.Add(time.Duration(sec) * time.Second)
		l := load(sec)
		st.Busy = int(l)
		s.Record(now, l, l)
		if sec%2 != 0 {
			continue
		}
		if d := s.Decide(now, st); d.Want != st.Ready {
			changed[sec], st.Ready = d.Want, d.Want
		}
	}
	return changed
}

// until is a load that ends.
func until(end int, level float64) func(int) float64 {
	return func(sec int) float64 {
		if sec < end {
			return level
		}
		return 0
	}
}

func TestStaircase(t *testing.T) {
	for name, tt := range map[string]struct {
		annotations []string
		hard        int
		load        func(int) float64
		want        map[int]int
	}{
		"a load that ends, headroom asked for": {
			annotations: []string{"target", "10"}, load: until(60, 50),
			want: map[int]int{0: 8, 62: 7, 70: 6, 78: 5, 86: 4, 94: 3, 104: 2, 112: 1, 120: 0},
		},
		"a hard limit alone starts no more than the load fills": {hard: 10, load: until(4, 50), want: map[int]int{0: 5, 62: 2, 64: 1, 66: 0}},
		"one short request": {load: until(1, 1), want: map[int]int{0: 1, 62: 0}},
		"retention keeps the last copy": {
			annotations: []string{"scale-to-zero-pod-retention-period", "30s"}, load: until(1, 1), want: map[int]int{0: 1, 92: 0},
		},
		"delay keeps the most": {
			annotations: []string{"scale-down-delay", "100s", "window", "10s"}, load: until(1, 150), want: map[int]int{0: 3, 110: 1},
		},
		"activation scale": {annotations: []string{"activation-scale", "3", "window", "10s"}, load: until(1, 1), want: map[int]int{0: 3, 10: 1, 12: 0}},
		"min":              {annotations: []string{"min-scale", "2", "window", "10s"}, load: until(1, 1), want: map[int]int{0: 2}},
		"max":              {annotations: []string{"max-scale", "2", "window", "10s"}, load: until(30, 1000), want: map[int]int{0: 2, 40: 1, 42: 0}},
	} {
		t.Run(name, func(t *testing.T) {
			got := steps(scale.New(policy(t, tt.hard, tt.annotations...), 0, t0), 200, tt.load)
			if !maps.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestMissing(t *testing.T) {
	for name, tt := range map[string]struct {
		hard, max, activation    int
		waiting, ready, starting int
		want                     int
	}{
		"nobody waits":                       {hard: 1, want: 0},
		"one per slot":                       {hard: 1, waiting: 7, want: 7},
		"rounded up":                         {hard: 4, waiting: 9, want: 3},
		"those starting count":               {hard: 4, waiting: 9, starting: 2, want: 1},
		"never too many":                     {hard: 4, waiting: 9, starting: 5, want: 0},
		"full copies beside":                 {hard: 1, waiting: 2, ready: 5, want: 2},
		"up to max":                          {hard: 1, max: 6, waiting: 9, ready: 4, starting: 1, want: 1},
		"unlimited wants one":                {waiting: 9000, want: 1},
		"unlimited and starting":             {waiting: 9000, starting: 1, want: 0},
		"unlimited and ready":                {waiting: 1, ready: 1, want: 0},
		"activation":                         {activation: 3, waiting: 1, want: 3},
		"activation counts what there is":    {hard: 1, activation: 3, waiting: 1, ready: 2, want: 1},
		"activation with all of them around": {hard: 1, activation: 3, waiting: 1, ready: 3, want: 1},
	} {
		p := scale.Policy{Concurrency: tt.hard, Max: tt.max, Activation: tt.activation}
		if got := p.Missing(tt.waiting, tt.ready, tt.starting); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
}

func TestDecide(t *testing.T) {
	unproven := func(ready, starting int) scale.State { return scale.State{Ready: ready, Starting: starting} }
	for name, tt := range map[string]struct {
		annotations []string
		loads       []float64 // one a second, the last at the decision
		state       scale.State
		want        int
	}{
		"nothing known keeps what there is":      {nil, nil, scale.State{Ready: 2, Starting: 1, Proven: true}, 3},
		"a new revision is started once":         {nil, nil, unproven(0, 0), 1},
		"even unreachable":                       {[]string{"initial-scale", "3"}, nil, unproven(0, 1), 3},
		"unless told not to":                     {[]string{"initial-scale", "0"}, nil, unproven(0, 0), 0},
		"min of a reachable one":                 {[]string{"min-scale", "2"}, nil, scale.State{Reachable: true, Proven: true}, 2},
		"no min of an unreachable one":           {[]string{"min-scale", "2"}, nil, scale.State{Proven: true}, 0},
		"work keeps one":                         {nil, []float64{0}, scale.State{Ready: 1, Busy: 1, Proven: true}, 1},
		"work brings one":                        {nil, []float64{0}, scale.State{Busy: 1, Proven: true}, 1},
		"a start may finish":                     {nil, []float64{0}, scale.State{Starting: 1, Proven: true}, 1},
		"unreachable falls at once to the need":  {nil, []float64{71}, scale.State{Ready: 8, Busy: 71, Proven: true}, 8}, // began in panic
		"a ready one is kept for a window first": {nil, []float64{0}, scale.State{Ready: 1, Proven: true}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := scale.New(policy(t, 0, tt.annotations...), tt.state.Ready, t0)
			now := t0
			for i, l := range tt.loads {
				now = t0.Add(time.Duration(i) * time.Second)
				s.Record(now, l, l)
			}
			if got := s.Decide(now, tt.state); got.Want != tt.want {
				t.Errorf("got %+v, want %d", got, tt.want)
			}
		})
	}
}

func TestUpdateKeepsWhatWasMeasured(t *testing.T) {
	s := scale.New(policy(t, 0), 0, t0)
	for sec := range 10 {
		s.Record(t0.Add(time.Duration(sec)*time.Second), float64(sec), 1000)
	}
	now := t0.Add(9 * time.Second)
	s.Update(policy(t, 0, "window", "8s", "panic-window-percentage", "50"))
	if d, ok := s.Desired(now, 1, true); !ok || d.Stable != 5.5 || d.Panic != 7.5 {
		t.Errorf("after shrinking: got %+v, want the means of the last 8 and 4 seconds, 5.5 and 7.5", d)
	}
	s.Update(policy(t, 0, "window", "20s"))
	if d, _ := s.Desired(now, 1, true); d.Stable != 5.5 {
		t.Errorf("after growing: got %+v, want the mean of the 8 seconds that are known", d)
	}
	s.Update(policy(t, 0, "metric", "rps"))
	if _, ok := s.Desired(now, 1, true); ok {
		t.Error("concurrency was taken for requests per second")
	}
}

func TestRestartDoesNotScaleIn(t *testing.T) {
	s := scale.New(policy(t, 0), 6, t0)
	s.Record(t0, 1, 1)
	if d, _ := s.Desired(t0, 6, true); d.Copies != 6 || !d.Panicking {
		t.Errorf("got %+v, want the 6 copies that run", d)
	}
}

func TestBurstIsKeptForAWindow(t *testing.T) {
	s := scale.New(policy(t, 1), 0, t0)
	s.Started(t0, 1, 6)
	st := scale.State{Ready: 6, Reachable: true, Proven: true}
	for sec := 0; sec <= 60; sec += 2 {
		now := t0.Add(time.Duration(sec) * time.Second)
		s.Record(now, 0.1, 1)
		if d := s.Decide(now, st); d.Want != 6 {
			t.Fatalf("after %d s: got %+v, want the 6 copies of the burst", sec, d)
		}
	}
	now := t0.Add(62 * time.Second)
	s.Record(now, 0.1, 1)
	if d := s.Decide(now, st); d.Want != 3 {
		t.Errorf("after the window: got %+v, want half", d)
	}
	st.Busy = 5
	if d := s.Decide(now, st); d.Want != 5 {
		t.Errorf("with 5 requests inside: got %+v, want 5", d)
	}
}
