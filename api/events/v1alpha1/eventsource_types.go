package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/opaque"
)

// EventSourceSpec takes events from the outside, gives them to a bus, a sink, or both. The maps are keyed by the name of the
// event, which is unique among all of them.
type EventSourceSpec struct {
	// EventBus names an EventBus of the namespace, else a ClusterEventBus. One of eventBus and sink is required.
	// +optional
	EventBus string `json:"eventBus,omitempty"`
	// Redis streams, lists or channels.
	// +optional
	Redis map[string]*RedisSpec `json:"redis,omitempty"`
	// Kafka topics.
	// +optional
	Kafka map[string]*KafkaSpec `json:"kafka,omitempty"`
	// Cron schedules.
	// +optional
	Cron map[string]*CronSpec `json:"cron,omitempty"`
	// Mqtt topics.
	// +optional
	MQTT map[string]*MQTTSpec `json:"mqtt,omitempty"`
	// Webhook calls, with the signature checks of their senders.
	// +optional
	Webhook map[string]*WebhookSpec `json:"webhook,omitempty"`
	// CloudEvents over HTTP: binary, structured and batch.
	// +optional
	CloudEvents map[string]*CloudEventsSpec `json:"cloudevents,omitempty"`
	// RabbitMQ queues.
	// +optional
	RabbitMQ map[string]*RabbitMQSpec `json:"rabbitmq,omitempty"`
	// Nats subjects and JetStream streams.
	// +optional
	NATS map[string]*NATSSpec `json:"nats,omitempty"`
	// S3 buckets whose objects come and go.
	// +optional
	S3 map[string]*S3Spec `json:"s3,omitempty"`
	// Postgresql changes of tables and notifications.
	// +optional
	PostgreSQL map[string]*PostgreSQLSpec `json:"postgresql,omitempty"`
	// File changes.
	// +optional
	File map[string]*FileSpec `json:"file,omitempty"`
	// Kubernetes objects that are added, changed or deleted.
	// +optional
	Kubernetes map[string]*KubernetesSpec `json:"kubernetes,omitempty"`
	// Dapr input bindings and publish/subscribe components of any type.
	// +optional
	Dapr map[string]*DaprSpec `json:"dapr,omitempty"`
	// Sink is sent each event.
	// +optional
	Sink *SinkSpec `json:"sink,omitempty"`
	// DeadLetterSink is sent the events that could not be delivered.
	// +optional
	DeadLetterSink *SinkSpec `json:"deadLetterSink,omitempty"`
	// Retry says how often a delivery is tried.
	// +optional
	Retry *RetryPolicy `json:"retry,omitempty"`
	// LogLevel was the log level of OpenFunction's handler. It is accepted and has no meaning.
	// +optional
	LogLevel *string `json:"logLevel,omitempty"`
	// Build was never read. It is accepted and has no meaning.
	// +optional
	Build *opaque.Object `json:"build,omitempty"`
}

// EventOptions are what the events of every kind have.
type EventOptions struct {
	// SecretRefs take fields of this event from secrets of the namespace: {"saslPassword": {"name": "kafka", "key": "password"}}.
	// +optional
	SecretRefs map[string]SecretKeyRef `json:"secretRefs,omitempty"`
	// EventType is the type of the CloudEvents; "io.openfunction." and the kind by default.
	// +optional
	EventType string `json:"eventType,omitempty"`
}

// ScaleOption steers the handlers of a cluster. On one machine sources run in the platform, without copies.
type ScaleOption struct {
	// PollingInterval in seconds.
	// +optional
	PollingInterval *int32 `json:"pollingInterval,omitempty"`
	// CooldownPeriod in seconds.
	// +optional
	CooldownPeriod *int32 `json:"cooldownPeriod,omitempty"`
	// MinReplicaCount is the least number of copies.
	// +optional
	MinReplicaCount *int32 `json:"minReplicaCount,omitempty"`
	// MaxReplicaCount is the greatest number of copies.
	// +optional
	MaxReplicaCount *int32 `json:"maxReplicaCount,omitempty"`
	// Advanced is KEDA's section of that name.
	// +optional
	Advanced *opaque.Object `json:"advanced,omitempty"`
	// Metadata of the KEDA trigger.
	// +optional
	Metadata map[string]string `json:"metadata,omitempty"`
	// AuthRef names a TriggerAuthentication.
	// +optional
	AuthRef *ScaledObjectAuthRef `json:"authRef,omitempty"`
}

// ScaledObjectAuthRef names a TriggerAuthentication or ClusterTriggerAuthentication.
type ScaledObjectAuthRef struct {
	// Name of it.
	Name string `json:"name"`
	// Kind of it; TriggerAuthentication by default.
	// +optional
	Kind string `json:"kind,omitempty"`
}

// EventStatus is how one event of an EventSource stands.
type EventStatus struct {
	// Name of the event.
	Name string `json:"name"`
	// Kind of its source.
	Kind string `json:"kind"`
	// Topic of the bus that its events are on.
	// +optional
	Topic string `json:"topic,omitempty"`
	// Ready says that its events are taken.
	Ready bool `json:"ready"`
	// Reason is a CamelCase word for why not.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message says it in full.
	// +optional
	Message string `json:"message,omitempty"`
	// Flow of its events.
	// +optional
	Flow *Flow `json:"flow,omitempty"`
}

// EventSourceStatus is how an EventSource stands.
type EventSourceStatus struct {
	// ObservedGeneration is the generation of the spec this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready, and Error or Pending while it is not.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []Condition `json:"conditions,omitempty"`
	// Events say how each of them stands, ordered by name.
	// +optional
	// +listType=map
	// +listMapKey=name
	Events []EventStatus `json:"events,omitempty"`
}

// EventSource takes events from the outside.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:resource:shortName=es
// +kubebuilder:printcolumn:name="EventBus",type=string,JSONPath=`.spec.eventBus`
// +kubebuilder:printcolumn:name="Sink",type=string,JSONPath=`.spec.sink.uri`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[-1].type`
// +kubebuilder:printcolumn:name="PerMinute",type=string,priority=1,JSONPath=`.status.events[*].flow.perMinute`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type EventSource struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   EventSourceSpec   `json:"spec,omitempty"`
	Status EventSourceStatus `json:"status,omitempty"`
}

// EventSourceList is a list of EventSources.
//
// +kubebuilder:object:root=true
type EventSourceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []EventSource `json:"items"`
}
