// Package follow asks the source of a Function, at the interval in build.srcRepo.pollInterval, what its revision names
// now, and has the function rebuilt when that is not what was built last.
package follow

import (
	"context"
	"errors"
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
	"github.com/openfunction/ofn/internal/control/secret"
)

// shortest is the least interval between two questions to a source.
const shortest = 5 * time.Second

// Controller follows sources.
type Controller struct {
	client client.Client
	heads  build.HeadResolver
	log    *slog.Logger
}

// NewController asks heads what sources are.
func NewController(c client.Client, heads build.HeadResolver, log *slog.Logger) *Controller {
	return &Controller{client: c, heads: heads, log: log}
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

// Reconcile asks once and comes back after the interval. A source that does not answer is asked again then, because its
// outage is no reason to rebuild.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	fn := &v1beta2.Function{}
	if err := c.client.Get(ctx, req.NamespacedName, fn); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	b := fn.Spec.Build
	if b == nil || b.SrcRepo == nil || b.SrcRepo.PollInterval == nil || b.SrcRepo.PollInterval.Duration <= 0 || !fn.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil
	}
	again := reconcile.Result{RequeueAfter: max(shortest, b.SrcRepo.PollInterval.Duration)}
	head, err := c.head(ctx, fn)
	if err != nil {
		var bad *build.Failure
		var missing *secret.Missing
		if errors.As(err, &bad) || errors.As(err, &missing) {
			c.log.Warn("the source of a function cannot be followed", "function", req.String(), "err", err)
			return again, nil
		}
		return reconcile.Result{}, err
	}
	if head == built(fn) || head == fn.Annotations[v1beta2.AnnotationRebuild] {
		return again, nil
	}
	if built(fn) == "" {
		return again, nil // the first build has not told yet what it was made from
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
	head, err := c.heads.Head(ctx, s)
	if err != nil {
		return "", fmt.Errorf("asking the source what it is: %w", err)
	}
	return head, nil
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
