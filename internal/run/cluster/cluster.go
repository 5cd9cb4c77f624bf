// Package cluster is the run seam of Kubernetes: what a controller hands to an engine that runs functions on a cluster, and
// gets back. It differs from package run where a cluster does. The unit is the Function with all its revisions, not the
// revision, because the engine divides the requests among them. And nothing is resolved: a pod template goes on as it is, with
// the names of its secrets, because the cluster reads them, and has what one machine has not.
package cluster

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run"
)

// Service is one function, complete.
type Service struct {
	Namespace, Name string
	// Owner is the Function; everything made for the service is its and goes with it.
	Owner metav1.OwnerReference
	// Labels and Annotations are the Function's own, as far as they may concern an engine.
	Labels, Annotations map[string]string
	// Revisions are those to be kept, the oldest first. There is at least one.
	Revisions []Revision
	// Traffic says which revisions share the requests; empty is the newest alone.
	Traffic []Share
	// Pinned is whether Traffic leaves out the newest revision for good: a user named others.
	Pinned bool
}

// Newest is the last revision.
func (s *Service) Newest() *Revision { return &s.Revisions[len(s.Revisions)-1] }

// Revision is one immutable revision: under one name it must be the same for ever.
type Revision struct {
	// Name is its Serving's.
	Name                string
	Labels, Annotations map[string]string
	// Pod is the user's template, with image, environment and port filled in, in the container named "function".
	Pod corev1.PodSpec
	// Concurrency bounds the requests that a copy has at a time; 0 does not.
	Concurrency int64
	// Made is whether the engine has made it at some time, as Status.Made said.
	Made bool
	// Proven is whether it has been ready at some time, as its Serving said last.
	Proven bool
	// HTTP is whether requests call it. Events may, too.
	HTTP bool
	// Workload is one of the WorkloadType constants of the API, where requests do not call it alone; empty is a Deployment.
	Workload string
	// Scale is what the user says of the number of its copies; nil is nothing. Annotations have the bounds again, in Knative's words.
	Scale *v1beta2.ScaleOptions
	// StartTimeout bounds its start until the first copy is ready; 0 is the engine's own.
	StartTimeout time.Duration
}

// Share is what a revision gets of the requests, in percent, and the tag under which it is reached by itself.
type Share struct {
	Revision string
	Percent  int64
	Tag      string
}

// Status is what an engine knows of a service.
type Status struct {
	// Objects are the names of what was made, by the Ref constants of the API.
	Objects map[string]string
	// Own are the same, of single revisions by name; what is there is not to be read in Objects.
	Own map[string]map[string]string
	// Revisions by name. One that is not in it stands as it did.
	Revisions map[string]run.Status
	// Made are the names of those that the engine has made.
	Made map[string]bool
	// URL is where the service is reached from outside; empty until it is known. TagURLs are those of the tags.
	URL     string
	TagURLs map[string]string
	// Internal is where the service is reached inside the cluster; empty is port 80 of its name.
	Internal string
	// Again is when to look again although no event may tell of a change; 0 is never.
	Again time.Duration
	// Routed is whether requests are divided as Traffic says.
	Routed Condition
	// Backends are the Services to which a route of the Gateway API leads, dividing the requests as Traffic says; none until there
	// are any.
	Backends []Backend
}

// Backend is a Service that requests are sent to, and its share of them.
type Backend struct {
	Namespace, Name string
	Port            int32
	Weight          int32
	// Host is what it must see as the host of a request; empty is the request's own.
	Host string
	// Headers are what each request must have.
	Headers map[string]string
}

// Condition is a metav1 condition without its type and times.
type Condition struct {
	Status          metav1.ConditionStatus
	Reason, Message string
}

// Engine runs services, and sees to it that <name>.<namespace>.svc leads to each of them inside the cluster. Its methods are
// idempotent, and quiet when nothing is to be changed.
type Engine interface {
	// Apply makes it so, now, without waiting for readiness, and says how it stands. What the cluster refuses (it is invalid,
	// forbidden, over a quota, or somebody else has the name) is a *Refused.
	Apply(ctx context.Context, s Service) (Status, error)
	// Remove takes away what was made for the service; nothing there is no error.
	Remove(ctx context.Context, namespace, name string, owner metav1.OwnerReference) error
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
