package v1beta2

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FunctionSpec is what a user wants: an image, how it is built, how it runs.
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
	// Build says how source becomes the image. Without it the image must exist.
	// +optional
	Build *BuildTemplate `json:"build,omitempty"`
	// Serving says how the image runs. Without it the function is only built.
	// +optional
	Serving *FunctionServing `json:"serving,omitempty"`
}

// FunctionServing says how the image runs, and which revisions take the traffic.
type FunctionServing struct {
	ServingTemplate `json:",inline"`
	// Traffic says which revisions take which share. Without it the latest ready revision takes everything.
	// A change of it makes no new revision.
	// +optional
	// +kubebuilder:validation:MaxItems=32
	Traffic []TrafficTarget `json:"traffic,omitempty"`
	// RevisionHistoryLimit is how many revisions without traffic are kept for rollback; 10 by default.
	// +optional
	RevisionHistoryLimit *int32 `json:"revisionHistoryLimit,omitempty"`
	// Runtime belongs to v1beta1. It is accepted because manifests of this version carry it, and dropped with a warning.
	// +optional
	Runtime string `json:"runtime,omitempty"`
}

// TrafficTarget gives a revision a share of the traffic, a host of its own, or both.
type TrafficTarget struct {
	// RevisionName names a Serving of this function. Exclusive with latestRevision.
	// +optional
	RevisionName string `json:"revisionName,omitempty"`
	// LatestRevision follows the latest ready revision.
	// +optional
	LatestRevision *bool `json:"latestRevision,omitempty"`
	// Percent of the traffic, 0 to 100. The percents of all targets add up to 100.
	// +optional
	Percent *int64 `json:"percent,omitempty"`
	// Tag gives the target a host of its own, "<tag>-<host>".
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Tag string `json:"tag,omitempty"`
}

// StageStatus is how the build or the serving of a function stands.
type StageStatus struct {
	// State is one of the states.
	// +optional
	State State `json:"state,omitempty"`
	// Reason is a CamelCase word for why.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message says it in full.
	// +optional
	Message string `json:"message,omitempty"`
	// ResourceRef names the Builder or Serving.
	// +optional
	ResourceRef string `json:"resourceRef,omitempty"`
	// LastSuccessfulResourceRef names the last one that succeeded.
	// +optional
	LastSuccessfulResourceRef string `json:"lastSuccessfulResourceRef,omitempty"`
	// ResourceHash is a hash of the specification the child was made from.
	// +optional
	ResourceHash string `json:"resourceHash,omitempty"`
	// Service is the name of the service that reaches the function; serving only.
	// +optional
	Service string `json:"service,omitempty"`
	// BuildDuration is how long the build ran; build only.
	// +optional
	BuildDuration *metav1.Duration `json:"buildDuration,omitempty"`
}

// ImageRevision is the image a build made.
type ImageRevision struct {
	// ImageDigest of the last successful build.
	// +optional
	ImageDigest string `json:"imageDigest,omitempty"`
}

// RouteStatus is how the function is reached.
type RouteStatus struct {
	// Hosts that lead to the function.
	// +optional
	Hosts []Hostname `json:"hosts,omitempty"`
	// Paths that lead to the function.
	// +optional
	Paths []RoutePath `json:"paths,omitempty"`
	// Conditions of the route.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// RoutePath is one path match.
type RoutePath struct {
	// Type is Exact, PathPrefix or RegularExpression.
	// +optional
	Type string `json:"type,omitempty"`
	// Value to match.
	// +optional
	Value string `json:"value,omitempty"`
}

// FunctionAddress is one URL of a function.
type FunctionAddress struct {
	// Type is Internal or External.
	Type string `json:"type"`
	// Value is the URL.
	Value string `json:"value"`
}

// TrafficStatus is the share a revision has now.
type TrafficStatus struct {
	// RevisionName names the Serving.
	RevisionName string `json:"revisionName"`
	// LatestRevision says that the target follows the latest ready revision.
	// +optional
	LatestRevision bool `json:"latestRevision,omitempty"`
	// Percent of the traffic.
	// +optional
	Percent int64 `json:"percent,omitempty"`
	// Tag of the target.
	// +optional
	Tag string `json:"tag,omitempty"`
	// URL of the tag.
	// +optional
	URL string `json:"url,omitempty"`
}

// FunctionStatus is how a function stands.
type FunctionStatus struct {
	// ObservedGeneration is the generation of the spec this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready, Built, Served, Routed.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Build is how the current build stands.
	// +optional
	Build *StageStatus `json:"build,omitempty"`
	// Serving is how the current revision stands.
	// +optional
	Serving *StageStatus `json:"serving,omitempty"`
	// Revision is the image of the last successful build.
	// +optional
	Revision *ImageRevision `json:"revision,omitempty"`
	// Sources say what the last successful build was made from.
	// +optional
	Sources []SourceResult `json:"sources,omitempty"`
	// Route is how the function is reached.
	// +optional
	Route *RouteStatus `json:"route,omitempty"`
	// Addresses are its URLs.
	// +optional
	Addresses []FunctionAddress `json:"addresses,omitempty"`
	// LatestCreatedRevision names the newest Serving.
	// +optional
	LatestCreatedRevision string `json:"latestCreatedRevision,omitempty"`
	// LatestReadyRevision names the newest Serving that became ready.
	// +optional
	LatestReadyRevision string `json:"latestReadyRevision,omitempty"`
	// Traffic is what share each revision has now.
	// +optional
	Traffic []TrafficStatus `json:"traffic,omitempty"`
	// Shared is set while the function is served by copies that it shares with others of its group, its own or another's.
	// +optional
	Shared *SharedStatus `json:"shared,omitempty"`
	// Events is what passed through the function's Dapr inputs and outputs, and how they stand.
	// +optional
	// +listType=atomic
	Events []EventFlow `json:"events,omitempty"`
}

// EventFlow is what passed between a function and one of its components since the platform started. Figures are written at most
// every fifteen seconds, and not at all while nothing passes.
type EventFlow struct {
	// Component that calls the function or is called by it.
	Component string `json:"component"`
	// Direction is Input or Output.
	// +kubebuilder:validation:Enum=Input;Output
	Direction string `json:"direction"`
	// Ready is whether events can flow.
	Ready bool `json:"ready"`
	// Reason is a CamelCase word for why not.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message says it in full.
	// +optional
	Message string `json:"message,omitempty"`
	// Handled is the number of events that reached their end.
	// +optional
	Handled int64 `json:"handled,omitempty"`
	// Failed is the number of attempts that failed.
	// +optional
	Failed int64 `json:"failed,omitempty"`
	// DeadLetters is the number of events given up.
	// +optional
	DeadLetters int64 `json:"deadLetters,omitempty"`
	// PerMinute is the number of events in the last minute.
	// +optional
	PerMinute int64 `json:"perMinute,omitempty"`
	// LastError is the last failure.
	// +optional
	LastError string `json:"lastError,omitempty"`
	// LastEventTime is when the last event was handled.
	// +optional
	LastEventTime *metav1.Time `json:"lastEventTime,omitempty"`
	// ObservedTime is when these figures were taken.
	// +optional
	ObservedTime *metav1.Time `json:"observedTime,omitempty"`
}

// Directions of an EventFlow.
const (
	DirectionInput  = "Input"
	DirectionOutput = "Output"
)

// SharedStatus says who serves a function of a group: see AnnotationShare.
type SharedStatus struct {
	// Leader is the Function whose revisions serve the group.
	Leader string `json:"leader"`
	// Path at which the application serves this function; empty: the function is called at the path of the request.
	// +optional
	Path string `json:"path,omitempty"`
	// Members are the other Functions that the leader's copies serve; only on the leader.
	// +optional
	// +listType=atomic
	Members []string `json:"members,omitempty"`
}

// Function is source or an image that is called over HTTP or with events.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:resource:shortName=fn
// +kubebuilder:printcolumn:name="BuildState",type=string,JSONPath=`.status.build.state`
// +kubebuilder:printcolumn:name="ServingState",type=string,JSONPath=`.status.serving.state`
// +kubebuilder:printcolumn:name="Builder",type=string,JSONPath=`.status.build.resourceRef`
// +kubebuilder:printcolumn:name="Serving",type=string,JSONPath=`.status.serving.resourceRef`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.status.addresses[?(@.type=="Internal")].value`
// +kubebuilder:printcolumn:name="Events",type=string,priority=1,JSONPath=`.status.events[*].handled`
// +kubebuilder:printcolumn:name="DeadLetters",type=string,priority=1,JSONPath=`.status.events[*].deadLetters`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Function struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   FunctionSpec   `json:"spec,omitempty"`
	Status FunctionStatus `json:"status,omitempty"`
}

// FunctionList is a list of Functions.
//
// +kubebuilder:object:root=true
type FunctionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Function `json:"items"`
}
