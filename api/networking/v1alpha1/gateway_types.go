package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/opaque"
)

// Defaults of a Gateway, and names the platform gives.
const (
	// DefaultClusterDomain is spec.clusterDomain when none is given.
	DefaultClusterDomain = "cluster.local"
	// DefaultHostTemplate is spec.hostTemplate when none is given.
	DefaultHostTemplate = "{{.Name}}.{{.Namespace}}.{{.Domain}}"
	// DefaultPathTemplate is spec.pathTemplate when none is given.
	DefaultPathTemplate = "{{.Namespace}}/{{.Name}}"
	// DefaultHTTPRouteLabelKey is spec.httpRouteLabelKey when none is given.
	DefaultHTTPRouteLabelKey = "app.kubernetes.io/managed-by"
	// InternalListener is the name of the listener for requests from inside the cluster.
	InternalListener = "ofn-http-internal"
	// InternalListenerPort is its port.
	InternalListenerPort int32 = 80
	// AnnotationLastApplied keeps the spec that was last merged into the Kubernetes Gateway.
	AnnotationLastApplied = "networking.openfunction.io/last-applied-configuration"
	// AnnotationInjectedListeners on a Kubernetes Gateway names the listeners that were merged into it.
	AnnotationInjectedListeners = "networking.openfunction.io/injected-listeners"
	// Finalizer lets the platform take its listeners back before a Gateway goes.
	Finalizer = "networking.openfunction.io/finalizer"
)

// Condition types of a Gateway.
const (
	ConditionScheduled = "Scheduled"
	ConditionReady     = "Ready"
)

// GatewaySpec says under which names functions are reached and which Kubernetes Gateway carries the traffic.
type GatewaySpec struct {
	// Domain of the names that are reached from outside.
	Domain string `json:"domain"`
	// ClusterDomain of the names that are reached from inside.
	// +optional
	// +kubebuilder:default="cluster.local"
	ClusterDomain string `json:"clusterDomain,omitempty"`
	// HostTemplate makes a function's hostname (Go template; .Name, .Namespace, .Domain).
	// +optional
	// +kubebuilder:default="{{.Name}}.{{.Namespace}}.{{.Domain}}"
	HostTemplate string `json:"hostTemplate,omitempty"`
	// PathTemplate makes a function's path where the host is shared (Go template; .Name, .Namespace).
	// +optional
	// +kubebuilder:default="{{.Namespace}}/{{.Name}}"
	PathTemplate string `json:"pathTemplate,omitempty"`
	// HTTPRouteLabelKey is the label of the HTTPRoutes made for this Gateway.
	// +optional
	// +kubebuilder:default="app.kubernetes.io/managed-by"
	HTTPRouteLabelKey string `json:"httpRouteLabelKey,omitempty"`
	// GatewayRef uses a Kubernetes Gateway that exists. Exclusive with gatewayDef.
	// +optional
	GatewayRef *GatewayRef `json:"gatewayRef,omitempty"`
	// GatewayDef makes a Kubernetes Gateway. Exclusive with gatewayRef.
	// +optional
	GatewayDef *GatewayDef `json:"gatewayDef,omitempty"`
	// GatewaySpec is what the Kubernetes Gateway shall be.
	GatewaySpec ListenerSet `json:"gatewaySpec"`
}

// GatewayRef names a Kubernetes Gateway.
type GatewayRef struct {
	// Name of it.
	Name string `json:"name"`
	// Namespace of it.
	Namespace string `json:"namespace"`
}

// GatewayDef defines a Kubernetes Gateway.
type GatewayDef struct {
	// Name of it; the name of this object by default.
	// +optional
	Name string `json:"name,omitempty"`
	// Namespace of it.
	Namespace string `json:"namespace"`
	// GatewayClassName of it.
	GatewayClassName string `json:"gatewayClassName"`
}

// ListenerSet is what the Kubernetes Gateway shall listen on.
type ListenerSet struct {
	// Listeners of the Gateway.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Listeners []Listener `json:"listeners"`
}

// Listener is one listener of a Kubernetes Gateway.
type Listener struct {
	// Name of it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Hostname it answers for; set by admission.
	// +optional
	Hostname *string `json:"hostname,omitempty"`
	// Port it listens on.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
	// Protocol: HTTP, HTTPS, TLS, TCP or UDP.
	// +kubebuilder:validation:MinLength=1
	Protocol string `json:"protocol"`
	// TLS is the Gateway API's section of that name.
	// +optional
	TLS *opaque.Object `json:"tls,omitempty"`
	// AllowedRoutes is the Gateway API's section of that name.
	// +optional
	AllowedRoutes *opaque.Object `json:"allowedRoutes,omitempty"`
}

// GatewayStatus is how a Gateway stands.
type GatewayStatus struct {
	// ObservedGeneration is the generation of the spec this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Addresses it is reached at.
	// +optional
	Addresses []GatewayAddress `json:"addresses,omitempty"`
	// Conditions: Scheduled, Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:default={{type: "Scheduled", status: "Unknown", reason: "NotReconciled", message: "Waiting for controller", lastTransitionTime: "1970-01-01T00:00:00Z"}}
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Listeners say how each of them stands.
	// +optional
	// +listType=map
	// +listMapKey=name
	Listeners []ListenerStatus `json:"listeners,omitempty"`
}

// GatewayAddress is an address a Gateway is reached at.
type GatewayAddress struct {
	// Type is IPAddress or Hostname.
	// +optional
	Type string `json:"type,omitempty"`
	// Value of the address.
	Value string `json:"value"`
}

// ListenerStatus is how one listener stands.
type ListenerStatus struct {
	// Name of the listener.
	Name string `json:"name"`
	// AttachedRoutes is how many routes use it.
	// +optional
	AttachedRoutes int32 `json:"attachedRoutes,omitempty"`
	// Conditions of the listener.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Gateway is where functions are reached: it gives them names and carries their traffic.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.status.addresses[*].value`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Gateway struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   GatewaySpec   `json:"spec,omitempty"`
	Status GatewayStatus `json:"status,omitempty"`
}

// GatewayList is a list of Gateways.
//
// +kubebuilder:object:root=true
type GatewayList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Gateway `json:"items"`
}
