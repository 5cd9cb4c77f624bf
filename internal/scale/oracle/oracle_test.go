package oracle

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/scale"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/serving/pkg/autoscaler/aggregation"
	"knative.dev/serving/pkg/autoscaler/scaling"
)

// buckets is what Knative's two kinds of window have in common.
type buckets interface {
	Record(time.Time, float64)
	WindowAverage(time.Time) float64
}

// metrics feeds the real autoscaler.
type metrics struct{ stable, panic buckets }

func (m metrics) StableAndPanicConcurrency(_ types.NamespacedName, now time.Time) (float64, float64, error) {
	return m.stable.WindowAverage(now), m.panic.WindowAverage(now), nil
}

func (m metrics) StableAndPanicRPS(k types.NamespacedName, now time.Time) (float64, float64, error) {
	return m.StableAndPanicConcurrency(k, now)
}

func (m metrics) record(now time.Time, v float64) {
	m.stable.Record(now, v)
	m.panic.Record(now, v)
}

type pods struct{ n int }

func (p *pods) ReadyCount() (int, error)    { return p.n, nil }
func (p *pods) NotReadyCount() (int, error) { return 0, nil }

func newMetrics(p scale.Policy) metrics {
	if p.Exponential {
		return metrics{aggregation.NewWeightedFloat64Buckets(p.Window, time.Second), aggregation.NewWeightedFloat64Buckets(p.PanicWindow, time.Second)}
	}
	return metrics{aggregation.NewTimedFloat64Buckets(p.Window, time.Second), aggregation.NewTimedFloat64Buckets(p.PanicWindow, time.Second)}
}

func spec(p scale.Policy, reachable bool) *scaling.DeciderSpec {
	return &scaling.DeciderSpec{
		MaxScaleUpRate: 1000, MaxScaleDownRate: 2, ScalingMetric: string(p.Metric), TargetValue: p.Target, TotalValue: p.Total,
		TargetBurstCapacity: p.Burst, ActivatorCapacity: 100, PanicThreshold: p.PanicAt, StableWindow: p.Window,
		ScaleDownDelay: p.ScaleDownDelay, InitialScale: int32(p.Initial), ActivationScale: int32(p.Activation), Reachable: reachable,
	}
}

// annotations draws a random, valid set.
func annotations(r *rand.Rand) map[string]string {
	const g = "autoscaling.knative.dev/"
	a := map[string]string{}
	some := func(name, format string, v any) {
		if r.IntN(2) == 0 {
			a[g+name] = fmt.Sprintf(format, v)
		}
	}
	some("metric", "%s", []string{"concurrency", "rps"}[r.IntN(2)])
	some("target", "%.2f", 0.05+r.Float64()*20)
	some("target-utilization-percentage", "%d", 1+r.IntN(100))
	some("window", "%ds", 6+r.IntN(100))
	some("panic-window-percentage", "%d", 1+r.IntN(100))
	some("panic-threshold-percentage", "%d", 110+r.IntN(300))
	some("scale-down-delay", "%ds", r.IntN(60))
	some("activation-scale", "%d", 2+r.IntN(4))
	some("target-burst-capacity", "%d", r.IntN(300)-1)
	some("metric-aggregation-algorithm", "%s", "weighted-exponential")
	some("container-concurrency", "%d", r.IntN(12))
	if a[g+"target-burst-capacity"] == "-1" && r.IntN(2) == 0 {
		a[g+"targetBurstCapacity"] = "7" // the old spelling loses
	}
	return a
}

// load draws a trace of plateaus, ramps, spikes, silences and seconds without any sample (NaN is not recorded).
func load(r *rand.Rand, seconds int) []float64 {
	out := make([]float64, 0, seconds)
	for len(out) < seconds {
		n, level := 1+r.IntN(40), r.Float64()*[]float64{0, 1, 30, 500}[r.IntN(4)]
		step, missing := (r.Float64()-0.5)*level/10, r.IntN(6) == 0
		for range n {
			if missing {
				out = append(out, -1)
				continue
			}
			out = append(out, max(0, level))
			level += step
		}
	}
	return out[:seconds]
}

// TestSameDecisions runs both autoscalers over random policies and traces, each against its own count of copies that follows
// what it wanted, and demands the same decision at every tick.
func TestSameDecisions(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		a := annotations(r)
		p, err := scale.PolicyFrom(a, 0, 0, 0)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		compare(t, r, fmt.Sprintf("seed %d, %v", seed, a), p)
	}
}

func compare(t *testing.T, r *rand.Rand, name string, p scale.Policy) {
	t.Helper()
	m, theirs, reachable := newMetrics(p), &pods{}, r.IntN(8) > 0
	kpa := scaling.New(*attribute.EmptySet(), noop.NewMeterProvider(), "ns", "rev", m, theirs, spec(p, reachable))
	t0 := time.Unix(1_700_000_000+int64(r.IntN(1000)), int64(r.IntN(1e9)))
	ours := scale.New(p, 0, t0)
	recorded, quiet := false, zap.NewNop().Sugar()
	for s, v := range load(r, 400) {
		now := t0.Add(time.Duration(s) * time.Second)
		if v >= 0 {
			m.record(now, v)
			ours.Record(now, v, v)
			recorded = true
		}
		if s%2 != 0 || !recorded {
			continue
		}
		want := kpa.Scale(quiet, now)
		got, ok := ours.Desired(now, theirs.n, reachable)
		if !ok || got.Copies != int(want.DesiredPodCount) || got.Excess != int(want.ExcessBurstCapacity) {
			t.Fatalf("%s: at %d s with %d ready: got %+v, the KPA wants %+v", name, s, theirs.n, got, want)
		}
		if r.IntN(5) > 0 { // copies do not always follow at once
			theirs.n = got.Copies
		}
	}
}
