package serve

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/owned"
)

// divide resolves spec.serving.traffic into revisions that exist and returns the names that none has. When nothing is left
// the traffic stays as it was, because an empty division would be an outage.
func divide(fn *v1beta2.Function, servings []*v1beta2.Serving) (missing []string) {
	latest := fn.Status.LatestReadyRevision
	if latest == "" {
		latest = fn.Status.LatestCreatedRevision // nothing is ready yet: its first requests wait for it
	}
	targets := fn.Spec.Serving.Traffic
	if len(targets) == 0 {
		targets = []v1beta2.TrafficTarget{{LatestRevision: new(true), Percent: new(int64(100))}}
	}
	var traffic []v1beta2.TrafficStatus
	for _, t := range targets {
		s := v1beta2.TrafficStatus{RevisionName: t.RevisionName, Tag: t.Tag}
		if t.Percent != nil {
			s.Percent = *t.Percent
		}
		if t.RevisionName == "" {
			s.RevisionName, s.LatestRevision = latest, true
		}
		switch {
		case s.RevisionName == "":
		case owned.Find(servings, s.RevisionName) == nil:
			missing = append(missing, s.RevisionName)
		default:
			traffic = append(traffic, s)
		}
	}
	if total(traffic) == 0 && len(missing) > 0 {
		traffic = slices.DeleteFunc(fn.Status.Traffic, func(t v1beta2.TrafficStatus) bool { return owned.Find(servings, t.RevisionName) == nil })
	}
	fn.Status.Traffic = traffic
	return missing
}

func missingRevisions(missing []string, servings []*v1beta2.Serving) metav1.Condition {
	return metav1.Condition{Status: "False", Reason: "RevisionMissing", Message: fmt.Sprintf(
		"spec.serving.traffic names %s, which this function does not have; it has %s", strings.Join(missing, ", "), names(servings))}
}

func total(traffic []v1beta2.TrafficStatus) int64 {
	var sum int64
	for _, t := range traffic {
		sum += t.Percent
	}
	return sum
}

func names(servings []*v1beta2.Serving) string {
	if len(servings) == 0 {
		return "no revision"
	}
	out := make([]string, len(servings))
	for i, s := range servings {
		out[i] = s.Name
	}
	return strings.Join(out, ", ")
}
