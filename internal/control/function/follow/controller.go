// Package follow asks the source of a Function, at the interval in build.srcRepo.pollInterval, what its revision names
// now, and has the function rebuilt when that is not what was built last.
package follow

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	buildrun "github.com/openfunction/ofn/internal/control/builder/run"
)

// shortest is the least interval between two questions to a source by default.
const shortest = 5 * time.Second

// Options of the controller.
type Options struct {
	// Heads is asked what sources are.
	Heads build.HeadResolver
	// Shortest is the least interval between two questions to a source; 0 is five seconds.
	Shortest time.Duration
	// Spread gives the interval until the next question, so that the questions of many functions do not all come at once; nil leaves it.
	Spread func(time.Duration) time.Duration
	Log    *slog.Logger
}

// Controller follows sources.
type Controller struct {
	client  client.Client
	options Options
}

// NewController follows the sources of Functions.
func NewController(c client.Client, o Options) *Controller {
	if o.Shortest == 0 {
		o.Shortest = shortest
	}
	if o.Spread == nil {
		o.Spread = func(d time.Duration) time.Duration { return d }
	}
	return &Controller{client: c, options: o}
}

// Name is the controller's.
func (c *Controller) Name() string { return "function.follow" }

// Register watches the specs of Functions.
func (c *Controller) Register(m ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(m).Named(c.Name()).
		For(&v1beta2.Function{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(c)
}

// Reconcile asks once and comes back after the interval. A source that does not answer is asked again then: its outage is no
// reason to rebuild, nor to ask less often.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	fn := &v1beta2.Function{}
	if err := c.client.Get(ctx, req.NamespacedName, fn); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	b := fn.Spec.Build
	if b == nil || b.SrcRepo == nil || b.SrcRepo.PollInterval == nil || b.SrcRepo.PollInterval.Duration <= 0 || !fn.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil
	}
	again := reconcile.Result{RequeueAfter: c.options.Spread(max(c.options.Shortest, b.SrcRepo.PollInterval.Duration))}
	if !settled(fn) {
		return again, nil // a commit that comes while one is built is found at the next question
	}
	head, err := c.head(ctx, fn)
	if err != nil {
		if ctx.Err() == nil {
			c.options.Log.Warn("the source of a function cannot be followed", "function", req.String(), "err", err)
		}
		return again, nil
	}
	if head == "" || head == built(fn) || head == fn.Annotations[v1beta2.AnnotationRebuild] {
		return again, nil
	}
	before := fn.DeepCopy()
	if fn.Annotations == nil {
		fn.Annotations = map[string]string{}
	}
	fn.Annotations[v1beta2.AnnotationRebuild] = head
	if err := c.client.Patch(ctx, fn, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("asking for a rebuild at %s: %w", head, err)
	}
	return again, nil
}

func (c *Controller) head(ctx context.Context, fn *v1beta2.Function) (string, error) {
	s, err := buildrun.Source(ctx, c.client, fn.Namespace, fn.Spec.Build.SrcRepo)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	head, err := c.options.Heads.Head(ctx, s)
	if err != nil {
		return "", fmt.Errorf("asking the source what it is: %w", err)
	}
	return head, nil
}

// settled says whether the function has a build whose end can be compared with the source. One that failed before it was known
// what it was made from is made again at the first answer, because the source may have been mended since; one that was
// cancelled is the user's to start.
func settled(fn *v1beta2.Function) bool {
	if fn.Status.Build == nil {
		return false
	}
	switch fn.Status.Build.State {
	case v1beta2.StateFailed, v1beta2.StateTimeout:
		return true
	case v1beta2.StateSucceeded, v1beta2.StateCanceled:
		return built(fn) != ""
	default:
		return false
	}
}

// built is the commit or digest of the last successful build.
func built(fn *v1beta2.Function) string {
	for _, s := range fn.Status.Sources {
		switch {
		case s.Bundle != nil:
			return s.Bundle.Digest
		case s.Git != nil:
			return s.Git.CommitSha
		}
	}
	return ""
}
