package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// BuildTemplate says how source becomes an image.
type BuildTemplate struct {
	// Builder is the builder image of a buildpacks build, or the name of a built-in builder. One of builder and dockerfile is needed.
	// +optional
	Builder *string `json:"builder,omitempty"`
	// BuilderCredentials names the secret that pulls the builder image.
	// +optional
	BuilderCredentials *corev1.LocalObjectReference `json:"builderCredentials,omitempty"`
	// Shipwright chooses the build strategy.
	// +optional
	Shipwright *ShipwrightEngine `json:"shipwright,omitempty"`
	// Params are handed to the build strategy.
	// +optional
	Params map[string]string `json:"params,omitempty"`
	// Env is the environment of the build.
	// +optional
	Env map[string]string `json:"env,omitempty"`
	// SrcRepo is where the source is.
	SrcRepo *v1beta2.SourceRepo `json:"srcRepo"`
	// Dockerfile is the path of the Dockerfile inside the source, for strategies that use one.
	// +optional
	Dockerfile *string `json:"dockerfile,omitempty"`
	// Timeout bounds the whole build. Without it the platform's default holds.
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
	// SuccessfulBuildsHistoryLimit is how many Builders that succeeded are kept, with their logs. The default is 3.
	// +optional
	SuccessfulBuildsHistoryLimit *int32 `json:"successfulBuildsHistoryLimit,omitempty"`
	// FailedBuildsHistoryLimit is how many Builders that ended otherwise are kept, with their logs. The default is 3.
	// +optional
	FailedBuildsHistoryLimit *int32 `json:"failedBuildsHistoryLimit,omitempty"`
	// BuilderMaxAge removes finished Builders that are older. Zero and none keep them.
	// +optional
	BuilderMaxAge *metav1.Duration `json:"builderMaxAge,omitempty"`
}

// ShipwrightEngine chooses the build strategy.
type ShipwrightEngine struct {
	// Strategy names it. The default is the ClusterBuildStrategy "openfunction".
	// +optional
	Strategy *v1beta2.Strategy `json:"strategy,omitempty"`
	// Timeout is accepted for compatibility; build.timeout is the one that holds.
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// BuilderSpec is one build, complete.
type BuilderSpec struct {
	BuildTemplate `json:",inline"`
	// Image is the reference the result is pushed to.
	Image string `json:"image"`
	// ImageCredentials names the registry secret.
	// +optional
	ImageCredentials *corev1.LocalObjectReference `json:"imageCredentials,omitempty"`
	// State is "Cancelled" to ask for the cancellation of the build.
	// +optional
	State string `json:"state,omitempty"`
}

// Builder is the record of one build.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=fb
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.reason`
// +kubebuilder:printcolumn:name="BuildDuration",type=string,JSONPath=`.status.buildDuration`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Builder struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   BuilderSpec           `json:"spec,omitempty"`
	Status v1beta2.BuilderStatus `json:"status,omitempty"`
}

// BuilderList is a list of Builders.
//
// +kubebuilder:object:root=true
type BuilderList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Builder `json:"items"`
}
