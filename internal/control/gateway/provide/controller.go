// Package provide gives Gateways of OpenFunction on a cluster a Gateway of the Gateway API: it makes the one that gatewayDef
// describes, or adds the listeners to the one that gatewayRef names, and reports how that stands. What it has put there it takes back
// when the object goes, or names another.
package provide

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/engines"
)

// Options of the controller.
type Options struct {
	Engines *engines.Controller
	// Only is the namespace whose Gateways are looked after; empty is all.
	Only string
	// Namespaces are those whose objects can be read; none is all.
	Namespaces []string
}

// Controller provides Gateways.
type Controller struct {
	client  client.Client
	live    client.Reader
	options Options
}

// NewController works with a client that reads from a cache, and a reader that does not.
func NewController(c client.Client, live client.Reader, o Options) *Controller {
	return &Controller{client: c, live: live, options: o}
}

// Name is the controller's.
func (c *Controller) Name() string { return "gateway.provide" }

// Register watches Gateways of both kinds.
func (c *Controller) Register(m ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(m).Named(c.Name()).
		For(&networking.Gateway{}).
		WatchesRawSource(c.options.Engines.Source(engines.User{Engine: engines.GatewayAPI(), All: c.all, Concerned: c.concerned})).
		Complete(c)
}

func (c *Controller) all(ctx context.Context) []reconcile.Request {
	return c.those(ctx, func(*networking.Gateway) bool { return true })
}

// concerned are those that stand for a Gateway.
func (c *Controller) concerned(ctx context.Context, o client.Object) []reconcile.Request {
	if o.GetObjectKind().GroupVersionKind().Kind != gatewayKind.Kind {
		return nil
	}
	at := networking.GatewayRef{Name: o.GetName(), Namespace: o.GetNamespace()}
	return c.those(ctx, func(g *networking.Gateway) bool { return g.Target() == at })
}

func (c *Controller) those(ctx context.Context, which func(*networking.Gateway) bool) []reconcile.Request {
	var all networking.GatewayList
	if err := c.client.List(ctx, &all); err != nil {
		return nil // the cache answers once it has synced, and every Gateway is queued then
	}
	var out []reconcile.Request
	for i := range all.Items {
		if which(&all.Items[i]) {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
		}
	}
	return out
}

// Reconcile provides a Gateway, or takes it back.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	if c.options.Only != "" && req.Namespace != c.options.Only {
		return reconcile.Result{}, nil
	}
	g := &networking.Gateway{}
	if err := c.client.Get(ctx, req.NamespacedName, g); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	err := c.options.Engines.Check(ctx, engines.GatewayAPI())
	lacks := (*engines.Missing)(nil)
	if err != nil && !errors.As(err, &lacks) {
		return reconcile.Result{}, err
	}
	if !g.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, c.end(ctx, g, lacks)
	}
	if lacks != nil { // its coming brings the Gateway back
		return reconcile.Result{}, c.report(ctx, g, nil, &refused{lacks.Reason(), lacks.Error()})
	}
	given, err := c.provide(ctx, g)
	wrong := (*refused)(nil)
	if err != nil && !errors.As(err, &wrong) {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, c.report(ctx, g, given, wrong)
}

// refused is what the user must mend.
type refused struct{ reason, message string }

// Error is for people.
func (r *refused) Error() string { return r.message }

// provide brings the Gateway about and returns it as it is.
func (c *Controller) provide(ctx context.Context, g *networking.Gateway) (*unstructured.Unstructured, error) {
	full := g.DeepCopy()
	if err := full.Default(); err != nil {
		return nil, &refused{"Invalid", err.Error()}
	}
	if _, wrong := full.Validate(); len(wrong) > 0 {
		return nil, &refused{"Invalid", wrong.ToAggregate().Error()}
	}
	if at := full.Target(); !c.reaches(at) {
		return nil, &refused{"GatewayOutOfReach", fmt.Sprintf("Gateway %s/%s is in a namespace that this operator does not look after; it sees %s", at.Namespace, at.Name, strings.Join(c.options.Namespaces, ", "))}
	}
	if former := formerly(g); former != nil && former.Target() != full.Target() && c.reaches(former.Target()) {
		if err := c.release(ctx, former); err != nil {
			return nil, err
		}
	}
	if err := c.remember(ctx, g, full); err != nil {
		return nil, err
	}
	current, err := c.read(ctx, full)
	switch {
	case err != nil:
		return nil, err
	case current == nil && full.Spec.GatewayDef == nil:
		at := full.Target()
		return nil, &refused{"GatewayNotFound", fmt.Sprintf("Gateway %s/%s of %s, which spec.gatewayRef names, is not there: make it, or let spec.gatewayDef have one made", at.Namespace, at.Name, gatewayKind.Group)}
	case current == nil:
		return c.make(ctx, full)
	case !current.GetDeletionTimestamp().IsZero():
		return current, nil // its end comes as an event, and it is made anew then
	}
	return c.keep(ctx, full, current)
}

func (c *Controller) reaches(at networking.GatewayRef) bool {
	return len(c.options.Namespaces) == 0 || slices.Contains(c.options.Namespaces, at.Namespace)
}

// remember puts the finalizer on a Gateway, and keeps what it was provided for: before anything is made, so that all of it is found
// again.
func (c *Controller) remember(ctx context.Context, g, full *networking.Gateway) error {
	spec, err := json.Marshal(full.Spec)
	if err != nil {
		return fmt.Errorf("encoding the specification: %w", err)
	}
	before := g.DeepCopy()
	changed := controllerutil.AddFinalizer(g, networking.Finalizer)
	if g.Annotations[networking.AnnotationLastApplied] != string(spec) {
		metav1.SetMetaDataAnnotation(&g.ObjectMeta, networking.AnnotationLastApplied, string(spec))
		changed = true
	}
	if !changed {
		return nil
	}
	if err := c.client.Patch(ctx, g, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("writing finalizer and annotation: %w", err)
	}
	return nil
}

// formerly is the Gateway as it was provided for before; nil when it never was.
func formerly(g *networking.Gateway) *networking.Gateway {
	said := g.Annotations[networking.AnnotationLastApplied]
	if said == "" || !controllerutil.ContainsFinalizer(g, networking.Finalizer) {
		return nil // admission writes the annotation before anything is provided
	}
	former := &networking.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: g.Namespace, Name: g.Name}}
	if err := json.Unmarshal([]byte(said), &former.Spec); err != nil {
		return nil // somebody else wrote into it; what there was cannot be known
	}
	return former
}

// end takes back what was provided for a Gateway that is to go.
func (c *Controller) end(ctx context.Context, g *networking.Gateway, lacks *engines.Missing) error {
	if !controllerutil.ContainsFinalizer(g, networking.Finalizer) {
		return nil
	}
	if lacks == nil { // otherwise there is nothing of it
		if former := formerly(g); former != nil && c.reaches(former.Target()) {
			if err := c.release(ctx, former); err != nil {
				return err
			}
		}
	}
	before := g.DeepCopy()
	controllerutil.RemoveFinalizer(g, networking.Finalizer)
	if err := c.client.Patch(ctx, g, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing the finalizer: %w", err)
	}
	return nil
}

// report writes the status, when that is new.
func (c *Controller) report(ctx context.Context, g *networking.Gateway, given *unstructured.Unstructured, wrong *refused) error {
	before := g.DeepCopy()
	s := &g.Status
	s.ObservedGeneration = g.Generation
	switch {
	case wrong != nil:
		s.Addresses, s.Listeners = nil, nil
		for _, kind := range []string{networking.ConditionScheduled, networking.ConditionReady} {
			condition.Set(&s.Conditions, g.Generation, kind, metav1.ConditionFalse, wrong.reason, wrong.message)
		}
	default:
		if err := mirror(g, given); err != nil {
			return err
		}
	}
	if equality.Semantic.DeepEqual(before.Status, g.Status) {
		return nil
	}
	if err := c.client.Status().Patch(ctx, g, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing status: %w", err)
	}
	return nil
}

// read is the Gateway of the Gateway API, as the cache has it; nil when there is none.
func (c *Controller) read(ctx context.Context, g *networking.Gateway) (*unstructured.Unstructured, error) {
	at := g.Target()
	u := empty()
	if err := c.client.Get(ctx, client.ObjectKey{Namespace: at.Namespace, Name: at.Name}, u); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading Gateway %s/%s: %w", at.Namespace, at.Name, err)
	}
	return u, nil
}
