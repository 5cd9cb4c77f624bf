package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/opaque"
)

// TriggerSpec hands events of a bus to subscribers.
type TriggerSpec struct {
	// EventBus names an EventBus of the namespace, else a ClusterEventBus.
	EventBus string `json:"eventBus"`
	// Inputs are events, by the names that conditions use.
	// +optional
	Inputs map[string]*Input `json:"inputs,omitempty"`
	// Subscribers get the events for which their condition holds.
	// +optional
	Subscribers []*Subscriber `json:"subscribers,omitempty"`
	// LogLevel was the log level of OpenFunction's handler. It is accepted and has no meaning.
	// +optional
	LogLevel *string `json:"logLevel,omitempty"`
}

// Input is one event of an EventSource, or a topic of the bus.
type Input struct {
	// Namespace of the EventSource; that of the Trigger by default.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// EventSource of the event.
	// +optional
	EventSource string `json:"eventSource,omitempty"`
	// Event is its name in the EventSource.
	// +optional
	Event string `json:"event,omitempty"`
	// Topic of the bus, instead of eventSource and event: what subscribers of other Triggers and functions publish.
	// +optional
	Topic string `json:"topic,omitempty"`
	// Filter is CloudEvents SQL; events for which it does not hold are not seen by this Trigger.
	// +optional
	Filter string `json:"filter,omitempty"`
}

// Subscriber gets events.
type Subscriber struct {
	// Condition is CEL. An input is true from its event until it had none for a minute; event is the event with its
	// attributes, and data its payload: "a && b", "a && data.amount > 100".
	// +optional
	Condition string `json:"condition,omitempty"`
	// Sink is sent the events.
	// +optional
	Sink *SinkSpec `json:"sink,omitempty"`
	// DeadLetterSink is sent the events that the sink does not take.
	// +optional
	DeadLetterSink *SinkSpec `json:"deadLetterSink,omitempty"`
	// Topic of the bus that the events are published to.
	// +optional
	Topic string `json:"topic,omitempty"`
	// DeadLetterTopic of the bus gets the events that could not be delivered.
	// +optional
	DeadLetterTopic string `json:"deadLetterTopic,omitempty"`
	// Filter is CloudEvents SQL; only events for which it holds come here.
	// +optional
	Filter string `json:"filter,omitempty"`
	// Transform makes the payload, and attributes, that the subscriber gets.
	// +optional
	Transform *Transform `json:"transform,omitempty"`
	// Correlate gathers one event of each input before the subscriber is called, once, with all of them.
	// +optional
	Correlate *Correlate `json:"correlate,omitempty"`
	// RateLimit of the calls; events wait for it.
	// +optional
	RateLimit *RateLimit `json:"rateLimit,omitempty"`
	// Ordered delivers events of one partition key one after the other.
	// +optional
	Ordered bool `json:"ordered,omitempty"`
	// Retry says how often a delivery is tried.
	// +optional
	Retry *RetryPolicy `json:"retry,omitempty"`
	// Concurrency bounds the calls under way; 32 by default.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Concurrency *int32 `json:"concurrency,omitempty"`
	// From is where a new subscriber begins: new (the default), all, an RFC 3339 time, or a sequence number of the bus.
	// +optional
	From string `json:"from,omitempty"`
}

// Transform makes a new payload. At most one of data, json and template.
type Transform struct {
	// Data is CEL over event and data; its value is the payload.
	// +optional
	Data string `json:"data,omitempty"`
	// JSON is the payload, in which strings of the form ${CEL} are replaced by their values.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	JSON opaque.Value `json:"json,omitzero"`
	// Template is text, in which ${CEL} is replaced by its value.
	// +optional
	Template string `json:"template,omitempty"`
	// ContentType of the payload; application/json by default, text/plain with template.
	// +optional
	ContentType string `json:"contentType,omitempty"`
	// Attributes of the event that are set: name to CEL.
	// +optional
	Attributes map[string]string `json:"attributes,omitempty"`
}

// Correlate gathers events.
type Correlate struct {
	// Window since the first of them, after which they are let go; 1m by default.
	// +optional
	Window *metav1.Duration `json:"window,omitempty"`
	// Key is CEL over event and data in which the events must agree; without it all belong together.
	// +optional
	Key string `json:"key,omitempty"`
	// All keeps every event of an input, not only its newest.
	// +optional
	All bool `json:"all,omitempty"`
}

// RateLimit bounds how often a subscriber is called.
type RateLimit struct {
	// PerSecond is the number of calls; a decimal number such as "0.5".
	// +kubebuilder:validation:Pattern=`^[0-9]+(\.[0-9]+)?$`
	PerSecond string `json:"perSecond"`
	// Burst is how many may come at once; 1 by default.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Burst int32 `json:"burst,omitempty"`
}

// TriggerStatus is how a Trigger stands.
type TriggerStatus struct {
	// ObservedGeneration is the generation of the spec this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready, and Error or Pending while it is not.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []Condition `json:"conditions,omitempty"`
	// Flow of all subscribers.
	// +optional
	Flow *Flow `json:"flow,omitempty"`
}

// Trigger hands events of a bus to subscribers.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:printcolumn:name="EventBus",type=string,JSONPath=`.spec.eventBus`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[-1].type`
// +kubebuilder:printcolumn:name="Lag",type=integer,JSONPath=`.status.flow.lag`
// +kubebuilder:printcolumn:name="DeadLetters",type=integer,priority=1,JSONPath=`.status.flow.deadLetters`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Trigger struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   TriggerSpec   `json:"spec,omitempty"`
	Status TriggerStatus `json:"status,omitempty"`
}

// TriggerList is a list of Triggers.
//
// +kubebuilder:object:root=true
type TriggerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Trigger `json:"items"`
}
