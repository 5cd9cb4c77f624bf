package scale_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/scale"
)

const g = "autoscaling.knative.dev/"

func TestPolicyDefaults(t *testing.T) {
	p, err := scale.PolicyFrom(nil, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := scale.Policy{
		Metric: scale.Concurrency, Target: 70, Total: 100, Initial: 1, Window: time.Minute, PanicWindow: 6 * time.Second, PanicAt: 2, Burst: 211,
	}
	if p != want {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
}

func TestPolicyFrom(t *testing.T) {
	for name, tt := range map[string]struct {
		annotations    map[string]string
		min, max, hard int
		check          func(scale.Policy) bool
	}{
		"new spelling wins": {map[string]string{g + "min-scale": "2", g + "minScale": "3"}, 0, 0, 0, func(p scale.Policy) bool { return p.Min == 2 }},
		"old spelling":      {map[string]string{g + "maxScale": "3"}, 0, 0, 0, func(p scale.Policy) bool { return p.Max == 3 }},
		"fields win":        {map[string]string{g + "min-scale": "2", g + "max-scale": "9"}, 1, 4, 0, func(p scale.Policy) bool { return p.Min == 1 && p.Max == 4 }},
		"hard limit is the target": {nil, 0, 0, 10, func(p scale.Policy) bool {
			return p.Target == 7 && p.Total == 10 && p.Concurrency == 10 && !p.Headroom
		}},
		"hard limit by annotation":    {map[string]string{g + "container-concurrency": "4"}, 0, 0, 0, func(p scale.Policy) bool { return p.Concurrency == 4 }},
		"target not above hard limit": {map[string]string{g + "target": "50"}, 0, 0, 10, func(p scale.Policy) bool { return p.Total == 10 && p.Headroom }},
		"tiny target":                 {map[string]string{g + "target": "0.01"}, 0, 0, 0, func(p scale.Policy) bool { return p.Target == 0.01 }},
		"rps": {map[string]string{g + "metric": "rps", g + "target-utilization-percentage": "50"}, 0, 0, 10, func(p scale.Policy) bool {
			return p.Target == 100 && p.Total == 200
		}},
		"panic window is whole seconds": {map[string]string{g + "window": "6s", g + "panicWindowPercentage": "1"}, 0, 0, 0, func(p scale.Policy) bool {
			return p.PanicWindow == time.Second
		}},
		"exponential": {map[string]string{g + "metric-aggregation-algorithm": "weightedExponential"}, 0, 0, 0, func(p scale.Policy) bool { return p.Exponential }},
		"burst -1":    {map[string]string{g + "target-burst-capacity": "-1"}, 0, 0, 0, func(p scale.Policy) bool { return p.Burst == -1 }},
		"the rest": {map[string]string{g + "scale-down-delay": "15m", g + "scale-to-zero-pod-retention-period": "1m5s", g + "initial-scale": "0",
			g + "activation-scale": "2", g + "panic-threshold-percentage": "150", g + "class": "kpa.autoscaling.knative.dev", "other.dev/window": "x"}, 0, 0, 0,
			func(p scale.Policy) bool {
				return p.ScaleDownDelay == 15*time.Minute && p.Retention == 65*time.Second && p.Initial == 0 && p.Activation == 2 && p.PanicAt == 1.5
			}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := scale.PolicyFrom(tt.annotations, tt.min, tt.max, tt.hard)
			if err != nil || !tt.check(p) {
				t.Errorf("got %+v, %v", p, err)
			}
		})
	}
}

func TestPolicyFromRefuses(t *testing.T) {
	for _, tt := range []struct{ name, value, says string }{
		{"class", "hpa.autoscaling.knative.dev", "kpa.autoscaling.knative.dev"},
		{"metric", "cpu", "concurrency, rps"},
		{"target", "0", "from 0.01"},
		{"target", "NaN", "from 0.01"},
		{"target", "+Inf", "from 0.01"},
		{"target-utilization-percentage", "101", "from 1 to 100"},
		{"min-scale", "-1", "whole number from 0"},
		{"max-scale", "99999999999", "to 2147483647"},
		{"initial-scale", "one", "whole number"},
		{"activation-scale", "1", "from 2"},
		{"scale-down-delay", "1.5s", "whole seconds"},
		{"scale-to-zero-pod-retention-period", "2h", "from 0s to 1h0m0s"},
		{"window", "5s", "from 6s to 1h0m0s"},
		{"window", "", "90s"},
		{"panic-window-percentage", "0", "from 1 to 100"},
		{"panic-threshold-percentage", "100", "from 110 to 1000"},
		{"metric-aggregation-algorithm", "median", "weighted-exponential"},
		{"target-burst-capacity", "-0.5", "-1 or a number from 0"},
		{"container-concurrency", "-3", "whole number from 0"},
	} {
		_, err := scale.PolicyFrom(map[string]string{g + tt.name: tt.value}, 0, 0, 0)
		if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), g+tt.name) {
			t.Errorf("%s=%q: got %v, want it to name the annotation and say %q", tt.name, tt.value, err, tt.says)
		}
	}
}

func TestPolicyFromListsEverything(t *testing.T) {
	_, err := scale.PolicyFrom(map[string]string{g + "window": "x", g + "target": "x", g + "min-scale": "5", g + "max-scale": "2", g + "activation-scale": "3"}, 0, 0, 0)
	for _, s := range []string{"window", "target", "min-scale 5 is more than max-scale 2", "activation-scale 3 is less than min-scale 5", "activation-scale 3 is more than max-scale 2"} {
		if err == nil || !strings.Contains(err.Error(), s) {
			t.Errorf("%v does not say %q", err, s)
		}
	}
}

// FuzzPolicyFrom: whatever the annotations say, the policy can be worked with, and decisions stay within its bounds.
func FuzzPolicyFrom(f *testing.F) {
	f.Add("10", "70", "60s", "10", "200", "3", "5", "2", 7.0)
	f.Add("NaN", "1e-300", "-1s", "100", "110", "-1", "0", "x", 1e300)
	f.Fuzz(func(t *testing.T, target, use, window, panicWindow, panicAt, minScale, maxScale, activation string, load float64) {
		p, err := scale.PolicyFrom(map[string]string{g + "target": target, g + "target-utilization-percentage": use, g + "window": window,
			g + "panic-window-percentage": panicWindow, g + "panic-threshold-percentage": panicAt, g + "min-scale": minScale,
			g + "max-scale": maxScale, g + "activation-scale": activation}, 0, 0, 0)
		if !(p.Target >= 0.01) || math.IsInf(p.Target, 0) || p.Window < 6*time.Second || p.Window > time.Hour || p.PanicWindow < time.Second || p.PanicWindow > p.Window || !(p.PanicAt >= 1.1) {
			t.Fatalf("unusable policy %+v", p)
		}
		if err != nil || !(load >= 0 && load < 1e6) {
			return
		}
		now := time.Unix(1_700_000_000, 0)
		s := scale.New(p, 0, now)
		s.Record(now, load, load)
		d := s.Decide(now, scale.State{Reachable: true, Proven: true})
		if d.Want < p.Min || p.Max > 0 && d.Want > p.Max {
			t.Fatalf("%+v wants %d copies", p, d.Want)
		}
	})
}
