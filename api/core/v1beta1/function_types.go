package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// FunctionSpec is what a user wants: an image, how it is built, how it runs, how it is reached.
type FunctionSpec struct {
	// WorkloadRuntime is OCIContainer or WasmEdge.
	// +optional
	// +kubebuilder:default=OCIContainer
	WorkloadRuntime string `json:"workloadRuntime,omitempty"`
	// Version is a free label; "latest" by default.
	// +optional
	Version *string `json:"version,omitempty"`
	// Image is what a build makes and what runs.
	Image string `json:"image"`
	// ImageCredentials names the registry secret.
	// +optional
	ImageCredentials *corev1.LocalObjectReference `json:"imageCredentials,omitempty"`
	// Port the function listens on; 8080 by default.
	// +optional
	Port *int32 `json:"port,omitempty"`
	// Build says how source becomes the image.
	// +optional
	Build *BuildTemplate `json:"build,omitempty"`
	// Serving says how the image runs.
	// +optional
	Serving *ServingTemplate `json:"serving,omitempty"`
	// Route says how requests reach the function.
	// +optional
	Route *v1beta2.Route `json:"route,omitempty"`
}

// Function is source or an image that is called over HTTP or with events.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=fn
// +kubebuilder:printcolumn:name="BuildState",type=string,JSONPath=`.status.build.state`
// +kubebuilder:printcolumn:name="ServingState",type=string,JSONPath=`.status.serving.state`
// +kubebuilder:printcolumn:name="Builder",type=string,JSONPath=`.status.build.resourceRef`
// +kubebuilder:printcolumn:name="Serving",type=string,JSONPath=`.status.serving.resourceRef`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.status.addresses[?(@.type=="Internal")].value`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Function struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   FunctionSpec           `json:"spec,omitempty"`
	Status v1beta2.FunctionStatus `json:"status,omitempty"`
}

// FunctionList is a list of Functions.
//
// +kubebuilder:object:root=true
type FunctionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Function `json:"items"`
}
