package place

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
		switch {
		case d == nil:
		case d.DeadLetterSink != nil:
			return &cluster.Refused{Reason: reasonUnsupported, Err: fmt.Errorf("triggers.dapr[%d].deadLetterSink is kept by `ofn up` alone; on a cluster give deadLetterTopic, which a function may read", i)}
		case d.DeadLetterTopic != "" && !daprapp.SpeaksHTTP(s):
			return &cluster.Refused{Reason: reasonUnsupported, Err: fmt.Errorf("triggers.dapr[%d].deadLetterTopic: the framework in the image subscribes to the topic, and OpenFunction's frameworks say nothing of dead letters then; if the image was made with one of ofn's, say so with the annotation %s: http",
				i, daprapp.AnnotationAppProtocol)}
		}
	}
	if _, err := daprapp.ResiliencyOf(metav1.OwnerReference{}, s); err != nil {
		return &cluster.Refused{Reason: reasonUnsupported, Err: err}
	}
	return nil
}

// wanted is what revisions define for Dapr. How often an event is tried again is what the newest of them says, as it is for components.
func wanted(fn *v1beta2.Function, revisions []*v1beta2.Serving) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	add := func(o any) error {
		u, err := drift.Object(o)
		out = append(out, u)
		return err
	}
	for _, o := range daprapp.Objects(owner(fn), revisions) {
		if err := add(o); err != nil {
			return nil, err
		}
	}
	if len(revisions) == 0 || !daprapp.Enabled(revisions[0]) {
		return out, nil
	}
	r, err := daprapp.ResiliencyOf(owner(fn), revisions[0])
	if err != nil {
		return nil, &cluster.Refused{Reason: reasonUnsupported, Err: err}
	}
	if r != nil {
		return out, add(r)
	}
	return out, nil
}

// components makes what revisions define for Dapr, and takes away what none of them does any more.
func (p *Phase) components(ctx context.Context, fn *v1beta2.Function, revisions []*v1beta2.Serving) error {
	if lacks, err := p.missing(ctx, []engines.Engine{engines.Dapr()}); err != nil || lacks != nil {
		return err // then nothing is wanted, and there is nothing
	}
	objects, err := wanted(fn, revisions)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, u := range objects {
		keep[u.GetKind()+"/"+u.GetName()] = true
		if _, err := drift.Ensure(ctx, p.client, p.options.Live, u); err != nil {
			return refusedComponent(err)
		}
	}
	for _, kind := range []string{"Component", daprapp.KindResiliency} {
		if err := p.prune(ctx, fn, kind, keep); err != nil {
			return err
		}
	}
	return nil
}

// prune deletes the function's objects of a kind of Dapr's but those to keep.
func (p *Phase) prune(ctx context.Context, fn *v1beta2.Function, kind string, keep map[string]bool) error {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(daprv1.GroupVersion.WithKind(kind + "List"))
	if err := p.client.List(ctx, list, client.InNamespace(fn.Namespace), client.MatchingLabels{v1beta2.LabelFunction: fn.Name, v1beta2.LabelManaged: "true"}); err != nil {
		return fmt.Errorf("listing objects of the kind %s: %w", kind, err)
	}
	for i := range list.Items {
		o := &list.Items[i]
		if keep[kind+"/"+o.GetName()] || !ownedBy(o, fn) || !o.GetDeletionTimestamp().IsZero() {
			continue
		}
		if err := p.client.Delete(ctx, o); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting %s %s: %w", kind, o.GetName(), err)
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
