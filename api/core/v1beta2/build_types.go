package v1beta2

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BuildTemplate says how source becomes an image. It is Function.spec.build and the greater part of Builder.spec.
type BuildTemplate struct {
	// Builder is the builder image of a buildpacks build, or the name of a built-in builder. One of builder and dockerfile is needed.
	// +optional
	Builder *string `json:"builder,omitempty"`
	// BuilderCredentials names the secret that pulls the builder image.
	// +optional
	BuilderCredentials *corev1.LocalObjectReference `json:"builderCredentials,omitempty"`
	// Shipwright chooses and steers the build strategy.
	// +optional
	Shipwright *ShipwrightEngine `json:"shipwright,omitempty"`
	// Dockerfile is the path of the Dockerfile inside the source, for strategies that use one.
	// +optional
	Dockerfile *string `json:"dockerfile,omitempty"`
	// Env is the environment of the build.
	// +optional
	Env map[string]string `json:"env,omitempty"`
	// SrcRepo is where the source is.
	SrcRepo *SourceRepo `json:"srcRepo"`
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

// SourceRepo is where source comes from: git, or an image that holds the source. The image wins.
type SourceRepo struct {
	// URL of a git repository (https, ssh or file).
	// +optional
	URL string `json:"url,omitempty"`
	// BundleContainer is an image whose content is the source.
	// +optional
	BundleContainer *BundleContainer `json:"bundleContainer,omitempty"`
	// Revision is a branch, tag or commit. The default is the repository's default branch.
	// +optional
	Revision *string `json:"revision,omitempty"`
	// SourceSubPath is the directory inside the source that is built.
	// +optional
	SourceSubPath *string `json:"sourceSubPath,omitempty"`
	// Credentials names the secret for the repository or the bundle image.
	// +optional
	Credentials *corev1.LocalObjectReference `json:"credentials,omitempty"`
	// PollInterval asks the source at this interval whether its revision names another commit (or its image another
	// digest), and builds again when it does. None or zero never asks.
	// +optional
	PollInterval *metav1.Duration `json:"pollInterval,omitempty"`
}

// BundleContainer names a source bundle image.
type BundleContainer struct {
	// Image is its reference.
	Image string `json:"image"`
}

// ShipwrightEngine steers the build strategy.
type ShipwrightEngine struct {
	// Strategy names it. The default is the ClusterBuildStrategy "openfunction".
	// +optional
	Strategy *Strategy `json:"strategy,omitempty"`
	// Params are handed to the strategy.
	// +optional
	Params []*ParamValue `json:"params,omitempty"`
	// Timeout is accepted for compatibility; build.timeout is the one that holds.
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// Kinds of build strategy.
const (
	NamespacedBuildStrategy = "BuildStrategy"
	ClusterBuildStrategy    = "ClusterBuildStrategy"
)

// Strategy names a build strategy.
type Strategy struct {
	// Name of the strategy.
	Name string `json:"name"`
	// Kind is BuildStrategy or ClusterBuildStrategy.
	// +optional
	Kind *string `json:"kind,omitempty"`
}

// SingleValue is one value given literally or by reference.
type SingleValue struct {
	// Value is literal.
	// +optional
	Value *string `json:"value,omitempty"`
	// ConfigMapValue takes it from a ConfigMap.
	// +optional
	ConfigMapValue *ObjectKeyRef `json:"configMapValue,omitempty"`
	// SecretValue takes it from a Secret.
	// +optional
	SecretValue *ObjectKeyRef `json:"secretValue,omitempty"`
}

// ObjectKeyRef names one key of a ConfigMap or Secret.
type ObjectKeyRef struct {
	// Name of the object.
	Name string `json:"name"`
	// Key inside it.
	Key string `json:"key"`
	// Format is a text in which "${CONFIGMAP_VALUE}" or "${SECRET_VALUE}" stands for the value.
	// +optional
	Format *string `json:"format,omitempty"`
}

// ParamValue is a strategy parameter: one value, or a list of them.
type ParamValue struct {
	SingleValue `json:",inline"`
	// Name of the parameter.
	Name string `json:"name"`
	// Values of a list parameter.
	// +optional
	Values []SingleValue `json:"values,omitempty"`
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

// BuilderStatus is how a build stands.
type BuilderStatus struct {
	// ObservedGeneration is the generation of the spec this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Succeeded.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Phase is "Build".
	// +optional
	Phase Phase `json:"phase,omitempty"`
	// State is one of the states.
	// +optional
	State State `json:"state,omitempty"`
	// Reason is a CamelCase word for why the build failed.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message says it in full.
	// +optional
	Message string `json:"message,omitempty"`
	// StartTime is when the build began to run (after it had waited for its turn).
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// CompletionTime is when it ended, however it ended.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// BuildDuration is how long it ran.
	// +optional
	BuildDuration *metav1.Duration `json:"buildDuration,omitempty"`
	// ResourceRef names what an external engine made for this build; see the Ref constants.
	// +optional
	ResourceRef map[string]string `json:"resourceRef,omitempty"`
	// Output is the image.
	// +optional
	Output *BuilderOutput `json:"output,omitempty"`
	// Sources say exactly what was built.
	// +optional
	Sources []SourceResult `json:"sources,omitempty"`
}

// BuilderOutput is the image a build made.
type BuilderOutput struct {
	// Digest of the manifest, "sha256:…".
	// +optional
	Digest string `json:"digest,omitempty"`
	// Size of the compressed layers in bytes.
	// +optional
	Size int64 `json:"size,omitempty"`
	// Functions that the image serves, as far as the build could know them.
	// +optional
	// +listType=atomic
	Functions []BuiltFunction `json:"functions,omitempty"`
}

// BuiltFunction is a function of an application.
type BuiltFunction struct {
	// Name it is registered by.
	Name string `json:"name"`
	// Signature is http, cloudevent, openfunction or typed.
	// +optional
	Signature string `json:"signature,omitempty"`
	// Path it is served at; empty is every path.
	// +optional
	Path string `json:"path,omitempty"`
	// Methods it is served for; none is all.
	// +optional
	// +listType=atomic
	Methods []string `json:"methods,omitempty"`
}

// SourceResult says exactly what one source was.
type SourceResult struct {
	// Name of the source, "default" for the only one.
	Name string `json:"name"`
	// Git is set for a git source.
	// +optional
	Git *GitSourceResult `json:"git,omitempty"`
	// Bundle is set for a bundle image.
	// +optional
	Bundle *BundleSourceResult `json:"bundle,omitempty"`
}

// GitSourceResult is one commit.
type GitSourceResult struct {
	// CommitSha is its full name.
	// +optional
	CommitSha string `json:"commitSha,omitempty"`
	// CommitAuthor is its author's name.
	// +optional
	CommitAuthor string `json:"commitAuthor,omitempty"`
	// BranchName is the branch it was found on, when the revision named a branch.
	// +optional
	BranchName string `json:"branchName,omitempty"`
}

// BundleSourceResult is one bundle image.
type BundleSourceResult struct {
	// Digest of the image.
	// +optional
	Digest string `json:"digest,omitempty"`
}

// Builder is the record of one build.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:resource:shortName=fb
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.reason`
// +kubebuilder:printcolumn:name="BuildDuration",type=string,JSONPath=`.status.buildDuration`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Builder struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   BuilderSpec   `json:"spec,omitempty"`
	Status BuilderStatus `json:"status,omitempty"`
}

// BuilderList is a list of Builders.
//
// +kubebuilder:object:root=true
type BuilderList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Builder `json:"items"`
}
