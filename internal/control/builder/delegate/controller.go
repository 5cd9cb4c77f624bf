// Package delegate carries out Builders on a cluster, where an engine builds them: it takes the place of builder/run on one
// machine. Nothing of a build is in this process; whichever operator leads finds it where it stands.
package delegate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/engines"
	"github.com/openfunction/ofn/internal/control/owned"
)

// Engine builds Builders.
type Engine interface {
	// Apply makes the build of a Builder that has not ended, or asks for its end when the Builder is cancelled, and says how it
	// stands. What the user must mend is a *build.Failure.
	Apply(ctx context.Context, b *v1beta2.Builder) (build.Progress, error)
}

const (
	// patience is how long a Builder waits for what it names, a secret or a strategy: manifests are applied in any order, those of an engine too.
	patience = time.Minute
	// again is how soon it looks for them again: nothing tells of a secret.
	again = 5 * time.Second
)

// Options of the controller.
type Options struct {
	// Choices are the engines, the best first.
	Choices []Choice
	Engines *engines.Controller
	// Objects has what engines make for Builders and nothing else. The Kinds of Kubernetes' own among it are watched there, those of
	// engines that say so in Choice.Own too.
	Objects cache.Cache
	Kinds   []client.Object
	Clock   clock.PassiveClock
}

// Controller carries out Builders.
type Controller struct {
	client  client.Client
	options Options
}

// NewController carries out Builders with the engines of o.
func NewController(c client.Client, o Options) *Controller { return &Controller{client: c, options: o} }

// Name is the controller's.
func (c *Controller) Name() string { return "builder.delegate" }

// Register watches Builders, and what the engines make of them while there are any.
func (c *Controller) Register(m ctrl.Manager) error {
	made := ctrl.NewControllerManagedBy(m).Named(c.Name()).For(&v1beta2.Builder{}).WithOptions(controller.Options{MaxConcurrentReconciles: 4})
	for _, x := range c.options.Choices {
		if x.Needs == nil {
			continue
		}
		user := engines.User{Engine: *x.Needs, All: c.unfinished, Concerned: c.concerned}
		if x.Own {
			user.Informers = c.options.Objects
		}
		made = made.WatchesRawSource(c.options.Engines.Source(user))
	}
	for _, kind := range c.options.Kinds {
		made = made.WatchesRawSource(source.Kind(c.options.Objects, kind, handler.EnqueueRequestsFromMapFunc(engines.Labelled(v1beta2.LabelBuilder))))
	}
	return made.Complete(c)
}

// unfinished are the Builders that the coming of an engine concerns.
func (c *Controller) unfinished(ctx context.Context) []reconcile.Request {
	var list v1beta2.BuilderList
	if err := c.client.List(ctx, &list); err != nil {
		return nil // the cache answers once it has synced, and every Builder is queued then
	}
	var out []reconcile.Request
	for i := range list.Items {
		if !list.Items[i].Status.State.Finished() {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return out
}

// concerned is the Builder that an object was made for; a strategy concerns all that may wait for it.
func (c *Controller) concerned(ctx context.Context, o client.Object) []reconcile.Request {
	if own := engines.Labelled(v1beta2.LabelBuilder)(ctx, o); own != nil {
		return own
	}
	return c.unfinished(ctx)
}

// Reconcile hands an unfinished Builder to the engine and reports its progress.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	b := &v1beta2.Builder{}
	if err := c.client.Get(ctx, req.NamespacedName, b); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !b.DeletionTimestamp.IsZero() || b.Status.State.Finished() || owned.Foreign(b) {
		return reconcile.Result{}, nil // what was made for it goes with it; what OpenFunction builds is not built here
	}
	p, err := c.apply(ctx, b)
	if err != nil {
		return reconcile.Result{}, err
	}
	var result reconcile.Result
	if p.Stage == build.Waiting && p.Reason != engineMissing && p.Reason != engineOutdated {
		if left := patience - c.options.Clock.Since(since(b)); left > 0 {
			result.RequeueAfter = min(left, again)
		} else {
			p.Stage = build.Failed
			p.Message += "; when that is mended, build again, as with `ofn rebuild`"
		}
	}
	return result, c.report(ctx, b, p)
}

// The reasons of engines.Missing: an engine is waited for as long as it takes. One that cannot do what is asked of it is not.
const (
	engineMissing    = "EngineMissing"
	engineOutdated   = "EngineOutdated"
	engineUnsuitable = "EngineUnsuitable"
)

// apply hands the Builder to its engine, which is chosen once.
func (c *Controller) apply(ctx context.Context, b *v1beta2.Builder) (build.Progress, error) {
	cancelled := b.Spec.State == v1beta2.BuilderStateCancelled
	if cancelled && given(b) == "" {
		return build.Progress{Stage: build.Cancelled, Reason: "Cancelled", Message: "the build was cancelled before it ran"}, nil
	}
	x, why, p, err := c.choose(ctx, b)
	if x == nil || err != nil {
		return p, err
	}
	if x.Lacks != "" && !cancelled { // of a build that it was given before
		return waiting(engineMissing, x.Title+": "+x.Lacks), nil
	}
	if x.Needs != nil {
		err := c.options.Engines.Check(ctx, *x.Needs)
		lacks := (*engines.Missing)(nil)
		switch {
		case errors.As(err, &lacks) && cancelled:
			return build.Progress{Stage: build.Cancelled, Reason: "Cancelled", Message: "the build was cancelled"}, nil
		case errors.As(err, &lacks):
			return waiting(lacks.Reason(), lacks.Error()), nil
		case err != nil:
			return build.Progress{}, err
		}
	}
	if err := c.record(ctx, b, x, why); err != nil {
		return build.Progress{}, err
	}
	p, err = x.Engine.Apply(ctx, b)
	if wrong := (*build.Failure)(nil); errors.As(err, &wrong) {
		return build.Progress{Stage: build.Failed, Reason: wrong.Reason, Message: wrong.Message}, nil
	}
	return p, err
}

// record writes down which engine was taken before that makes anything: another operator, or this one after a crash, must not take
// another one for the same build.
func (c *Controller) record(ctx context.Context, b *v1beta2.Builder, x *Choice, why string) error {
	if b.Status.ResourceRef[v1beta2.RefBuildEngine] == x.Name {
		return nil
	}
	before := b.DeepCopy()
	if b.Status.ResourceRef == nil {
		b.Status.ResourceRef = map[string]string{}
	}
	b.Status.ResourceRef[v1beta2.RefBuildEngine] = x.Name
	message := "built with " + x.Title
	if why != "" {
		message += ", because: " + why
	}
	condition.Set(&b.Status.Conditions, b.Generation, v1beta2.ConditionEngineChosen, metav1.ConditionTrue, strings.ToUpper(x.Name[:1])+x.Name[1:], message)
	condition.Get(b.Status.Conditions, v1beta2.ConditionEngineChosen).LastTransitionTime = *c.now()
	if err := c.client.Status().Patch(ctx, b, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("writing the engine of builder %s: %w", b.Name, err)
	}
	return nil
}

// since is when the Builder began to wait for what it names: it may have waited for an engine before, for as long as that took.
func since(b *v1beta2.Builder) time.Time {
	if chosen := condition.Get(b.Status.Conditions, v1beta2.ConditionEngineChosen); chosen != nil && chosen.LastTransitionTime.After(b.CreationTimestamp.Time) {
		return chosen.LastTransitionTime.Time
	}
	return b.CreationTimestamp.Time
}

// report writes the progress into the Builder's status, when that is new.
func (c *Controller) report(ctx context.Context, b *v1beta2.Builder, p build.Progress) error {
	before := b.DeepCopy()
	s := &b.Status
	s.ObservedGeneration, s.Phase, s.Reason, s.Message = b.Generation, v1beta2.PhaseBuild, p.Reason, p.Message
	for kind, name := range p.Objects {
		s.ResourceRef[kind] = name // record has made it
	}
	succeeded := metav1.ConditionFalse
	switch p.Stage {
	case build.Waiting:
		s.State, succeeded = v1beta2.StateCreated, metav1.ConditionUnknown
	case build.Running:
		s.State, succeeded = v1beta2.StateBuilding, metav1.ConditionUnknown
		if s.StartTime == nil {
			s.StartTime = c.now()
		}
	case build.Succeeded:
		s.State, succeeded = v1beta2.StateSucceeded, metav1.ConditionTrue
		s.Reason, s.Message = "", ""
		s.Output = &v1beta2.BuilderOutput{Digest: p.Result.Digest, Size: p.Result.Size, Functions: functions(p.Result.Functions)}
		s.Sources = sources(p.Result.Sources)
	case build.TimedOut:
		s.State = v1beta2.StateTimeout
	case build.Cancelled:
		s.State = v1beta2.StateCanceled
	default:
		s.State = v1beta2.StateFailed
	}
	if s.State.Finished() {
		c.end(s)
	}
	condition.Set(&s.Conditions, b.Generation, v1beta2.ConditionSucceeded, succeeded, p.Reason, p.Message)
	if equality.Semantic.DeepEqual(before.Status, b.Status) {
		return nil
	}
	if err := c.client.Status().Patch(ctx, b, client.MergeFrom(before)); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("writing status of builder %s: %w", b.Name, err)
	}
	return nil
}

func (c *Controller) now() *metav1.Time { return &metav1.Time{Time: c.options.Clock.Now()} }

func (c *Controller) end(s *v1beta2.BuilderStatus) {
	s.CompletionTime = c.now()
	if s.StartTime != nil {
		s.BuildDuration = &metav1.Duration{Duration: s.CompletionTime.Sub(s.StartTime.Time).Round(time.Millisecond)}
	}
}

func functions(from []build.Function) []v1beta2.BuiltFunction {
	var out []v1beta2.BuiltFunction
	for _, f := range from {
		out = append(out, v1beta2.BuiltFunction{Name: f.Name, Signature: f.Signature, Path: f.Path, Methods: f.Methods})
	}
	return out
}

func sources(from []build.SourceResult) []v1beta2.SourceResult {
	var out []v1beta2.SourceResult
	for _, r := range from {
		s := v1beta2.SourceResult{Name: r.Name}
		if r.CommitSHA != "" {
			s.Git = &v1beta2.GitSourceResult{CommitSha: r.CommitSHA, CommitAuthor: r.CommitAuthor, BranchName: r.BranchName}
		}
		if r.BundleDigest != "" {
			s.Bundle = &v1beta2.BundleSourceResult{Digest: r.BundleDigest}
		}
		out = append(out, s)
	}
	return out
}
