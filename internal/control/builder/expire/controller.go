// Package expire removes finished Builders that are older than build.builderMaxAge.
package expire

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// Controller removes old Builders.
type Controller struct {
	client client.Client
	clock  clock.PassiveClock
}

// NewController tells ages with the clock.
func NewController(c client.Client, k clock.PassiveClock) *Controller {
	return &Controller{client: c, clock: k}
}

// Name is the controller's.
func (c *Controller) Name() string { return "builder.expire" }

// Register watches Builders.
func (c *Controller) Register(m ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(m).Named(c.Name()).For(&v1beta2.Builder{}).Complete(c)
}

// Reconcile removes the Builder when its time has come, or comes back then.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	b := &v1beta2.Builder{}
	if err := c.client.Get(ctx, req.NamespacedName, b); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	age := b.Spec.BuilderMaxAge
	if age == nil || age.Duration <= 0 || !b.Status.State.Finished() || !b.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil
	}
	if left := age.Duration - c.clock.Since(b.CreationTimestamp.Time); left > 0 {
		return reconcile.Result{RequeueAfter: left}, nil
	}
	if needed, err := c.needed(ctx, b); needed || err != nil {
		return reconcile.Result{RequeueAfter: age.Duration}, err
	}
	if err := c.client.Delete(ctx, b, client.PropagationPolicy("Background")); client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("removing builder older than %s: %w", age.Duration, err)
	}
	return reconcile.Result{}, nil
}

// needed says whether the Builder is the current one of its function and has not succeeded: without it the function would
// build anew, again and again, what cannot be built or was cancelled.
func (c *Controller) needed(ctx context.Context, b *v1beta2.Builder) (bool, error) {
	owner := metav1.GetControllerOf(b)
	if b.Status.State == v1beta2.StateSucceeded || owner == nil {
		return false, nil
	}
	fn := &v1beta2.Function{}
	if err := c.client.Get(ctx, types.NamespacedName{Namespace: b.Namespace, Name: owner.Name}, fn); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return fn.UID == owner.UID && fn.Status.Build != nil && fn.Status.Build.ResourceRef == b.Name, nil
}
