package kedahttp

import (
	"strconv"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// What OpenFunction and KEDA take where nothing is said.
const (
	defaultTarget   = 100
	defaultRate     = 200 // Knative's, of requests per second
	defaultCooldown = 300 // seconds
)

// Annotations of Knative that say what is counted, and how much of it a copy is to have.
const (
	annotationMetric = "autoscaling.knative.dev/metric"
	annotationTarget = "autoscaling.knative.dev/target"
	annotationMin    = "autoscaling.knative.dev/min-scale"
	annotationMax    = "autoscaling.knative.dev/max-scale"
	metricRate       = "rps"
)

// scale is between what numbers of copies a revision moves, and how many seconds without a request bring it to zero.
type scale struct{ least, most, cooldown int32 }

func scaleOf(c *copies) scale {
	// The bounds of scaleOptions are among the annotations already.
	s := scale{least: number(c.Annotations[annotationMin], 0), most: number(c.Annotations[annotationMax], 0), cooldown: defaultCooldown}
	if h := httpOptions(c); h != nil && h.CooldownPeriod != nil {
		s.cooldown = *h.CooldownPeriod
	}
	if !c.live {
		s.least = 0
	}
	return s
}

// metricOf is what KEDA scales by: requests that a copy has at a time, or in a second. containerConcurrency is a limit that nothing keeps
// here, so that it counts as a target.
func metricOf(c *copies) map[string]any {
	if c.Annotations[annotationMetric] == metricRate {
		return map[string]any{"requestRate": map[string]any{"targetValue": max(1, number(c.Annotations[annotationTarget], defaultRate))}}
	}
	target := number(c.Annotations[annotationTarget], defaultTarget)
	if h := httpOptions(c); h != nil && h.TargetPendingRequests != nil {
		target = *h.TargetPendingRequests
	}
	if c.Concurrency > 0 {
		target = int32(min(int64(target), c.Concurrency))
	}
	return map[string]any{"concurrency": map[string]any{"targetValue": max(1, target)}}
}

func httpOptions(c *copies) *v1beta2.KedaHTTPScaledObject {
	if c.Scale == nil || c.Scale.Keda == nil {
		return nil
	}
	return c.Scale.Keda.HTTPScaledObject
}

// number is that of an annotation; targets of Knative may have a fraction.
func number(s string, otherwise int32) int32 {
	f, err := strconv.ParseFloat(s, 32)
	if err != nil || f < 0 || f > 1e9 {
		return otherwise
	}
	return int32(f)
}
