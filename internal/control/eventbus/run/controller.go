// Package run carries out EventBuses and ClusterEventBuses: it reads the secrets they name, hands them to the engine, and
// reports what the engine says.
package run

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
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/control/eventing"
	"github.com/openfunction/ofn/internal/control/secret"
	"github.com/openfunction/ofn/internal/event"
)

// Options of the controllers.
type Options struct {
	Engine   event.Engine
	Resolver *eventing.Resolver
	Clock    clock.WithTicker
	// WithoutComponents is for an API server that has no Components of Dapr.
	WithoutComponents bool
}

// object is a bus of either kind.
type object interface {
	client.Object
	Parts() (*events.EventBusSpec, *events.EventBusStatus)
}

// Controller runs the buses of one kind.
type Controller struct {
	client  client.Client
	options Options
	name    string
	ledger  *eventing.Ledger
	empty   func() object
	list    func() client.ObjectList
}

// NewController runs EventBuses with the engine of o.
func NewController(c client.Client, o Options) *Controller {
	return newController(c, o, "eventbus.run", func() object { return &events.EventBus{} }, func() client.ObjectList { return &events.EventBusList{} })
}

// NewClusterController runs ClusterEventBuses with the engine of o.
func NewClusterController(c client.Client, o Options) *Controller {
	return newController(c, o, "clustereventbus.run", func() object { return &events.ClusterEventBus{} }, func() client.ObjectList { return &events.ClusterEventBusList{} })
}

func newController(c client.Client, o Options, name string, empty func() object, list func() client.ObjectList) *Controller {
	return &Controller{client: c, options: o, name: name, empty: empty, list: list,
		ledger: eventing.NewLedger(o.Engine, o.Clock, func(n types.NamespacedName) client.Object {
			b := empty()
			b.SetNamespace(n.Namespace)
			b.SetName(n.Name)
			return b
		})}
}

// Name is the controller's.
func (c *Controller) Name() string { return c.name }

// Register watches the buses, the secrets and components they name, and the engine.
func (c *Controller) Register(m ctrl.Manager) error {
	if err := m.Add(c.ledger); err != nil {
		return err
	}
	b := ctrl.NewControllerManagedBy(m).Named(c.name).For(c.empty())
	if !c.options.WithoutComponents {
		b = b.Watches(&daprv1.Component{}, eventing.Users(c.client, c.list, usesComponent))
	}
	return b.WatchesMetadata(&corev1.Secret{}, eventing.Users(c.client, c.list, usesSecret)).
		WatchesRawSource(c.ledger.Source()).
		Complete(c)
}

// Reconcile applies the bus and reports on it.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	b := c.empty()
	err := c.client.Get(ctx, req.NamespacedName, b)
	if apierrors.IsNotFound(err) || err == nil && !b.GetDeletionTimestamp().IsZero() {
		return reconcile.Result{}, c.remove(ctx, req.NamespacedName)
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("reading event bus: %w", err)
	}
	stored := b.DeepCopyObject().(object)
	ref := event.Ref{Kind: event.KindBus, Name: event.Name{Namespace: b.GetNamespace(), Name: b.GetName()}}
	if err := c.ledger.Keep(ctx, req.NamespacedName, ref); err != nil {
		return reconcile.Result{}, err
	}
	wrong := c.apply(ctx, b)
	if wrong != nil && why(wrong) == "" {
		return reconcile.Result{}, wrong
	}
	spec, status := b.Parts()
	said, known := c.options.Engine.Status(ref)
	ready, reason, message := eventing.Stands(said, known, events.ReasonEventBusIsReady)
	switch {
	case wrong != nil:
		ready, reason, message = metav1.ConditionFalse, why(wrong), wrong.Error()
	case ready == metav1.ConditionTrue && spec.NatsStreaming != nil:
		reason, message = events.ReasonNatsStreamingMapped, "NATS Streaming has reached its end of life: the bus inside the platform keeps the events"
	}
	var result reconcile.Result
	status.Kind = spec.Kind()
	eventing.SetReady(&status.Conditions, b.GetGeneration(), ready, reason, message)
	status.ObservedGeneration = b.GetGeneration()
	status.Flow, result.RequeueAfter = eventing.Flow(status.Flow, said, c.options.Clock.Now())
	if _, before := stored.Parts(); equality.Semantic.DeepEqual(before, status) {
		return result, nil
	}
	if err := c.client.Status().Patch(ctx, b, client.MergeFrom(stored)); client.IgnoreNotFound(err) != nil {
		return result, fmt.Errorf("writing status: %w", err)
	}
	return result, nil
}

// remove takes a bus from the engine. The one that is there without being declared becomes that again.
func (c *Controller) remove(ctx context.Context, key types.NamespacedName) error {
	if implied := eventing.DefaultBus(); key.Namespace == implied.Namespace && key.Name == implied.Name.Name {
		return c.options.Engine.ApplyBus(ctx, implied)
	}
	return c.ledger.Keep(ctx, key)
}

func (c *Controller) apply(ctx context.Context, b object) error {
	resolved, err := c.resolve(ctx, b)
	if err != nil {
		return err
	}
	if err := c.options.Engine.ApplyBus(ctx, resolved); err != nil {
		return &refused{err}
	}
	return nil
}

// refused is what the engine does not take.
type refused struct{ error }

// why is the reason of what the user must mend; empty for everything else.
func why(err error) string {
	var absent *secret.Missing
	var no *refused
	switch {
	case errors.As(err, &absent):
		return events.ReasonMissingReference
	case errors.As(err, &no):
		return events.ReasonErrorConfiguration
	default:
		return ""
	}
}
