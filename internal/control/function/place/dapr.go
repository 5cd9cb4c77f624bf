package place

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	"github.com/openfunction/ofn/internal/control/daprapp"
	"github.com/openfunction/ofn/internal/control/engines"
	"github.com/openfunction/ofn/internal/drift"
	"github.com/openfunction/ofn/internal/run/cluster"
)

// pinned says whether the user gave all requests to revisions by their names.
func pinned(fn *v1beta2.Function) bool {
	for _, t := range fn.Spec.Serving.Traffic {
		if t.RevisionName == "" {
			return false
		}
	}
	return len(fn.Spec.Serving.Traffic) > 0
}

// providers are the revisions whose components a function has, the newest first, as Servings come: the newest one, and those to which
// the user gives requests by name. All revisions are one application, and a sidecar loads every component of its application; one that a
// former revision got wrong would keep the next from starting.
func providers(fn *v1beta2.Function, servings []*v1beta2.Serving) []*v1beta2.Serving {
	given := map[string]bool{}
	for _, t := range fn.Spec.Serving.Traffic {
		given[t.RevisionName] = true
	}
	var out []*v1beta2.Serving
	for i, s := range servings {
		newest := i == 0 && !pinned(fn)
		if newest || given[s.Name] && (pinned(fn) || s.Status.State == v1beta2.StateRunning) {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return servings[:1]
	}
	return out
}

// undelivered says what of the triggers Dapr does not do on a cluster.
func undelivered(s *v1beta2.Serving) error {
	if s.Spec.Triggers == nil {
		return nil
	}
	for i, d := range s.Spec.Triggers.Dapr {
		if d != nil && (d.Retry != nil || d.DeadLetterTopic != "" || d.DeadLetterSink != nil) {
			return &cluster.Refused{Reason: reasonUnsupported, Err: fmt.Errorf("triggers.dapr[%d]: retry, deadLetterTopic and deadLetterSink are kept by `ofn up` alone; on a cluster leave them out, and give the namespace a Resiliency of Dapr with the scope %q", i, daprapp.ID(s))}
		}
	}
	return nil
}

// components makes what revisions define for Dapr, and takes away what none of them does any more.
func (p *Phase) components(ctx context.Context, fn *v1beta2.Function, revisions []*v1beta2.Serving) error {
	if lacks, err := p.missing(ctx, []engines.Engine{engines.Dapr()}); err != nil || lacks != nil {
		return err // then nothing is wanted, and there is nothing
	}
	wanted := map[string]bool{}
	for _, o := range daprapp.Objects(owner(fn), revisions) {
		u, err := drift.Object(o)
		if err != nil {
			return err
		}
		wanted[u.GetName()] = true
		if _, err := drift.Ensure(ctx, p.client, p.options.Live, u); err != nil {
			return refusedComponent(err)
		}
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(daprv1.GroupVersion.WithKind("ComponentList"))
	if err := p.client.List(ctx, list, client.InNamespace(fn.Namespace), client.MatchingLabels{v1beta2.LabelFunction: fn.Name, v1beta2.LabelManaged: "true"}); err != nil {
		return fmt.Errorf("listing components: %w", err)
	}
	for i := range list.Items {
		o := &list.Items[i]
		if wanted[o.GetName()] || !ownedBy(o, fn) || !o.GetDeletionTimestamp().IsZero() {
			continue
		}
		if err := p.client.Delete(ctx, o); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting component %s: %w", o.GetName(), err)
		}
	}
	return nil
}

func ownedBy(o client.Object, fn *v1beta2.Function) bool {
	for _, r := range o.GetOwnerReferences() {
		if r.UID == fn.UID {
			return true
		}
	}
	return false
}

// refusedComponent sorts out what is not the operator's to mend.
func refusedComponent(err error) error {
	taken := (*drift.Taken)(nil)
	switch {
	case errors.As(err, &taken):
		return &cluster.Refused{Reason: "NameTaken", Err: err}
	case apierrors.IsForbidden(err):
		return &cluster.Refused{Reason: "Forbidden", Err: err}
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return &cluster.Refused{Reason: "ComponentRefused", Err: err}
	default:
		return err
	}
}
