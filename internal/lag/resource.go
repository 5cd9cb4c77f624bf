package lag

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/scale"
)

// usage is a trigger of type cpu or memory: the mean of what the copies use, in parts of their limits or as it is. What a copy may use
// takes the place of what it requests on a cluster.
type usage struct {
	memory      bool
	utilization bool
	target      float64 // per cent of the limit, cores, or bytes
	copies      func() []run.CopyUsage
	now         func() time.Time
	before      map[string]measured
}

// measured is what a copy had used at a time.
type measured struct {
	at  time.Time
	cpu time.Duration
}

func newResource(w run.Watch, now func() time.Time) (*usage, error) {
	u := &usage{memory: w.Type == typeMemory, copies: w.Copies, now: now, before: map[string]measured{}}
	kind := w.MetricType
	if kind == "" {
		kind = w.Metadata["type"] // as older manifests say it
	}
	value := w.Metadata["value"]
	switch kind {
	case "Utilization":
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || n <= 0 {
			return nil, fmt.Errorf("metadata value %q is not a percentage", value)
		}
		u.utilization, u.target = true, n
	case "AverageValue":
		q, err := resource.ParseQuantity(value)
		if err != nil || q.Sign() <= 0 {
			return nil, fmt.Errorf("metadata value %q is not a quantity such as 500m or 100Mi", value)
		}
		u.target = q.AsApproximateFloat64()
	default:
		return nil, fmt.Errorf("metricType %q is not Utilization or AverageValue", kind)
	}
	return u, nil
}

// poll is the mean over the copies that could be measured. Processor time needs two polls.
func (u *usage) poll(context.Context) ([]scale.Value, bool, error) {
	sum, n := 0.0, 0
	now, seen := u.now(), map[string]measured{}
	for _, c := range u.copies() {
		v, ok, err := u.of(c, now, seen)
		if err != nil {
			return nil, false, err
		}
		if ok {
			sum, n = sum+v, n+1
		}
	}
	u.before = seen
	if n == 0 {
		return nil, true, nil
	}
	return []scale.Value{{Sum: sum / float64(n), Target: u.target}}, true, nil
}

func (u *usage) of(c run.CopyUsage, now time.Time, seen map[string]measured) (float64, bool, error) {
	if u.memory {
		return u.part(float64(c.MemoryBytes), float64(c.MemoryLimit), "memory")
	}
	seen[c.ID] = measured{now, c.CPU}
	b, ok := u.before[c.ID]
	if passed := now.Sub(b.at); !ok || passed <= 0 {
		return 0, false, nil
	}
	return u.part((c.CPU-b.cpu).Seconds()/now.Sub(b.at).Seconds(), float64(c.CPUMillis)/1000, "cpu")
}

// part is what is used in the unit of the target.
func (u *usage) part(used, limit float64, name string) (float64, bool, error) {
	switch {
	case !u.utilization:
		return used, true, nil
	case limit <= 0:
		return 0, false, errors.New("utilization is a part of a limit: give resources.limits." + name + " in the template, or metricType AverageValue")
	}
	return 100 * used / limit, true, nil
}

func (u *usage) close() {}
