package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SinkSpec is where events go: one of uri and ref.
type SinkSpec struct {
	// URI is called with each event: POST, CloudEvents binary mode.
	// +optional
	URI *string `json:"uri,omitempty"`
	// Ref names a Function of core.openfunction.io, a Service of serving.knative.dev/v1, or a Service of v1.
	// +optional
	Ref *Reference `json:"ref,omitempty"`
}

// Reference names an object that events are sent to.
type Reference struct {
	// APIVersion of the object: core.openfunction.io/v1beta1 or v1beta2, serving.knative.dev/v1, v1.
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`
	// Kind of the object: Function or Service.
	// +optional
	Kind string `json:"kind,omitempty"`
	// Name of the object.
	Name string `json:"name"`
	// Namespace of the object; that of the referring one by default.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Path that is called; "/" by default.
	// +optional
	Path string `json:"path,omitempty"`
	// Port of a v1 Service; 80 by default.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`
}

// RetryPolicy says how often and for how long a delivery is tried before the event becomes a dead letter. Waits grow by a
// factor of two, with jitter.
type RetryPolicy struct {
	// Attempts in all, 1 is no retry; 10 by default.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Attempts *int32 `json:"attempts,omitempty"`
	// InitialInterval is the wait before the second attempt; 200ms by default.
	// +optional
	InitialInterval *metav1.Duration `json:"initialInterval,omitempty"`
	// MaxInterval is the longest wait; 1m by default.
	// +optional
	MaxInterval *metav1.Duration `json:"maxInterval,omitempty"`
	// MaxAge of an event, since it was accepted, after which it is not tried again; no limit by default.
	// +optional
	MaxAge *metav1.Duration `json:"maxAge,omitempty"`
}

// SecretKeyRef names one key of a secret in the namespace of the referring object.
type SecretKeyRef struct {
	// Name of the secret.
	Name string `json:"name"`
	// Key inside it.
	Key string `json:"key"`
}
