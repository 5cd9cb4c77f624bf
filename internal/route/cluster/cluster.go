// Package cluster is the route seam of Kubernetes: what a controller hands to a router of a cluster, and gets back. It differs from
// package route where a cluster does. Rules go on as they were written, because the implementation of the Gateway API knows more
// of them than one machine does; a route leads to Services; and whether it is in effect comes later, from somebody else.
package cluster

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/opaque"
)

// Route is everything that leads to one function.
type Route struct {
	Namespace, Name string
	// Owner is the Function; what is made for the route is its and goes with it.
	Owner  metav1.OwnerReference
	Labels map[string]string
	// Parent is the Gateway that the requests come from.
	Parent Parent
	// Hosts are exact names or "*.suffix" wildcards, lower case, without port; 16 at most.
	Hosts []string
	// Rules are HTTPRouteRules of the Gateway API, 16 at most. Their backendRefs are those below, whatever they say.
	Rules []opaque.Object
	// Backends share the requests by weight.
	Backends []Backend
}

// Parent names a Gateway of gateway.networking.k8s.io.
type Parent struct{ Namespace, Name string }

// Backend is a Service and its share.
type Backend struct {
	Namespace, Name string
	Port            int32
	Weight          int32
	// Host is what the Service must see as the host of a request; empty is the request's own.
	Host string
	// Headers are set on each request.
	Headers map[string]string
}

// Status is how a route stands.
type Status struct {
	// Routed is whether the implementation has taken it.
	Routed metav1.ConditionStatus
	// Reason and Message say why, or why not.
	Reason, Message string
	// Conditions are the implementation's own.
	Conditions []metav1.Condition
}

// Router makes routes. Its methods are idempotent, and quiet when nothing is to be changed.
type Router interface {
	// Apply makes it so, without waiting until it is in effect, and says how it stands. What cannot be is a *Refused, and what was
	// applied before stays.
	Apply(ctx context.Context, r Route) (Status, error)
	// Remove takes away what was made for the owner's route; nothing there is no error.
	Remove(ctx context.Context, namespace, name string, owner metav1.OwnerReference) error
	// Gone is told that the owner of a route no longer exists, and its route with it.
	Gone(ctx context.Context, namespace, name string) error
}

// Refused is what the user or the cluster's administrator must mend.
type Refused struct {
	Reason string // CamelCase
	Err    error
}

// Error is the cause's.
func (r *Refused) Error() string { return r.Err.Error() }

// Unwrap is the cause.
func (r *Refused) Unwrap() error { return r.Err }
