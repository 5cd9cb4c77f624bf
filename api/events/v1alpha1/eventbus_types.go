package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/opaque"
)

// DefaultEventBus is the name of the bus that exists without being declared.
const DefaultEventBus = "default"

// EventBusSpec is where events wait, on disk, until they were handled. At most one of natsStreaming, jetStream, kafka and
// dapr; with none of them it is the bus inside the platform.
type EventBusSpec struct {
	// Topic is accepted and has no meaning, as ever.
	// +optional
	Topic string `json:"topic,omitempty"`
	// NatsStreaming named a NATS Streaming server, which has reached its end of life. It is accepted, and the bus inside the
	// platform (NATS JetStream) takes its place.
	// +optional
	NatsStreaming *NatsStreamingSpec `json:"natsStreaming,omitempty"`
	// JetStream is a NATS server of one's own.
	// +optional
	JetStream *JetStreamSpec `json:"jetStream,omitempty"`
	// Kafka is a Kafka cluster.
	// +optional
	Kafka *KafkaBusSpec `json:"kafka,omitempty"`
	// Dapr is any publish/subscribe component of Dapr.
	// +optional
	Dapr *DaprBusSpec `json:"dapr,omitempty"`
	// Retention is how much the bus keeps. Buses that keep by rules of their own (kafka, dapr) do not follow it.
	// +optional
	Retention *Retention `json:"retention,omitempty"`
}

// Retention is how much a bus keeps.
type Retention struct {
	// MaxAge of events; 168h by default.
	// +optional
	MaxAge *metav1.Duration `json:"maxAge,omitempty"`
	// MaxBytes of all topics together, such as 512Mi; 10Gi by default.
	// +optional
	// +kubebuilder:validation:Pattern=`^[0-9]+([KMGTP]i?|k)?$`
	MaxBytes string `json:"maxBytes,omitempty"`
	// Duplicates is how long an event of the same source and id is taken only once; 2m by default.
	// +optional
	Duplicates *metav1.Duration `json:"duplicates,omitempty"`
}

// NatsStreamingSpec is a NATS Streaming server.
type NatsStreamingSpec struct {
	// NatsURL of the server.
	NatsURL string `json:"natsURL"`
	// NatsStreamingClusterID of the server.
	NatsStreamingClusterID string `json:"natsStreamingClusterID"`
	// SubscriptionType is queue or topic.
	SubscriptionType string `json:"subscriptionType"`
	// DurableSubscriptionName of the subscription.
	DurableSubscriptionName string `json:"durableSubscriptionName"`
	// AckWaitTime before a message comes again.
	// +optional
	AckWaitTime *string `json:"ackWaitTime,omitempty"`
	// MaxInFlight messages.
	// +optional
	MaxInFlight *int64 `json:"maxInFlight,omitempty"`
	// DeliverNew starts with new messages.
	// +optional
	DeliverNew *bool `json:"deliverNew,omitempty"`
	// StartAtSequence starts at a sequence number.
	// +optional
	StartAtSequence *int64 `json:"startAtSequence,omitempty"`
	// StartWithLastReceived starts with the last message.
	// +optional
	StartWithLastReceived *bool `json:"startWithLastReceived,omitempty"`
	// DeliverAll starts with the first message there is.
	// +optional
	DeliverAll *bool `json:"deliverAll,omitempty"`
	// StartAtTimeDelta starts so long ago.
	// +optional
	StartAtTimeDelta *string `json:"startAtTimeDelta,omitempty"`
	// StartAtTime starts at a time.
	// +optional
	StartAtTime *string `json:"startAtTime,omitempty"`
	// StartAtTimeFormat is the format of startAtTime.
	// +optional
	StartAtTimeFormat *string `json:"startAtTimeFormat,omitempty"`
	// ConsumerID of the subscription.
	// +optional
	ConsumerID *string `json:"consumerID,omitempty"`
	// ScaleOption of the handlers of a cluster.
	// +optional
	ScaleOption *NatsStreamingScaleOption `json:"scaleOption,omitempty"`
}

// NatsStreamingScaleOption scales on the lag of a NATS Streaming subject.
type NatsStreamingScaleOption struct {
	ScaleOption `json:",inline"`
	// NatsServerMonitoringEndpoint of the server.
	NatsServerMonitoringEndpoint string `json:"natsServerMonitoringEndpoint"`
	// QueueGroup of the subscription.
	// +optional
	QueueGroup string `json:"queueGroup,omitempty"`
	// DurableName of the subscription.
	// +optional
	DurableName string `json:"durableName,omitempty"`
	// Subject of the messages.
	// +optional
	Subject string `json:"subject,omitempty"`
	// LagThreshold is the number of waiting messages that one copy accounts for.
	LagThreshold string `json:"lagThreshold"`
}

// JetStreamSpec is a NATS server with JetStream.
type JetStreamSpec struct {
	// URL of the server, several separated by commas: nats://host:4222.
	// +kubebuilder:validation:MinLength=1
	URL string `json:"url"`
	// Stream that keeps the events; made when it is not there. One of the bus's own by default.
	// +optional
	Stream string `json:"stream,omitempty"`
	// SubjectPrefix comes before every topic, with a dot; "ofn." and the stream's name by default.
	// +optional
	SubjectPrefix string `json:"subjectPrefix,omitempty"`
	// Replicas of the stream when it is made; 1 by default.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=5
	Replicas int32 `json:"replicas,omitempty"`
	// CredentialsSecret names a secret that may have the keys username and password, token, credentials (a .creds file) or
	// nkey (a seed).
	// +optional
	CredentialsSecret string `json:"credentialsSecret,omitempty"`
	// TLS of the connection.
	// +optional
	TLS *TLSSpec `json:"tls,omitempty"`
}

// TLSSpec says how a connection is encrypted. It is encrypted when the object is there, also when it is empty.
type TLSSpec struct {
	// SecretName names a secret of the usual keys: ca.crt, tls.crt, tls.key; each may be absent.
	// +optional
	SecretName string `json:"secretName,omitempty"`
	// InsecureSkipVerify takes any certificate.
	// +optional
	InsecureSkipVerify bool `json:"insecureSkipVerify,omitempty"`
}

// KafkaBusSpec is a Kafka cluster.
type KafkaBusSpec struct {
	// Brokers, host:port, several separated by commas.
	// +kubebuilder:validation:MinLength=1
	Brokers string `json:"brokers"`
	// CredentialsSecret names a secret with the keys username and password.
	// +optional
	CredentialsSecret string `json:"credentialsSecret,omitempty"`
	// SaslMechanism is PLAIN (the default with credentials), SHA-256 or SHA-512.
	// +optional
	// +kubebuilder:validation:Enum=PLAIN;SHA-256;SHA-512
	SaslMechanism string `json:"saslMechanism,omitempty"`
	// TLS of the connection.
	// +optional
	TLS *TLSSpec `json:"tls,omitempty"`
	// Metadata are further settings of Dapr's pubsub.kafka.
	// +optional
	Metadata map[string]string `json:"metadata,omitempty"`
}

// DaprBusSpec is a publish/subscribe component: one of the namespace by name, or one described here.
type DaprBusSpec struct {
	// Component names a Component of dapr.io in the namespace; that of a ClusterEventBus is in the namespace openfunction.
	// +optional
	Component string `json:"component,omitempty"`
	// Type of the component described here, such as pubsub.redis.
	// +optional
	Type string `json:"type,omitempty"`
	// Version of the type; v1 by default.
	// +optional
	Version string `json:"version,omitempty"`
	// Metadata configures it.
	// +optional
	Metadata []ComponentMetadata `json:"metadata,omitempty"`
}

// ComponentMetadata is one setting of a Dapr component.
type ComponentMetadata struct {
	// Name of the setting.
	Name string `json:"name"`
	// Value is a scalar of any type.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	Value opaque.Value `json:"value,omitzero"`
	// SecretKeyRef takes the value from a secret.
	// +optional
	SecretKeyRef *SecretKeyRef `json:"secretKeyRef,omitempty"`
}

// EventBusStatus is how a bus stands.
type EventBusStatus struct {
	// ObservedGeneration is the generation of the spec this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []Condition `json:"conditions,omitempty"`
	// Kind of the bus: embedded, jetStream, kafka or dapr.
	// +optional
	Kind string `json:"kind,omitempty"`
	// Flow of all topics.
	// +optional
	Flow *Flow `json:"flow,omitempty"`
}

// EventBus keeps the events of its namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:resource:shortName=eb
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.status.kind`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type EventBus struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   EventBusSpec   `json:"spec,omitempty"`
	Status EventBusStatus `json:"status,omitempty"`
}

// EventBusList is a list of EventBuses.
//
// +kubebuilder:object:root=true
type EventBusList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []EventBus `json:"items"`
}

// ClusterEventBus keeps the events of all namespaces that have no EventBus of its name.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:resource:shortName=ceb,scope=Cluster
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.status.kind`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterEventBus struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   EventBusSpec   `json:"spec,omitempty"`
	Status EventBusStatus `json:"status,omitempty"`
}

// ClusterEventBusList is a list of ClusterEventBuses.
//
// +kubebuilder:object:root=true
type ClusterEventBusList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterEventBus `json:"items"`
}
