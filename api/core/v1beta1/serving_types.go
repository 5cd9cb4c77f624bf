package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/api/opaque"
)

// Runtime says what calls a function.
//
// +kubebuilder:validation:Enum=knative;async
type Runtime string

// The runtimes.
const (
	// Knative is called over HTTP.
	Knative Runtime = "knative"
	// Async is called with events.
	Async Runtime = "async"
)

// ServingTemplate says how an image runs.
type ServingTemplate struct {
	// Runtime is knative (HTTP) or async (events).
	Runtime Runtime `json:"runtime"`
	// ScaleOptions bound and steer the number of copies.
	// +optional
	ScaleOptions *ScaleOptions `json:"scaleOptions,omitempty"`
	// Inputs call an asynchronous function.
	// +optional
	Inputs []*DaprIO `json:"inputs,omitempty"`
	// Outputs are where the function may send to.
	// +optional
	Outputs []*DaprIO `json:"outputs,omitempty"`
	// Bindings are Dapr binding components made for this function.
	// +optional
	Bindings map[string]*v1beta2.Component `json:"bindings,omitempty"`
	// Pubsub are Dapr pub/sub components made for this function.
	// +optional
	Pubsub map[string]*v1beta2.Component `json:"pubsub,omitempty"`
	// States are Dapr state stores made for this function.
	// +optional
	States map[string]*v1beta2.Component `json:"states,omitempty"`
	// Triggers are what KEDA watches.
	// +optional
	Triggers []Trigger `json:"triggers,omitempty"`
	// Params are plain environment variables of the function container.
	// +optional
	Params map[string]string `json:"params,omitempty"`
	// Labels of the revision template.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations of the revision template.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// Template is a core/v1 PodSpec, each of its fields optional.
	// +optional
	Template *opaque.Object `json:"template,omitempty"`
	// Timeout bounds the start of the revision.
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// DaprIO is an input or an output: a Dapr component and how it is used.
type DaprIO struct {
	// Name the function knows it by.
	Name string `json:"name"`
	// Component is the Dapr component's name.
	Component string `json:"component"`
	// Topic, for pub/sub.
	// +optional
	Topic string `json:"topic,omitempty"`
	// Params go with every message of an output.
	// +optional
	Params map[string]string `json:"params,omitempty"`
	// Operation of an output binding.
	// +optional
	Operation string `json:"operation,omitempty"`
}

// Trigger is one source of a metric for KEDA.
type Trigger struct {
	v1beta2.KedaTrigger `json:",inline"`
	// TargetKind is object or job: which of the two scalers the trigger is for.
	// +optional
	// +kubebuilder:validation:Enum=object;job
	TargetKind *string `json:"targetKind,omitempty"`
}

// ScaleOptions bound and steer the number of copies.
type ScaleOptions struct {
	// MinReplicas is the least number of copies.
	// +optional
	MinReplicas *int32 `json:"minReplicas,omitempty"`
	// MaxReplicas is the greatest number of copies.
	// +optional
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`
	// Knative holds annotations of Knative Serving.
	// +optional
	Knative map[string]string `json:"knative,omitempty"`
	// Keda steers scaling on events.
	// +optional
	Keda *KedaScaleOptions `json:"keda,omitempty"`
}

// KedaScaleOptions steer KEDA.
type KedaScaleOptions struct {
	// ScaledObject is for long-running workloads.
	// +optional
	ScaledObject *KedaScaledObject `json:"scaledObject,omitempty"`
	// ScaledJob is for jobs.
	// +optional
	ScaledJob *KedaScaledJob `json:"scaledJob,omitempty"`
}

// KedaScaledObject steers a long-running workload.
type KedaScaledObject struct {
	// WorkloadType is Deployment (the default) or StatefulSet.
	// +optional
	WorkloadType string `json:"workloadType,omitempty"`
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
}

// KedaScaledJob steers jobs.
type KedaScaledJob struct {
	v1beta2.KedaScaledJob `json:",inline"`
	// MaxReplicaCount is the greatest number of jobs at a time.
	// +optional
	MaxReplicaCount *int32 `json:"maxReplicaCount,omitempty"`
}

// ServingSpec is one immutable revision, complete.
type ServingSpec struct {
	ServingTemplate `json:",inline"`
	// Image runs.
	Image string `json:"image"`
	// Version is a free label.
	// +optional
	Version *string `json:"version,omitempty"`
	// ImageCredentials names the registry secret.
	// +optional
	ImageCredentials *corev1.LocalObjectReference `json:"imageCredentials,omitempty"`
	// Port the function listens on; 8080 by default.
	// +optional
	Port *int32 `json:"port,omitempty"`
}

// Serving is one revision of a function.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Serving struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ServingSpec           `json:"spec,omitempty"`
	Status v1beta2.ServingStatus `json:"status,omitempty"`
}

// ServingList is a list of Servings.
//
// +kubebuilder:object:root=true
type ServingList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Serving `json:"items"`
}
