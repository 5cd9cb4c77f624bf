// Package run carries out EventSources: each of their events becomes a source of the engine, with its secrets, its bus and
// its sink resolved, and what the engine says of it becomes their status.
package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/control/eventing"
	"github.com/openfunction/ofn/internal/event"
)

// again is how soon an EventSource is tried again that lacks something nobody watches.
const again = time.Minute

// Options of the controller.
type Options struct {
	Engine   event.Engine
	Resolver *eventing.Resolver
	Clock    clock.WithTicker
	// WithoutComponents is for an API server that has no Components of Dapr.
	WithoutComponents bool
}

// Controller runs EventSources.
type Controller struct {
	client  client.Client
	options Options
	ledger  *eventing.Ledger
}

// NewController runs EventSources with the engine of o.
func NewController(c client.Client, o Options) *Controller {
	return &Controller{client: c, options: o, ledger: eventing.NewLedger(o.Engine, o.Clock, func(n types.NamespacedName) client.Object {
		return &events.EventSource{ObjectMeta: metav1.ObjectMeta{Namespace: n.Namespace, Name: n.Name}}
	})}
}

// Name is the controller's.
func (c *Controller) Name() string { return "eventsource.run" }

// Register watches EventSources, what they name, and the engine.
func (c *Controller) Register(m ctrl.Manager) error {
	if err := m.Add(c.ledger); err != nil {
		return err
	}
	b := ctrl.NewControllerManagedBy(m).Named(c.Name()).
		For(&events.EventSource{}).
		WatchesRawSource(c.ledger.Source()).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4})
	return c.watch(b).Complete(c)
}

// Reconcile applies the sources and reports on them.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	s := &events.EventSource{}
	err := c.client.Get(ctx, req.NamespacedName, s)
	if apierrors.IsNotFound(err) || err == nil && !s.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, c.ledger.Keep(ctx, req.NamespacedName)
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("reading event source: %w", err)
	}
	stored := s.DeepCopy()
	wrong, err := c.apply(ctx, s)
	if err != nil {
		return reconcile.Result{}, err
	}
	result := reconcile.Result{RequeueAfter: c.report(s, wrong)}
	if wrong.any() && result.RequeueAfter == 0 {
		result.RequeueAfter = again
	}
	if equality.Semantic.DeepEqual(stored.Status, s.Status) {
		return result, nil
	}
	if err := c.client.Status().Patch(ctx, s, client.MergeFrom(stored)); client.IgnoreNotFound(err) != nil {
		return result, fmt.Errorf("writing status: %w", err)
	}
	return result, nil
}

// problems are what the user must mend: of all the events, or of one.
type problems struct {
	all problem
	of  map[string]problem
}

type problem struct{ reason, message string }

func (p problems) any() bool { return p.all.reason != "" || len(p.of) > 0 }

// apply hands the sources to the engine. One that lacks something keeps running as it was.
func (c *Controller) apply(ctx context.Context, s *events.EventSource) (problems, error) {
	wrong := problems{of: map[string]problem{}}
	key := client.ObjectKeyFromObject(s)
	common, err := c.common(ctx, s, &wrong)
	if err != nil {
		return wrong, err
	}
	var refs []event.Ref
	for source := range s.Spec.Sources() {
		if source.Spec == nil {
			continue // refused by admission
		}
		refs = append(refs, ref(key, source.Event))
	}
	if err := c.ledger.Keep(ctx, key, refs...); err != nil {
		return wrong, err
	}
	if wrong.all.reason == events.ReasonNoEventBus {
		return wrong, nil
	}
	for source := range s.Spec.Sources() {
		if source.Spec == nil {
			continue
		}
		one, err := c.source(ctx, common, source)
		if err == nil {
			err = rejected(c.options.Engine.ApplySource(ctx, one))
		}
		if p, ok := told(err); ok {
			wrong.of[source.Event] = p
		} else if err != nil {
			return wrong, err
		}
	}
	return wrong, nil
}

// refusal is what the engine does not take.
type refusal struct{ error }

func rejected(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return refusal{err}
}

func ref(key types.NamespacedName, name string) event.Ref {
	return event.Ref{Kind: event.KindSource, Name: event.Name{Namespace: key.Namespace, Name: key.Name}, Event: name}
}
