package function

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/condition"
)

// longestNote is the length the API allows the text of an event, in bytes.
const longestNote = 1000

// occasion is what is told when a stage of a Function comes into a state. The reasons are OpenFunction's.
type occasion struct{ kind, reason, action string }

func building(s v1beta2.State) occasion {
	switch s {
	case v1beta2.StateBuilding:
		return occasion{corev1.EventTypeNormal, "BuildStarted", "Build"}
	case v1beta2.StateSucceeded:
		return occasion{corev1.EventTypeNormal, "BuildCompleted", "Build"}
	case v1beta2.StateFailed:
		return occasion{corev1.EventTypeWarning, "BuildFailed", "Build"}
	case v1beta2.StateTimeout:
		return occasion{corev1.EventTypeWarning, "BuildTimeout", "Build"}
	case v1beta2.StateCanceled:
		return occasion{corev1.EventTypeWarning, "BuildCanceled", "Build"}
	default:
		return occasion{}
	}
}

func serving(s v1beta2.State) occasion {
	switch s {
	case v1beta2.StateStarting:
		return occasion{corev1.EventTypeNormal, "Starting", "Serve"}
	case v1beta2.StateRunning:
		return occasion{corev1.EventTypeNormal, "Running", "Serve"}
	case v1beta2.StateFailed, v1beta2.StateTimeout:
		return occasion{corev1.EventTypeWarning, "ServingFailed", "Serve"}
	default:
		return occasion{}
	}
}

// tell emits an event for each stage that came into another state, or into the same one with another Builder or Serving.
func tell(r events.EventRecorder, fn *v1beta2.Function, before, after *v1beta2.FunctionStatus) {
	turned(r, fn, building, before.Build, after.Build)
	turned(r, fn, serving, before.Serving, after.Serving)
	stumbled(r, fn, before.Serving, after.Serving)
}

// stumbled tells why a copy of a revision that served has ended. The revision runs on; the next copy takes the reason away.
func stumbled(r events.EventRecorder, fn *v1beta2.Function, before, after *v1beta2.StageStatus) {
	if after == nil || after.State != v1beta2.StateRunning || after.Reason == "" {
		return
	}
	if before != nil && before.Reason == after.Reason && before.Message == after.Message {
		return
	}
	r.Eventf(fn, nil, corev1.EventTypeWarning, after.Reason, "Serve", "%s", condition.Shorten(after.ResourceRef+": "+after.Message, longestNote))
}

func turned(r events.EventRecorder, fn *v1beta2.Function, of func(v1beta2.State) occasion, before, after *v1beta2.StageStatus) {
	if after == nil || before != nil && before.State == after.State && before.ResourceRef == after.ResourceRef {
		return
	}
	o := of(after.State)
	if o.reason == "" {
		return
	}
	note := after.ResourceRef
	if after.Message != "" {
		note += ": " + after.Message
	}
	r.Eventf(fn, nil, o.kind, o.reason, o.action, "%s", condition.Shorten(note, longestNote))
}
