package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/opaque"
)

// ConditionReady says whether a component works: it could be configured and, where it has one, reach its server.
const ConditionReady = "Ready"

// KubernetesSecretStore is the secret store of components that name none: secrets of their namespace.
const KubernetesSecretStore = "kubernetes"

// ComponentSpec configures a component.
type ComponentSpec struct {
	// Type, such as pubsub.kafka.
	Type string `json:"type"`
	// Version of the type, such as v1.
	Version string `json:"version"`
	// IgnoreErrors lets the functions start when the component does not.
	// +optional
	IgnoreErrors bool `json:"ignoreErrors,omitempty"`
	// Metadata configures it.
	// +optional
	Metadata []MetadataItem `json:"metadata,omitempty"`
	// InitTimeout bounds its start, as a duration; 5s by default.
	// +optional
	InitTimeout string `json:"initTimeout,omitempty"`
}

// MetadataItem is one setting of a component.
type MetadataItem struct {
	// Name of the setting.
	Name string `json:"name"`
	// Value is a scalar of any type.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	Value opaque.Value `json:"value,omitzero"`
	// SecretKeyRef takes the value from the secret store.
	// +optional
	SecretKeyRef *SecretKeyRef `json:"secretKeyRef,omitempty"`
	// EnvRef takes the value from the environment of the sidecar; there is none here.
	// +optional
	EnvRef string `json:"envRef,omitempty"`
}

// SecretKeyRef names one key of a secret.
type SecretKeyRef struct {
	// Name of the secret.
	Name string `json:"name"`
	// Key inside it; the name of the secret by default.
	// +optional
	Key string `json:"key,omitempty"`
}

// Auth says where the secrets of a component come from.
type Auth struct {
	// SecretStore is kubernetes (the default) or the name of a secret store component.
	SecretStore string `json:"secretStore"`
}

// ComponentStatus is how a component stands. Dapr's definition has none.
type ComponentStatus struct {
	// ObservedGeneration is the generation of the spec this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Component is a broker, store or service that the functions of its namespace use.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Component struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec ComponentSpec `json:"spec,omitempty"`
	// Auth says where the secrets come from.
	// +optional
	Auth *Auth `json:"auth,omitempty"`
	// Scopes are the applications that may use it; all of the namespace by default.
	// +optional
	Scopes []string `json:"scopes,omitempty"`
	// +optional
	Status ComponentStatus `json:"status,omitempty"`
}

// ComponentList is a list of Components.
//
// +kubebuilder:object:root=true
type ComponentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Component `json:"items"`
}
