// Package serve is the second phase of a Function: it makes a new revision (a Serving) whenever the image or the serving
// specification changes, decides which revisions take the traffic, and keeps a history to roll back to.
package serve

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/owned"
)

// Phase makes Servings.
type Phase struct{ client client.Client }

// New is the phase over a client.
func New(c client.Client) *Phase { return &Phase{client: c} }

// Gone does nothing: the garbage collector removes the Servings of a deleted function.
func (p *Phase) Gone(context.Context, string, string) error { return nil }

// Reconcile makes the revision that the spec asks for when the image is there, copies its state, and divides the traffic.
func (p *Phase) Reconcile(ctx context.Context, fn *v1beta2.Function) (reconcile.Result, error) {
	servings, err := p.list(ctx, fn)
	if err != nil {
		return reconcile.Result{}, err
	}
	if fn.Spec.Serving == nil {
		return reconcile.Result{}, p.skip(ctx, fn, servings)
	}
	if fn.Status.Serving == nil || fn.Status.Serving.State == v1beta2.StateSkipped {
		fn.Status.Serving = &v1beta2.StageStatus{}
	}
	if imageReady(fn) {
		if servings, err = p.ensure(ctx, fn, servings); err != nil {
			return reconcile.Result{}, err
		}
	}
	observe(fn, servings)
	divide(fn, servings)
	return reconcile.Result{}, p.prune(ctx, fn, servings)
}

func imageReady(fn *v1beta2.Function) bool {
	b := fn.Status.Build
	return b != nil && (b.State == v1beta2.StateSucceeded || b.State == v1beta2.StateSkipped)
}

func (p *Phase) list(ctx context.Context, fn *v1beta2.Function) ([]*v1beta2.Serving, error) {
	var all v1beta2.ServingList
	err := p.client.List(ctx, &all, client.InNamespace(fn.Namespace), client.MatchingLabels{v1beta2.LabelFunction: fn.Name})
	if err != nil {
		return nil, fmt.Errorf("listing servings: %w", err)
	}
	var own []*v1beta2.Serving
	for i := range all.Items {
		if owned.By(fn, &all.Items[i]) && all.Items[i].DeletionTimestamp.IsZero() {
			own = append(own, &all.Items[i])
		}
	}
	return owned.Newest(own), nil
}

// skip removes every revision of a function that is only built.
func (p *Phase) skip(ctx context.Context, fn *v1beta2.Function, servings []*v1beta2.Serving) error {
	fn.Status.Serving = &v1beta2.StageStatus{State: v1beta2.StateSkipped}
	fn.Status.LatestCreatedRevision, fn.Status.LatestReadyRevision, fn.Status.Traffic = "", "", nil
	condition.Remove(&fn.Status.Conditions, v1beta2.ConditionServed)
	return owned.Prune(ctx, p.client, servings, 0, func(*v1beta2.Serving) bool { return false })
}

// ensure returns the revisions with the wanted one at the front, made now when there was none.
func (p *Phase) ensure(ctx context.Context, fn *v1beta2.Function, servings []*v1beta2.Serving) ([]*v1beta2.Serving, error) {
	spec := servingSpec(fn)
	hash, err := owned.Hash(spec)
	if err != nil {
		return nil, err
	}
	if len(servings) > 0 && servings[0].Annotations[owned.AnnotationHash] == hash {
		fn.Status.Serving.ResourceHash = hash
		return servings, nil
	}
	s := &v1beta2.Serving{Spec: spec}
	owned.Adopt(fn, s, owned.Next(fn.Name, servings, fn.Status.LatestCreatedRevision, fn.Status.LatestReadyRevision), hash)
	if err := p.client.Create(ctx, s); err != nil {
		if apierrors.IsAlreadyExists(err) {
			return servings, nil // the cache was behind: its next event brings the Serving
		}
		return nil, fmt.Errorf("creating serving %s: %w", s.Name, err)
	}
	fn.Status.Serving.ResourceHash = hash
	return append([]*v1beta2.Serving{s}, servings...), nil
}

// servingSpec pins the image of a build by its digest, so that a revision runs the same code for ever.
func servingSpec(fn *v1beta2.Function) v1beta2.ServingSpec {
	image := fn.Spec.Image
	if r := fn.Status.Revision; fn.Spec.Build != nil && r != nil && r.ImageDigest != "" {
		name, _, _ := strings.Cut(image, "@")
		image = name + "@" + r.ImageDigest
	}
	return v1beta2.ServingSpec{
		ServingTemplate:  *fn.Spec.Serving.ServingTemplate.DeepCopy(),
		Image:            image,
		Version:          fn.Spec.Version,
		ImageCredentials: fn.Spec.ImageCredentials,
	}
}

func ready(s *v1beta2.Serving) bool { return s.Status.State == v1beta2.StateRunning }

// observe copies the state of the newest revision and moves the latest ready one forward, never to a revision that has
// not proven itself.
func observe(fn *v1beta2.Function, servings []*v1beta2.Serving) {
	s := fn.Status.Serving
	if len(servings) == 0 {
		s.State, s.Reason, s.Message, s.ResourceRef = v1beta2.StateNone, "", "", ""
		fn.Status.LatestCreatedRevision, fn.Status.LatestReadyRevision = "", ""
		condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionServed, "Unknown", "WaitingForImage", "the image is not built yet")
		return
	}
	newest := servings[0]
	s.ResourceRef, s.Service = newest.Name, newest.Status.Service
	s.State, s.Reason, s.Message = newest.Status.State, newest.Status.Reason, newest.Status.Message
	if s.State == v1beta2.StateNone {
		s.State = v1beta2.StateCreated
	}
	fn.Status.LatestCreatedRevision = newest.Name
	known := find(servings, fn.Status.LatestReadyRevision)
	for _, r := range servings {
		if ready(r) && (known == nil || owned.Number(r.Name) > owned.Number(known.Name)) {
			known = r
			break
		}
	}
	fn.Status.LatestReadyRevision = ""
	if known != nil {
		fn.Status.LatestReadyRevision = known.Name
	}
	switch {
	case ready(newest):
		s.LastSuccessfulResourceRef = newest.Name
		condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionServed, "True", "RevisionReady", "")
	case s.State == v1beta2.StateFailed || s.State == v1beta2.StateTimeout:
		condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionServed, "False", orElse(s.Reason, "RevisionFailed"), s.Message)
	default:
		condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionServed, "Unknown", orElse(s.Reason, "RevisionStarting"), s.Message)
	}
}

func find(servings []*v1beta2.Serving, name string) *v1beta2.Serving {
	for _, s := range servings {
		if s.Name == name {
			return s
		}
	}
	return nil
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// prune keeps what takes traffic or may soon, and as many other revisions as the history limit says.
func (p *Phase) prune(ctx context.Context, fn *v1beta2.Function, servings []*v1beta2.Serving) error {
	limit := v1beta2.DefaultRevisionHistoryLimit
	if l := fn.Spec.Serving.RevisionHistoryLimit; l != nil {
		limit = *l
	}
	held := map[string]bool{fn.Status.LatestCreatedRevision: true, fn.Status.LatestReadyRevision: true}
	for _, t := range fn.Status.Traffic {
		held[t.RevisionName] = true
	}
	for _, t := range fn.Spec.Serving.Traffic {
		held[t.RevisionName] = true
	}
	return owned.Prune(ctx, p.client, servings, limit, func(s *v1beta2.Serving) bool { return held[s.Name] })
}
