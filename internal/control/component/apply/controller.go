// Package apply hands the Component objects of dapr.io, with their secrets, to the engine, and reports what it says of them.
package apply

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/eventing"
	"github.com/openfunction/ofn/internal/control/secret"
	"github.com/openfunction/ofn/internal/event"
)

// again is how soon a Component is tried again whose secrets are in a store that nobody watches.
const again = eventing.Rarely

// Options of the controller.
type Options struct {
	Engine   event.Engine
	Resolver *eventing.Resolver
	Clock    clock.WithTicker
}

// Controller applies Components.
type Controller struct {
	client  client.Client
	options Options
	ledger  *eventing.Ledger
}

// NewController applies Components to the engine of o.
func NewController(c client.Client, o Options) *Controller {
	return &Controller{client: c, options: o, ledger: eventing.NewLedger(o.Engine, o.Clock, func(n types.NamespacedName) client.Object {
		return &daprv1.Component{ObjectMeta: metav1.ObjectMeta{Namespace: n.Namespace, Name: n.Name}}
	})}
}

// Name is the controller's.
func (c *Controller) Name() string { return "component.apply" }

// Register watches Components, the secrets they name, and the engine.
func (c *Controller) Register(m ctrl.Manager) error {
	if err := m.Add(c.ledger); err != nil {
		return err
	}
	list := func() client.ObjectList { return &daprv1.ComponentList{} }
	return ctrl.NewControllerManagedBy(m).Named(c.Name()).
		For(&daprv1.Component{}).
		WatchesMetadata(&corev1.Secret{}, eventing.Users(c.client, list, usesSecret)).
		WatchesRawSource(c.ledger.Source()).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(c)
}

func usesSecret(d *daprv1.Component, changed client.Object) bool {
	if d.Namespace != changed.GetNamespace() {
		return false
	}
	for _, m := range d.Spec.Metadata {
		if m.SecretKeyRef != nil && m.SecretKeyRef.Name == changed.GetName() {
			return true
		}
	}
	return false
}

// Reconcile applies the component and reports on it. One whose secrets are gone keeps working as it was.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	d := &daprv1.Component{}
	err := c.client.Get(ctx, req.NamespacedName, d)
	if apierrors.IsNotFound(err) || err == nil && !d.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, c.ledger.Keep(ctx, req.NamespacedName)
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("reading component: %w", err)
	}
	stored := d.DeepCopy()
	ref := event.Ref{Kind: event.KindComponent, Name: event.Name{Namespace: d.Namespace, Name: d.Name}}
	if err := c.ledger.Keep(ctx, req.NamespacedName, ref); err != nil {
		return reconcile.Result{}, err
	}
	var result reconcile.Result
	reason, err := c.apply(ctx, d)
	if err != nil && reason == "" {
		return result, err
	}
	if err != nil {
		condition.Set(&d.Status.Conditions, d.Generation, daprv1.ConditionReady, metav1.ConditionFalse, reason, err.Error())
		if d.Auth != nil && d.Auth.SecretStore != daprv1.KubernetesSecretStore {
			result.RequeueAfter = again
		}
	} else {
		said, known := c.options.Engine.Status(ref)
		status, reason, message := eventing.Stands(said, known, "Ready")
		condition.Set(&d.Status.Conditions, d.Generation, daprv1.ConditionReady, status, reason, message)
	}
	d.Status.ObservedGeneration = d.Generation
	if equality.Semantic.DeepEqual(stored.Status, d.Status) {
		return result, nil
	}
	if err := c.client.Status().Patch(ctx, d, client.MergeFrom(stored)); client.IgnoreNotFound(err) != nil {
		return result, fmt.Errorf("writing status: %w", err)
	}
	return result, nil
}

// apply hands the component over; a reason says that an error is the user's to mend.
func (c *Controller) apply(ctx context.Context, d *daprv1.Component) (reason string, err error) {
	resolved, err := c.options.Resolver.Component(ctx, d)
	var absent *secret.Missing
	if errors.As(err, &absent) {
		return "MissingReference", err
	}
	if err != nil {
		return "", err
	}
	if err := c.options.Engine.ApplyComponent(ctx, resolved); err != nil {
		return "Refused", err
	}
	return "", nil
}
