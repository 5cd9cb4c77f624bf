package eventing

import (
	"math"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/event"
)

// longestError is how much of a last error is kept, in bytes.
const longestError = 1024

// SetReady writes how things stand: Ready, followed by Error or Pending while it is not True, because clients of OpenFunction
// read the last condition of the list.
func SetReady(list *[]events.Condition, generation int64, status metav1.ConditionStatus, reason, message string) {
	plain := make([]metav1.Condition, 0, len(*list)+2)
	for _, c := range *list {
		plain = append(plain, c.Condition)
	}
	condition.Set(&plain, generation, events.ConditionReady, status, reason, message)
	marker := map[metav1.ConditionStatus]string{metav1.ConditionFalse: events.ConditionError, metav1.ConditionUnknown: events.ConditionPending}[status]
	if marker != "" {
		condition.Set(&plain, generation, marker, metav1.ConditionTrue, reason, message)
	}
	out := make([]events.Condition, 0, 2)
	for _, kind := range []string{events.ConditionReady, marker} {
		if c := condition.Get(plain, kind); kind != "" && c != nil {
			out = append(out, events.Condition{Condition: *c, Timestamp: c.LastTransitionTime.UTC().Format(time.RFC3339)})
		}
	}
	*list = out
}

// Stands translates what the engine says: what only has not connected yet is unknown, everything else that is not ready is an
// error. ready is the reason of success.
func Stands(s event.Status, known bool, ready string) (status metav1.ConditionStatus, reason, message string) {
	switch {
	case !known:
		return metav1.ConditionUnknown, events.ReasonPendingCreation, ""
	case s.Ready:
		return metav1.ConditionTrue, ready, s.Message
	case s.Reason == "" || s.Reason == "Connecting" || s.Reason == "Starting" || s.Reason == "Pending":
		return metav1.ConditionUnknown, or(s.Reason, events.ReasonPendingCreation), s.Message
	default:
		return metav1.ConditionFalse, s.Reason, s.Message
	}
}

// Flow is what a status should say of what passed, given what it says, and when to look again: figures are written at most once
// in Rarely, and only when they changed.
func Flow(said *events.Flow, s event.Status, now time.Time) (*events.Flow, time.Duration) {
	is := flow(s)
	if said == nil {
		if equality.Semantic.DeepEqual(*is, events.Flow{}) {
			return nil, 0
		}
		is.ObservedTime = &metav1.Time{Time: now}
		return is, 0
	}
	is.ObservedTime = said.ObservedTime
	if equality.Semantic.DeepEqual(is, said) {
		return said, 0
	}
	if said.ObservedTime != nil {
		if left := Rarely - now.Sub(said.ObservedTime.Time); left > 0 && left <= Rarely {
			return said, left
		}
	}
	is.ObservedTime = &metav1.Time{Time: now}
	return is, 0
}

func flow(s event.Status) *events.Flow {
	out := &events.Flow{Handled: s.Handled, Failed: s.Failed, DeadLetters: s.DeadLetters, PerMinute: int64(math.Round(s.PerSecond * 60)),
		LastError: condition.Shorten(s.LastError, longestError)}
	if s.Lag > 0 || s.Lag == 0 && s.Handled+s.Failed > 0 {
		out.Lag = new(s.Lag)
	}
	if !s.LastEvent.IsZero() {
		out.LastEventTime = &metav1.Time{Time: s.LastEvent.Truncate(time.Second)}
	}
	return out
}
