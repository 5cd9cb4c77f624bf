// Package subscribe is the phase of a Function that lets events call it: it hands the engine the function as an application
// of Dapr, with its components, its inputs and the subscriptions it is in the scope of, and tells whether they work.
package subscribe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv2 "github.com/openfunction/ofn/api/dapr/v2alpha1"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/daprapp"
	"github.com/openfunction/ofn/internal/control/eventing"
	"github.com/openfunction/ofn/internal/control/secret"
	"github.com/openfunction/ofn/internal/event"
)

// again is how soon a Function is looked at again that names something that is not there: not all of it is watched.
const again = 10 * time.Second

// Options of the phase.
type Options struct {
	Engine   event.Engine
	Resolver *eventing.Resolver
	Clock    clock.WithTicker
}

// Phase hands Functions to the engine.
type Phase struct {
	client  client.Client
	options Options
	ledger  *eventing.Ledger
}

// New is the phase over a client.
func New(c client.Client, o Options) *Phase {
	return &Phase{client: c, options: o, ledger: eventing.NewLedger(o.Engine, o.Clock, func(n types.NamespacedName) client.Object {
		return &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: n.Namespace, Name: n.Name}}
	})}
}

// Watch queues Functions whose subscriptions or secrets changed, or of which the engine knows something new.
func (p *Phase) Watch(m ctrl.Manager, b *builder.Builder) error {
	if err := m.Add(p.ledger); err != nil {
		return err
	}
	list := func() client.ObjectList { return &v1beta2.FunctionList{} }
	b.WatchesRawSource(p.ledger.Source()).
		Watches(&daprv2.Subscription{}, eventing.Users(p.client, list, subscribes)).
		WatchesMetadata(&corev1.Secret{}, eventing.Users(p.client, list, usesSecret))
	return nil
}

func subscribes(fn *v1beta2.Function, changed client.Object) bool {
	return fn.Spec.Serving != nil && fn.Namespace == changed.GetNamespace()
}

func usesSecret(fn *v1beta2.Function, changed client.Object) bool {
	if fn.Spec.Serving == nil || fn.Namespace != changed.GetNamespace() {
		return false
	}
	s := &fn.Spec.Serving.ServingTemplate
	own := slices.AppendSeq(slices.Collect(maps.Values(s.Bindings)), maps.Values(s.Pubsub))
	for _, st := range s.States {
		if st != nil {
			own = append(own, st.Spec)
		}
	}
	for _, c := range own {
		if c == nil {
			continue
		}
		for _, m := range c.Metadata {
			if m.SecretKeyRef != nil && m.SecretKeyRef.Name == changed.GetName() {
				return true
			}
		}
	}
	return false
}

// Gone takes the application of a deleted function from the engine.
func (p *Phase) Gone(ctx context.Context, namespace, name string) error {
	return p.ledger.Keep(ctx, types.NamespacedName{Namespace: namespace, Name: name})
}

// Reconcile applies the function's newest ready revision, or its newest one while none is ready: its first events wait for it.
func (p *Phase) Reconcile(ctx context.Context, fn *v1beta2.Function) (reconcile.Result, error) {
	s, err := p.revision(ctx, fn, or(fn.Status.LatestReadyRevision, fn.Status.LatestCreatedRevision))
	if err != nil {
		return reconcile.Result{}, err
	}
	if s == nil || !daprapp.Enabled(s) {
		condition.Remove(&fn.Status.Conditions, v1beta2.ConditionEventsReady)
		fn.Status.Events = nil
		return reconcile.Result{}, p.Gone(ctx, fn.Namespace, fn.Name)
	}
	ref := event.Ref{Kind: event.KindApp, Name: event.Name{Namespace: fn.Namespace, Name: fn.Name}}
	parts := parts(s)
	if err := p.ledger.Keep(ctx, client.ObjectKeyFromObject(fn), append(parts, ref)...); err != nil {
		return reconcile.Result{}, err
	}
	wrong := p.apply(ctx, fn, s)
	var absent *secret.Missing
	var no *refused
	var result reconcile.Result
	said, known := p.options.Engine.Status(ref)
	status, reason, message := eventing.Stands(said, known, "Ready")
	switch {
	case errors.As(wrong, &absent):
		status, reason, message = metav1.ConditionFalse, "MissingReference", wrong.Error()
		result.RequeueAfter = again
	case errors.As(wrong, &no):
		status, reason, message = metav1.ConditionFalse, "Refused", wrong.Error()
	case wrong != nil:
		return reconcile.Result{}, wrong
	}
	condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionEventsReady, status, reason, message)
	result.RequeueAfter = sooner(result.RequeueAfter, p.report(fn, parts))
	return result, nil
}

// refused is what the engine does not take.
type refused struct{ error }

// revision reads one of the function's own; nil when it has none of that name (yet).
func (p *Phase) revision(ctx context.Context, fn *v1beta2.Function, name string) (*v1beta2.Serving, error) {
	if name == "" || fn.Spec.Serving == nil {
		return nil, nil
	}
	s := &v1beta2.Serving{}
	if err := p.client.Get(ctx, types.NamespacedName{Namespace: fn.Namespace, Name: name}, s); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return nil, nil
		}
		return nil, fmt.Errorf("reading revision %s: %w", name, err)
	}
	if s.Labels[v1beta2.LabelFunction] != fn.Name {
		return nil, nil // of the function that it shares its copies with
	}
	return s, nil
}

// apply hands the application over. The newest revision proves itself with its own components there: those of names that the
// ready one does not have are added. Where both have a name, the ready one's holds, because it has the events.
func (p *Phase) apply(ctx context.Context, fn *v1beta2.Function, s *v1beta2.Serving) error {
	components, err := daprapp.Components(ctx, p.options.Resolver, s)
	if err != nil {
		return err
	}
	var incomplete error
	if newest := fn.Status.LatestCreatedRevision; newest != s.Name {
		next, err := p.revision(ctx, fn, newest)
		if err != nil {
			return err
		}
		if next != nil {
			var more []event.Component
			more, incomplete = daprapp.Components(ctx, p.options.Resolver, next)
			components = with(components, more)
		}
	}
	var all daprv2.SubscriptionList
	if err := p.client.List(ctx, &all, client.InNamespace(fn.Namespace)); err != nil {
		return fmt.Errorf("listing subscriptions: %w", err)
	}
	app := daprapp.App(s, components, all.Items)
	nowhere := daprapp.Sinks(ctx, p.options.Resolver, s, &app)
	if wrong := (*secret.Missing)(nil); nowhere != nil && !errors.As(nowhere, &wrong) {
		return nowhere
	}
	if err := p.options.Engine.ApplyApp(ctx, app); err != nil {
		return &refused{err}
	}
	return errors.Join(incomplete, nowhere)
}

// with adds components whose names are not taken.
func with(components, more []event.Component) []event.Component {
	for _, c := range more {
		if !slices.ContainsFunc(components, func(x event.Component) bool { return x.Name == c.Name }) {
			components = append(components, c)
		}
	}
	return components
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
