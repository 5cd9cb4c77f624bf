// Package build is the first phase of a Function: it keeps one Builder for the source as it is specified now, cancels the
// others, and keeps a history.
package build

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/owned"
)

// annotationSuperseded marks a Builder that was cancelled because the spec had moved on, not by the user.
const annotationSuperseded = "openfunction.io/superseded"

// soon is when a cache that was behind is looked at again, should its event not come first.
const soon = time.Second

// Phase makes Builders.
type Phase struct{ client client.Client }

// New is the phase over a client.
func New(c client.Client) *Phase { return &Phase{client: c} }

// Gone does nothing: the garbage collector removes the Builders of a deleted function.
func (p *Phase) Gone(context.Context, string, string) error { return nil }

// Reconcile makes, takes up or cancels Builders and copies the state of the current one.
func (p *Phase) Reconcile(ctx context.Context, fn *v1beta2.Function) (reconcile.Result, error) {
	builders, err := owned.List[*v1beta2.Builder](ctx, p.client, fn, &v1beta2.BuilderList{})
	if err != nil {
		return reconcile.Result{}, err
	}
	if fn.Spec.Build == nil {
		fn.Status.Build = &v1beta2.StageStatus{State: v1beta2.StateSkipped}
		fn.Status.Revision, fn.Status.Sources = nil, nil // the digest of an earlier build says nothing of an image that is given
		condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionBuilt, "True", "ImageGiven", "")
		return reconcile.Result{}, p.supersede(ctx, builders, "")
	}
	if fn.Status.Build == nil || fn.Status.Build.State == v1beta2.StateSkipped {
		fn.Status.Build = &v1beta2.StageStatus{}
	}
	current, result, err := p.current(ctx, fn, builders)
	if current == nil || err != nil {
		return result, err
	}
	if err := p.supersede(ctx, builders, current.Name); err != nil {
		return reconcile.Result{}, err
	}
	return result, p.prune(ctx, fn, builders)
}

// current is the Builder of the spec, made now when there is none and none is on its way. It reports into the status.
func (p *Phase) current(ctx context.Context, fn *v1beta2.Function, builders []*v1beta2.Builder) (*v1beta2.Builder, reconcile.Result, error) {
	spec := builderSpec(fn)
	if err := p.trace(ctx, fn, &spec); err != nil {
		return nil, reconcile.Result{}, err
	}
	hash, err := wantedHash(fn, spec)
	if err != nil {
		return nil, reconcile.Result{}, err
	}
	current := find(builders, hash)
	switch {
	case current != nil:
	case !needed(fn.Status.Build, hash):
		return nil, reconcile.Result{}, p.prune(ctx, fn, builders)
	case len(unfinished(builders)) > 0:
		// Two builds of one function would share its working directory: the new one waits until the old has stopped.
		report(fn, v1beta2.StateCreated, "WaitingForCancellation", "the previous build is being cancelled")
		return nil, reconcile.Result{}, p.supersede(ctx, builders, "")
	default:
		current = &v1beta2.Builder{Spec: spec}
		made, err := owned.Create(ctx, p.client, fn, current, fn.Name+"-build", name(fn, builders, hash), hash)
		if err != nil {
			return nil, reconcile.Result{}, err
		}
		if !made {
			report(fn, v1beta2.StateCreated, "Creating", "")
			return nil, reconcile.Result{RequeueAfter: soon}, nil
		}
	}
	copyStatus(fn, current, hash)
	return current, reconcile.Result{}, nil
}

// name is that of the Builder to make. One that the status knows for this very spec is made again under its own name: where it
// is only the cache that does not show it yet, the API server then refuses the second one.
func name(fn *v1beta2.Function, builders []*v1beta2.Builder, hash string) string {
	s := fn.Status.Build
	if s.ResourceHash == hash && s.ResourceRef != "" && owned.Find(builders, s.ResourceRef) == nil {
		return s.ResourceRef
	}
	return owned.Next(fn.Name+"-build", builders, s.ResourceRef, s.LastSuccessfulResourceRef)
}

// builderSpec is what is to be built. The contract that an annotation asks for is part of it, because it changes the image.
func builderSpec(fn *v1beta2.Function) v1beta2.BuilderSpec {
	b := v1beta2.BuilderSpec{BuildTemplate: *fn.Spec.Build.DeepCopy(), Image: fn.Spec.Image, ImageCredentials: fn.Spec.ImageCredentials}
	if contract := fn.Annotations[v1beta2.AnnotationContract]; contract != "" && b.Env[v1beta2.EnvContract] == "" {
		if b.Env == nil {
			b.Env = map[string]string{}
		}
		b.Env[v1beta2.EnvContract] = contract
	}
	return b
}

// wantedHash leaves out what does not change the image: the history, age, time limits and the polling.
func wantedHash(fn *v1beta2.Function, spec v1beta2.BuilderSpec) (string, error) {
	b := spec.BuildTemplate.DeepCopy()
	b.Timeout, b.SuccessfulBuildsHistoryLimit, b.FailedBuildsHistoryLimit, b.BuilderMaxAge = nil, nil, nil, nil
	if b.SrcRepo != nil {
		b.SrcRepo.PollInterval = nil
	}
	return owned.Hash(b, spec.Image, spec.ImageCredentials, fn.Annotations[v1beta2.AnnotationRebuild])
}

// needed says whether a build that has no Builder object must be made: always, but when it has already succeeded and only
// its record is gone.
func needed(s *v1beta2.StageStatus, hash string) bool {
	return s.ResourceHash != hash || s.State != v1beta2.StateSucceeded
}

// find returns the newest Builder when it is of the hash. One that was cancelled because the spec had moved on is of no use when
// the spec comes back; one that the user cancelled stays cancelled.
func find(newestFirst []*v1beta2.Builder, hash string) *v1beta2.Builder {
	if len(newestFirst) == 0 {
		return nil
	}
	b := newestFirst[0]
	if b.Annotations[owned.AnnotationHash] != hash {
		return nil
	}
	if b.Annotations[annotationSuperseded] != "" && b.Status.State != v1beta2.StateSucceeded {
		return nil
	}
	return b
}

func unfinished(builders []*v1beta2.Builder) []*v1beta2.Builder {
	var out []*v1beta2.Builder
	for _, b := range builders {
		if !b.Status.State.Finished() {
			out = append(out, b)
		}
	}
	return out
}

// supersede asks every unfinished Builder but one to stop.
func (p *Phase) supersede(ctx context.Context, builders []*v1beta2.Builder, but string) error {
	for _, b := range unfinished(builders) {
		if b.Name == but || b.Spec.State == v1beta2.BuilderStateCancelled {
			continue
		}
		patch := client.MergeFrom(b.DeepCopy())
		b.Spec.State = v1beta2.BuilderStateCancelled
		metav1.SetMetaDataAnnotation(&b.ObjectMeta, annotationSuperseded, "true")
		if err := p.client.Patch(ctx, b, patch); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("cancelling builder %s: %w", b.Name, err)
		}
	}
	return nil
}

func copyStatus(fn *v1beta2.Function, b *v1beta2.Builder, hash string) {
	s := fn.Status.Build
	s.ResourceRef, s.ResourceHash = b.Name, hash
	s.BuildDuration = b.Status.BuildDuration
	state := b.Status.State
	if state == v1beta2.StateNone {
		state = v1beta2.StateCreated
	}
	if state == v1beta2.StateSucceeded {
		s.LastSuccessfulResourceRef = b.Name
		fn.Status.Revision = nil // never the digest of an earlier build
		if b.Status.Output != nil && b.Status.Output.Digest != "" {
			fn.Status.Revision = &v1beta2.ImageRevision{ImageDigest: b.Status.Output.Digest}
		}
		fn.Status.Sources = b.Status.Sources
	}
	report(fn, state, b.Status.Reason, b.Status.Message)
}

func report(fn *v1beta2.Function, state v1beta2.State, reason, message string) {
	s := fn.Status.Build
	s.State, s.Reason, s.Message = state, reason, message
	switch {
	case state == v1beta2.StateSucceeded:
		condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionBuilt, "True", "BuildSucceeded", "")
	case state.Finished():
		if reason == "" {
			reason = "Build" + string(state)
		}
		condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionBuilt, "False", reason, message)
	default:
		if reason == "" {
			reason = "Building"
		}
		condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionBuilt, "Unknown", reason, message)
	}
}

// prune keeps the current Builder, the unfinished ones, and as many others as the history limits say.
func (p *Phase) prune(ctx context.Context, fn *v1beta2.Function, builders []*v1beta2.Builder) error {
	good, bad := limits(fn.Spec.Build)
	keepUnless := func(want bool) func(*v1beta2.Builder) bool {
		return func(b *v1beta2.Builder) bool {
			succeeded := b.Status.State == v1beta2.StateSucceeded
			return !b.Status.State.Finished() || succeeded != want || b.Name == fn.Status.Build.ResourceRef
		}
	}
	if err := owned.Prune(ctx, p.client, builders, good, keepUnless(true)); err != nil {
		return err
	}
	return owned.Prune(ctx, p.client, builders, bad, keepUnless(false))
}

func limits(t *v1beta2.BuildTemplate) (good, bad int32) {
	good, bad = v1beta2.DefaultSuccessfulBuildsHistoryLimit, v1beta2.DefaultFailedBuildsHistoryLimit
	if t.SuccessfulBuildsHistoryLimit != nil {
		good = *t.SuccessfulBuildsHistoryLimit
	}
	if t.FailedBuildsHistoryLimit != nil {
		bad = *t.FailedBuildsHistoryLimit
	}
	return good, bad
}
