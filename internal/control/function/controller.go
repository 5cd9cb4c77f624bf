// Package function reconciles Functions: its controller walks the phases build, serve and route in this order and writes
// the status once at the end.
package function

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/function/share"
)

// Controller reconciles Functions.
type Controller struct {
	client client.Client
	events events.EventRecorder
	phases []Phase
}

// NewController walks the phases in the order given and tells e of the turns in a Function's life.
func NewController(c client.Client, e events.EventRecorder, phases ...Phase) *Controller {
	return &Controller{client: c, events: e, phases: phases}
}

// Name is the controller's.
func (c *Controller) Name() string { return "function" }

// Register watches Functions, the children they control, and Gateways.
func (c *Controller) Register(m ctrl.Manager) error {
	b := ctrl.NewControllerManagedBy(m).Named(c.Name()).
		For(&v1beta2.Function{}).
		Owns(&v1beta2.Builder{}).
		Owns(&v1beta2.Serving{}).
		Watches(&networking.Gateway{}, handler.EnqueueRequestsFromMapFunc(c.attached), builder.WithPredicates(predicate.GenerationChangedPredicate{})). // its status counts routes
		Watches(&v1beta2.Function{}, handler.EnqueueRequestsFromMapFunc(c.sharing)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 8})
	for _, p := range c.phases {
		if w, ok := p.(watcher); ok {
			if err := w.Watch(m, b); err != nil {
				return err
			}
		}
	}
	return b.Complete(c)
}

// Reconcile walks the phases. All of them run even when one fails, because a failed build must not keep the route from
// being repaired.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	fn := &v1beta2.Function{}
	if err := c.client.Get(ctx, req.NamespacedName, fn); err != nil {
		if apierrors.IsNotFound(err) {
			return reconcile.Result{}, c.gone(ctx, req.NamespacedName)
		}
		return reconcile.Result{}, fmt.Errorf("reading function: %w", err)
	}
	if !fn.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil
	}
	stored := fn.DeepCopy()
	var result reconcile.Result
	var errs []error
	for _, p := range c.phases {
		r, err := p.Reconcile(ctx, fn)
		errs = append(errs, err)
		result = sooner(result, r)
	}
	err := errors.Join(errs...)
	summarize(fn, err)
	if equality.Semantic.DeepEqual(stored.Status, fn.Status) {
		return result, err
	}
	patch := client.MergeFromWithOptions(stored.DeepCopy(), client.MergeFromWithOptimisticLock{})
	after := fn.Status.DeepCopy()
	switch wrong := c.client.Status().Patch(ctx, fn, patch); {
	case apierrors.IsConflict(wrong):
		return reconcile.Result{RequeueAfter: time.Millisecond}, err // somebody wrote in between: look again
	case apierrors.IsNotFound(wrong):
		return reconcile.Result{}, nil // deleted in between
	case wrong != nil:
		return result, errors.Join(err, fmt.Errorf("writing status: %w", wrong))
	}
	tell(c.events, fn, &stored.Status, after)
	return result, err
}

func (c *Controller) gone(ctx context.Context, key types.NamespacedName) error {
	var errs []error
	for _, p := range c.phases {
		errs = append(errs, p.Gone(ctx, key.Namespace, key.Name))
	}
	return errors.Join(errs...)
}

// attached are the functions whose route names the gateway.
func (c *Controller) attached(ctx context.Context, gateway client.Object) []reconcile.Request {
	var all v1beta2.FunctionList
	if err := c.client.List(ctx, &all); err != nil {
		return nil // the cache answers once it has synced, and every function is queued then
	}
	var out []reconcile.Request
	for i := range all.Items {
		fn := &all.Items[i]
		if fn.Spec.Serving == nil || fn.Spec.Serving.Triggers == nil || fn.Spec.Serving.Triggers.HTTP == nil {
			continue
		}
		ref := v1beta2.GatewayRef{Name: v1beta2.DefaultGatewayName, Namespace: v1beta2.DefaultGatewayNamespace}
		if r := fn.Spec.Serving.Triggers.HTTP.Route; r != nil && r.GatewayRef != nil {
			ref = *r.GatewayRef
		}
		if ref.Name == gateway.GetName() && ref.Namespace == gateway.GetNamespace() {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(fn)})
		}
	}
	return out
}

// sharing are the other functions of a function's group: who leads, and how the leader is, concerns all of them.
func (c *Controller) sharing(ctx context.Context, changed client.Object) []reconcile.Request {
	fn, ok := changed.(*v1beta2.Function)
	if !ok || fn.Annotations[v1beta2.AnnotationShare] == "" {
		return nil
	}
	var all v1beta2.FunctionList
	if err := c.client.List(ctx, &all, client.InNamespace(fn.Namespace)); err != nil {
		return nil // the cache answers once it has synced, and every function is queued then
	}
	var out []reconcile.Request
	for i := range all.Items {
		if o := &all.Items[i]; o.Name != fn.Name && share.SameGroup(o, fn) {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(o)})
		}
	}
	return out
}

// summarize derives Ready from the conditions of the phases: the first that is not True decides. When a phase could not do
// its work the status is not about this generation yet; why is said when the API server refused what the user asks for.
func summarize(fn *v1beta2.Function, err error) {
	s := &fn.Status
	if err != nil {
		if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
			condition.Set(&s.Conditions, fn.Generation, v1beta2.ConditionReady, "False", "Refused", err.Error())
		}
		return
	}
	s.ObservedGeneration = fn.Generation
	for _, t := range []string{v1beta2.ConditionBuilt, v1beta2.ConditionServed, v1beta2.ConditionEventsReady, v1beta2.ConditionRouted} {
		if c := condition.Get(s.Conditions, t); c != nil && c.Status != "True" {
			condition.Set(&s.Conditions, fn.Generation, v1beta2.ConditionReady, c.Status, c.Reason, c.Message)
			return
		}
	}
	condition.Set(&s.Conditions, fn.Generation, v1beta2.ConditionReady, "True", "Ready", "")
}

func sooner(a, b reconcile.Result) reconcile.Result {
	if a.RequeueAfter == 0 || b.RequeueAfter != 0 && b.RequeueAfter < a.RequeueAfter {
		return b
	}
	return a
}
