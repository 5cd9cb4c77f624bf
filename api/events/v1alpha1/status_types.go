package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Types of conditions. OpenFunction's controllers appended one of Created, Error, Pending... for every step, without end, and
// clients read the last. Here there is one of each type, Ready says how things stand, and the last of the list is Ready, or
// Error or Pending while it is not.
const (
	ConditionReady   = "Ready"
	ConditionError   = "Error"
	ConditionPending = "Pending"
)

// Reasons of conditions, OpenFunction's.
const (
	ReasonErrorConfiguration  = "ErrorConfiguration"
	ReasonNoEventBus          = "ErrorToFindExistEventBus"
	ReasonNoSubscribers       = "ErrorToFindTriggerSubscribers"
	ReasonErrorComponent      = "ErrorGenerateComponent"
	ReasonErrorEventSource    = "ErrorCreatingEventSource"
	ReasonErrorTrigger        = "ErrorCreatingTrigger"
	ReasonPendingCreation     = "PendingCreation"
	ReasonEventSourceIsReady  = "EventSourceIsReady"
	ReasonTriggerIsReady      = "TriggerIsReady"
	ReasonEventBusIsReady     = "EventBusIsReady"
	ReasonSinkNotFound        = "SinkNotFound"
	ReasonMissingReference    = "MissingReference"
	ReasonNatsStreamingMapped = "NatsStreamingMapped"
)

// Condition is a condition with the time stamp by the name that OpenFunction gave it.
type Condition struct {
	metav1.Condition `json:",inline"`
	// Timestamp is lastTransitionTime.
	// +optional
	Timestamp string `json:"timestamp,omitempty"`
}

// Flow is what passed through since the platform started. It is written at most every fifteen seconds, and not at all while
// nothing passes.
type Flow struct {
	// Handled is the number of events that reached their end.
	// +optional
	Handled int64 `json:"handled,omitempty"`
	// Failed is the number of attempts that failed.
	// +optional
	Failed int64 `json:"failed,omitempty"`
	// DeadLetters is the number of events given up.
	// +optional
	DeadLetters int64 `json:"deadLetters,omitempty"`
	// Lag is the number of events that wait; absent when it cannot be known.
	// +optional
	Lag *int64 `json:"lag,omitempty"`
	// PerMinute is the number of events in the last minute.
	// +optional
	PerMinute int64 `json:"perMinute,omitempty"`
	// LastError is the last failure.
	// +optional
	LastError string `json:"lastError,omitempty"`
	// LastEventTime is when the last event came.
	// +optional
	LastEventTime *metav1.Time `json:"lastEventTime,omitempty"`
	// ObservedTime is when these figures were taken.
	// +optional
	ObservedTime *metav1.Time `json:"observedTime,omitempty"`
}
