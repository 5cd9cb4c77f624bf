package v1beta2

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/api/opaque"
)

// ServingTemplate says how an image runs. A change of it makes a new revision. It is the greater part of
// Function.spec.serving and of Serving.spec.
type ServingTemplate struct {
	// Triggers are what calls the function.
	// +optional
	Triggers *Triggers `json:"triggers,omitempty"`
	// Outputs are where the function may send to.
	// +optional
	Outputs []*Output `json:"outputs,omitempty"`
	// Bindings are Dapr binding components made for this function.
	// +optional
	Bindings map[string]*Component `json:"bindings,omitempty"`
	// Pubsub are Dapr pub/sub components made for this function.
	// +optional
	Pubsub map[string]*Component `json:"pubsub,omitempty"`
	// States are Dapr state stores.
	// +optional
	States map[string]*StateStore `json:"states,omitempty"`
	// ScaleOptions bound and steer the number of copies.
	// +optional
	ScaleOptions *ScaleOptions `json:"scaleOptions,omitempty"`
	// Params are plain environment variables of the function container.
	// +optional
	Params map[string]string `json:"params,omitempty"`
	// Labels of the revision template.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations of the revision template. The autoscaling.knative.dev/* ones steer the scaler.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// Template is a core/v1 PodSpec, each of its fields optional. The container named "function" is the user's; it is
	// added when it is missing. Read it with PodSpec.
	// +optional
	Template *opaque.Object `json:"template,omitempty"`
	// Timeout bounds the start of the revision; it fails with state Timeout after it.
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
	// Hooks run before and after the function.
	// +optional
	Hooks *Hooks `json:"hooks,omitempty"`
	// Tracing of the function's calls.
	// +optional
	Tracing *TracingConfig `json:"tracing,omitempty"`
	// WorkloadType is Deployment (the default), StatefulSet or Job; for asynchronous functions.
	// +optional
	WorkloadType string `json:"workloadType,omitempty"`
}

// Triggers are what calls a function.
type Triggers struct {
	// HTTP requests.
	// +optional
	HTTP *HTTPTrigger `json:"http,omitempty"`
	// Dapr events.
	// +optional
	Dapr []*DaprTrigger `json:"dapr,omitempty"`
	// Inputs can be read by the function and do not call it.
	// +optional
	Inputs []*Input `json:"inputs,omitempty"`
}

// HTTPTrigger calls the function with HTTP requests.
type HTTPTrigger struct {
	// Port the function listens on; 8080 by default.
	// +optional
	Port *int32 `json:"port,omitempty"`
	// Route says how requests reach it.
	// +optional
	Route *Route `json:"route,omitempty"`
	// Engine is knative (the default) or keda.
	// +optional
	Engine *string `json:"engine,omitempty"`
}

// Route says how requests reach a function.
type Route struct {
	// GatewayRef names the Gateway; openfunction/openfunction by default.
	// +optional
	GatewayRef *GatewayRef `json:"gatewayRef,omitempty"`
	// Hostnames that lead to the function. The default is made from the Gateway's hostTemplate.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	Hostnames []Hostname `json:"hostnames,omitempty"`
	// Rules are rules of a Gateway API HTTPRoute. Backends are set by the platform. Read them with ParseRules.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	Rules []opaque.Object `json:"rules,omitempty"`
}

// Hostname is a DNS name, its first label may be "*".
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:Pattern=`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
type Hostname string

// GatewayRef names a Gateway of networking.openfunction.io.
type GatewayRef struct {
	// Name of the Gateway.
	Name string `json:"name"`
	// Namespace of the Gateway.
	Namespace string `json:"namespace"`
}

// DaprComponentRef names a Dapr component: one of this function's, or one that exists in the namespace.
type DaprComponentRef struct {
	// Name of the component.
	Name string `json:"name"`
	// Type of the component, such as bindings.kafka; looked up when empty.
	// +optional
	Type string `json:"type,omitempty"`
	// Topic, for pub/sub.
	// +optional
	Topic string `json:"topic,omitempty"`
}

// DaprTrigger calls the function with the events of a Dapr component.
type DaprTrigger struct {
	DaprComponentRef `json:",inline"`
	// InputName is what old frameworks call the input. Deprecated: use the component's name.
	// +optional
	InputName string `json:"inputName,omitempty"`
	// Retry says how often and for how long the function is tried with an event, before that becomes a dead letter.
	// +optional
	Retry *events.RetryPolicy `json:"retry,omitempty"`
	// DeadLetterTopic of the same pub/sub component gets the events that the function could not handle.
	// +optional
	DeadLetterTopic string `json:"deadLetterTopic,omitempty"`
	// DeadLetterSink gets the events that the function could not handle; the platform keeps them without it.
	// +optional
	DeadLetterSink *events.SinkSpec `json:"deadLetterSink,omitempty"`
}

// Input is something the function can read.
type Input struct {
	// Dapr component to read.
	// +optional
	Dapr *DaprComponentRef `json:"dapr,omitempty"`
}

// Output is something the function can send to.
type Output struct {
	// Dapr component to send to.
	// +optional
	Dapr *DaprOutput `json:"dapr,omitempty"`
}

// DaprOutput sends to a Dapr component.
type DaprOutput struct {
	DaprComponentRef `json:",inline"`
	// OutputName is what old frameworks call the output. Deprecated: use the component's name.
	// +optional
	OutputName string `json:"outputName,omitempty"`
	// Metadata goes with every message.
	// +optional
	Metadata map[string]string `json:"metadata,omitempty"`
	// Operation of a binding.
	// +optional
	Operation string `json:"operation,omitempty"`
}

// Component is the specification of a Dapr component.
type Component struct {
	// Type, such as pubsub.kafka.
	Type string `json:"type"`
	// Version of the component's type, such as v1.
	Version string `json:"version"`
	// IgnoreErrors lets the runtime start when the component does not.
	// +optional
	IgnoreErrors bool `json:"ignoreErrors,omitempty"`
	// InitTimeout bounds its start, as a duration.
	// +optional
	InitTimeout string `json:"initTimeout,omitempty"`
	// Metadata configures it.
	Metadata []ComponentMetadata `json:"metadata"`
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
	// SecretKeyRef takes the value from a secret. An empty one means none.
	// +optional
	SecretKeyRef *SecretKeyRef `json:"secretKeyRef,omitempty"`
}

// SecretKeyRef names one key of a secret.
type SecretKeyRef struct {
	// Name of the secret.
	// +optional
	Name string `json:"name,omitempty"`
	// Key inside it; the name of the setting by default.
	// +optional
	Key string `json:"key,omitempty"`
}

// StateStore is a Dapr state store.
type StateStore struct {
	// Spec of the component; without it the component of that name in the namespace is used.
	// +optional
	Spec *Component `json:"spec,omitempty"`
}

// Hooks run before and after the function.
type Hooks struct {
	// Pre run before it, in order.
	// +optional
	Pre []string `json:"pre,omitempty"`
	// Post run after it, in order.
	// +optional
	Post []string `json:"post,omitempty"`
	// Policy is Append (the default) or Override: how they combine with the platform's.
	// +optional
	Policy string `json:"policy,omitempty"`
}

// TracingConfig says how calls are traced.
type TracingConfig struct {
	// Enabled switches tracing on.
	Enabled bool `json:"enabled"`
	// Provider receives the traces.
	Provider *TracingProvider `json:"provider"`
	// Tags are added to every span.
	// +optional
	Tags map[string]string `json:"tags,omitempty"`
	// Baggage travels with every call.
	// +optional
	Baggage map[string]string `json:"baggage,omitempty"`
}

// TracingProvider receives traces.
type TracingProvider struct {
	// Name is skywalking or opentelemetry.
	Name string `json:"name"`
	// OapServer is the address of the SkyWalking back end.
	// +optional
	OapServer string `json:"oapServer,omitempty"`
	// Exporter of OpenTelemetry.
	// +optional
	Exporter *TracingExporter `json:"exporter,omitempty"`
}

// TracingExporter sends OpenTelemetry data.
type TracingExporter struct {
	// Name of the exporter, such as otlp.
	Name string `json:"name"`
	// Endpoint to send to.
	Endpoint string `json:"endpoint"`
	// Headers of each request, "k=v,k=v".
	// +optional
	Headers string `json:"headers,omitempty"`
	// Compression, such as gzip.
	// +optional
	Compression string `json:"compression,omitempty"`
	// Timeout of each request.
	// +optional
	Timeout string `json:"timeout,omitempty"`
	// Protocol, such as grpc or http/protobuf.
	// +optional
	Protocol string `json:"protocol,omitempty"`
}

// ServingSpec is one immutable revision, complete.
type ServingSpec struct {
	ServingTemplate `json:",inline"`
	// Image runs; with its digest where that is known.
	Image string `json:"image"`
	// Version is a free label.
	// +optional
	Version *string `json:"version,omitempty"`
	// ImageCredentials names the registry secret.
	// +optional
	ImageCredentials *corev1.LocalObjectReference `json:"imageCredentials,omitempty"`
}

// ServingStatus is how a revision stands.
type ServingStatus struct {
	// ObservedGeneration is the generation of the spec this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Phase is "Serving".
	// +optional
	Phase Phase `json:"phase,omitempty"`
	// State is one of the states.
	// +optional
	State State `json:"state,omitempty"`
	// Reason is a CamelCase word for why the revision is not ready.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message says it in full, with the last lines of the log after a crash.
	// +optional
	Message string `json:"message,omitempty"`
	// ResourceRef names what the engine made for this revision; see the Ref constants.
	// +optional
	ResourceRef map[string]string `json:"resourceRef,omitempty"`
	// Service is the name of the service that reaches this revision.
	// +optional
	Service string `json:"url,omitempty"`
	// ImageDigest is what the image's name meant when the revision first started.
	// +optional
	ImageDigest string `json:"imageDigest,omitempty"`
	// Replicas is the number of copies that run.
	// +optional
	Replicas int32 `json:"replicas,omitempty"`
	// ReadyReplicas is the number of those that take requests.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas,omitempty"`
}

// Serving is one revision of a function. Its spec does not change.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Serving struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ServingSpec   `json:"spec,omitempty"`
	Status ServingStatus `json:"status,omitempty"`
}

// ServingList is a list of Servings.
//
// +kubebuilder:object:root=true
type ServingList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Serving `json:"items"`
}
