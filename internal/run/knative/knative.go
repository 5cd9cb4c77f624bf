// Package knative runs functions with Knative Serving: one Knative Service for each Function, one Knative Revision of the same
// name for each Serving. It speaks serving.knative.dev/v1 with structs of its own, because the engine's Go packages would bring
// 38 modules for the thirty fields that are needed.
package knative

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/drift"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
	"github.com/openfunction/ofn/internal/run/podstatus"
)

// The group and version of Knative's API.
const (
	Group   = "serving.knative.dev"
	Version = "v1"
)

var (
	serviceKind  = schema.GroupVersionKind{Group: Group, Version: Version, Kind: "Service"}
	revisionKind = schema.GroupVersionKind{Group: Group, Version: Version, Kind: "Revision"}
)

// Engine makes Knative Services.
type Engine struct {
	client client.Client
	live   client.Reader
	pods   client.Reader
}

// New is an engine over a client that reads from a cache, and a reader that does not. A third one reads pods, from a cache; nil where there
// are none, on an API server without nodes.
func New(c client.Client, live, pods client.Reader) *Engine {
	return &Engine{client: c, live: live, pods: pods}
}

var _ cluster.Engine = (*Engine)(nil)

// Apply implements cluster.Engine.
func (e *Engine) Apply(ctx context.Context, s cluster.Service) (cluster.Status, error) {
	made, err := e.revisions(ctx, &s)
	if err != nil {
		return cluster.Status{}, err
	}
	named, err := drift.Object(named(s.Namespace, s.Name, s.Owner))
	if err != nil {
		return cluster.Status{}, err
	}
	current, err := drift.Read(ctx, e.client, named)
	if err != nil {
		return cluster.Status{}, refused(err)
	}
	next := next(&s, made)
	template, err := templateOf(next, made[next.Name], current)
	if err != nil {
		return cluster.Status{}, err
	}
	wanted, err := drift.Object(serviceOf(&s, template))
	if err != nil {
		return cluster.Status{}, err
	}
	current, err = drift.Ensure(ctx, e.client, e.live, wanted)
	if err != nil {
		return cluster.Status{}, refused(err)
	}
	if err := e.retire(ctx, &s, made); err != nil {
		return cluster.Status{}, err
	}
	out, err := statusOf(&s, current, made)
	if err != nil {
		return cluster.Status{}, err
	}
	return out, e.troubled(ctx, &s, &out)
}

// Remove implements cluster.Engine. The Revisions go with their Service.
func (e *Engine) Remove(ctx context.Context, namespace, name string, owner metav1.OwnerReference) error {
	o, err := drift.Object(named(namespace, name, owner))
	if err != nil {
		return err
	}
	return drift.Delete(ctx, e.client, o)
}

// revisions are the Knative Revisions that there are of the function, by name.
func (e *Engine) revisions(ctx context.Context, s *cluster.Service) (map[string]*unstructured.Unstructured, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(revisionKind)
	if err := e.client.List(ctx, list, client.InNamespace(s.Namespace), client.MatchingLabels{v1beta2.LabelFunction: s.Name, labelService: s.Name}); err != nil {
		return nil, fmt.Errorf("listing Knative revisions: %w", err)
	}
	out := map[string]*unstructured.Unstructured{}
	for i := range list.Items {
		if r := &list.Items[i]; r.GetDeletionTimestamp().IsZero() {
			out[r.GetName()] = r
		}
	}
	return out, nil
}

// next is the revision whose template the Service must have now: the newest. Knative makes a Revision when the template changes, and
// only then, so that one which shares the requests and was deleted by hand has its turn before. One that was never made has not: Knative
// may have refused it, and the newer ones would wait for ever.
func next(s *cluster.Service, made map[string]*unstructured.Unstructured) *cluster.Revision {
	for i := range s.Revisions {
		r := &s.Revisions[i]
		routed := slices.ContainsFunc(s.Traffic, func(t cluster.Share) bool { return t.Revision == r.Name })
		if r.Made && routed && made[r.Name] == nil {
			return r
		}
	}
	return s.Newest()
}

// retire deletes the Revisions whose Servings are gone. Knative's own garbage collector is told to keep all of them, because the
// history limit of the Function is the one that counts.
func (e *Engine) retire(ctx context.Context, s *cluster.Service, made map[string]*unstructured.Unstructured) error {
	wanted := map[string]bool{}
	for i := range s.Revisions {
		wanted[s.Revisions[i].Name] = true
	}
	for name, r := range made {
		if wanted[name] {
			continue
		}
		if err := e.client.Delete(ctx, r); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting Knative revision %s: %w", name, err)
		}
	}
	return nil
}

// refused sorts out what is not the operator's to mend.
func refused(err error) error {
	var taken *drift.Taken
	switch {
	case err == nil:
		return nil
	case errors.As(err, &taken):
		return &cluster.Refused{Reason: "NameTaken", Err: err}
	case apierrors.IsForbidden(err):
		reason := "Forbidden" // a policy, or a right the operator lacks
		if said := podstatus.Refusal(err.Error()); said != podstatus.ReasonRefused {
			reason = said
		}
		return &cluster.Refused{Reason: reason, Err: err}
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), drift.Undeclared(err):
		return &cluster.Refused{Reason: "RefusedByKnative", Err: err}
	default:
		return err
	}
}

// phase is how a Revision stands by its condition Ready.
func phase(ready condition) run.Phase {
	switch ready.Status {
	case metav1.ConditionTrue:
		return run.Ready
	case metav1.ConditionFalse:
		return run.Failed
	default:
		return run.Starting
	}
}
