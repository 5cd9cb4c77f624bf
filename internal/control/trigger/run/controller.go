// Package run carries out Triggers: it resolves their bus, topics and sinks, hands them to the engine, and reports what the
// engine says.
package run

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/control/eventing"
	"github.com/openfunction/ofn/internal/control/secret"
	"github.com/openfunction/ofn/internal/event"
)

// Options of the controller.
type Options struct {
	Engine   event.Engine
	Resolver *eventing.Resolver
	Clock    clock.WithTicker
}

// Controller runs Triggers.
type Controller struct {
	client  client.Client
	options Options
	ledger  *eventing.Ledger
}

// NewController runs Triggers with the engine of o.
func NewController(c client.Client, o Options) *Controller {
	return &Controller{client: c, options: o, ledger: eventing.NewLedger(o.Engine, o.Clock, func(n types.NamespacedName) client.Object {
		return &events.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: n.Namespace, Name: n.Name}}
	})}
}

// Name is the controller's.
func (c *Controller) Name() string { return "trigger.run" }

// Register watches Triggers, the buses and Functions they name, and the engine.
func (c *Controller) Register(m ctrl.Manager) error {
	if err := m.Add(c.ledger); err != nil {
		return err
	}
	list := func() client.ObjectList { return &events.TriggerList{} }
	bus := eventing.Users(c.client, list, usesBus)
	return ctrl.NewControllerManagedBy(m).Named(c.Name()).
		For(&events.Trigger{}).
		Watches(&events.EventBus{}, bus, builder.WithPredicates(eventing.ComesOrGoes())).
		Watches(&events.ClusterEventBus{}, bus, builder.WithPredicates(eventing.ComesOrGoes())).
		Watches(&v1beta2.Function{}, eventing.Users(c.client, list, usesFunction), builder.WithPredicates(eventing.ComesOrGoes())).
		WatchesRawSource(c.ledger.Source()).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(c)
}

func usesBus(t *events.Trigger, changed client.Object) bool {
	return t.Spec.EventBus == changed.GetName() && (changed.GetNamespace() == "" || changed.GetNamespace() == t.Namespace)
}

func usesFunction(t *events.Trigger, changed client.Object) bool {
	for _, s := range t.Spec.Subscribers {
		if s == nil {
			continue
		}
		for _, sink := range []*events.SinkSpec{s.Sink, s.DeadLetterSink} {
			if sink == nil || sink.Ref == nil || sink.Ref.Name != changed.GetName() {
				continue
			}
			if sink.Ref.Namespace == changed.GetNamespace() || sink.Ref.Namespace == "" && t.Namespace == changed.GetNamespace() {
				return true
			}
		}
	}
	return false
}

// Reconcile applies the trigger and reports on it.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	t := &events.Trigger{}
	err := c.client.Get(ctx, req.NamespacedName, t)
	if apierrors.IsNotFound(err) || err == nil && !t.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, c.ledger.Keep(ctx, req.NamespacedName)
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("reading trigger: %w", err)
	}
	stored := t.DeepCopy()
	ref := event.Ref{Kind: event.KindTrigger, Name: event.Name{Namespace: t.Namespace, Name: t.Name}}
	if err := c.ledger.Keep(ctx, req.NamespacedName, ref); err != nil {
		return reconcile.Result{}, err
	}
	resolved, wrong := c.resolve(ctx, t)
	if wrong == nil || resolved.Bus.Name != "" && mendable(wrong) {
		if err := c.options.Engine.ApplyTrigger(ctx, resolved); err != nil {
			wrong = &refused{err}
		}
	}
	if wrong != nil && !mendable(wrong) {
		return reconcile.Result{}, wrong
	}
	result := reconcile.Result{}
	said, known := c.options.Engine.Status(ref)
	status, reason, message := eventing.Stands(said, known, events.ReasonTriggerIsReady)
	if wrong != nil {
		status, reason, message = metav1.ConditionFalse, why(wrong), wrong.Error()
	}
	eventing.SetReady(&t.Status.Conditions, t.Generation, status, reason, message)
	t.Status.ObservedGeneration = t.Generation
	t.Status.Flow, result.RequeueAfter = eventing.Flow(t.Status.Flow, said, c.options.Clock.Now())
	if equality.Semantic.DeepEqual(stored.Status, t.Status) {
		return result, nil
	}
	if err := c.client.Status().Patch(ctx, t, client.MergeFrom(stored)); client.IgnoreNotFound(err) != nil {
		return result, fmt.Errorf("writing status: %w", err)
	}
	return result, nil
}

// refused is what the engine does not take.
type refused struct{ error }

// mendable says that the user must mend what is wrong; the watches tell when that has happened.
func mendable(err error) bool { return why(err) != "" }

func why(err error) string {
	var bus *eventing.MissingBus
	var absent *secret.Missing
	var no *refused
	switch {
	case errors.As(err, &bus):
		return events.ReasonNoEventBus
	case errors.As(err, &absent):
		return events.ReasonMissingReference
	case errors.As(err, &no):
		return events.ReasonErrorTrigger
	default:
		return ""
	}
}
