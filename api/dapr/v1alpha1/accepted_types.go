package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/opaque"
)

// Configuration configures a Dapr sidecar. It is accepted so that manifests which have one can be applied; only a real
// sidecar reads it.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
type Configuration struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec opaque.Object `json:"spec,omitempty"`
}

// ConfigurationList is a list of Configurations.
//
// +kubebuilder:object:root=true
type ConfigurationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Configuration `json:"items"`
}

// Resiliency says how a Dapr sidecar retries. It is accepted so that manifests which have one can be applied; only a real
// sidecar reads it.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
type Resiliency struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec opaque.Object `json:"spec,omitempty"`
	// Scopes are the applications it is for.
	// +optional
	Scopes []string `json:"scopes,omitempty"`
}

// ResiliencyList is a list of Resiliencies.
//
// +kubebuilder:object:root=true
type ResiliencyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Resiliency `json:"items"`
}
