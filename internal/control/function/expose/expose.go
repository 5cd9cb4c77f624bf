// Package expose leads requests from outside a cluster to a function that an engine runs there: it turns the http trigger, the Gateway
// that it names and the Services of the engine into a route of the Gateway API, and reports hosts, paths and addresses. It is to a
// cluster what function/route is to one machine, with the same names and defaults.
//
// A function that asks for nothing, on a cluster without the Gateway API or without the default Gateway, is reached as the engine
// arranges it.
package expose

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/internal/control/engines"
	route "github.com/openfunction/ofn/internal/route/cluster"
	run "github.com/openfunction/ofn/internal/run/cluster"
)

// labelVisibility on a function is Knative's way to say that it is not for the outside.
const labelVisibility, visibilityLocal = "networking.knative.dev/visibility", "cluster-local"

// Options of an Exposer.
type Options struct {
	Router  route.Router
	Engines *engines.Controller
	// Namespaces are those whose Gateways of OpenFunction can be read, Parents those of the Gateway API; none is all.
	Namespaces, Parents []string
}

// Exposer makes the routes of functions.
type Exposer struct {
	client  client.Client
	options Options
	seen    generations
}

// New is an exposer over a client that reads from a cache.
func New(c client.Client, o Options) *Exposer { return &Exposer{client: c, options: o} }

// Gone is told that a function no longer exists.
func (e *Exposer) Gone(ctx context.Context, namespace, name string) error {
	if lacks, err := e.lacks(ctx); err != nil || lacks != nil {
		return err
	}
	return e.options.Router.Gone(ctx, namespace, name)
}

// Hide takes the route of a function away. The addresses are its caller's.
func (e *Exposer) Hide(ctx context.Context, fn *v1beta2.Function) error {
	fn.Status.Route = nil
	if lacks, err := e.lacks(ctx); err != nil || lacks != nil {
		return err
	}
	return e.options.Router.Remove(ctx, fn.Namespace, fn.Name, owner(fn))
}

// Expose makes the route of a function as its engine has it, and says whether requests reach it. When there is a route, its addresses
// take the place of those from outside in the function's status; otherwise the status, and what it answers, are the engine's.
func (e *Exposer) Expose(ctx context.Context, fn *v1beta2.Function, has run.Status) (run.Condition, error) {
	trigger := httpTrigger(fn)
	if trigger == nil {
		return has.Routed, e.Hide(ctx, fn)
	}
	lacks, err := e.lacks(ctx)
	if err != nil {
		return has.Routed, err
	}
	asks := asksForRoute(trigger)
	switch {
	case lacks != nil && asks:
		return unrouted(lacks.Reason(), "%s", lacks.Error()), nil
	case lacks != nil:
		fn.Status.Route = nil
		return has.Routed, nil
	case !asks && fn.Labels[labelVisibility] == visibilityLocal:
		return has.Routed, e.Hide(ctx, fn)
	}
	p, err := e.plan(ctx, fn, trigger)
	switch wrong := (*route.Refused)(nil); {
	case errors.As(err, &wrong) && wrong.Reason == reasonNoGateway && !asks:
		return has.Routed, e.Hide(ctx, fn)
	case errors.As(err, &wrong):
		return unrouted(wrong.Reason, "%s", wrong.Error()), nil
	case err != nil:
		return has.Routed, err
	}
	if len(has.Backends) == 0 || fn.Status.LatestReadyRevision == "" {
		return run.Condition{Status: metav1.ConditionUnknown, Reason: "NoReadyRevision", Message: "no revision is ready yet to which a route could lead"}, nil
	}
	return e.apply(ctx, fn, p, has)
}

// apply hands the route to the router and reports it.
func (e *Exposer) apply(ctx context.Context, fn *v1beta2.Function, p *plan, has run.Status) (run.Condition, error) {
	r := route.Route{Namespace: fn.Namespace, Name: fn.Name, Owner: owner(fn), Labels: p.labels, Parent: p.parent, Hosts: p.hosts, Rules: p.rules}
	for _, b := range has.Backends {
		r.Backends = append(r.Backends, route.Backend(b))
	}
	st, err := e.options.Router.Apply(ctx, r)
	if wrong := (*route.Refused)(nil); errors.As(err, &wrong) {
		return unrouted(wrong.Reason, "%s", wrong.Error()), nil
	} else if err != nil {
		return has.Routed, err
	}
	p.report(fn, st.Conditions)
	switch {
	case len(p.unheard) > 0:
		return p.refusal(), nil
	case st.Routed == metav1.ConditionTrue && has.Routed.Status == metav1.ConditionFalse:
		return has.Routed, nil
	}
	return run.Condition{Status: st.Routed, Reason: st.Reason, Message: st.Message}, nil
}

// lacks says what of the Gateway API the cluster has not; nil is nothing.
func (e *Exposer) lacks(ctx context.Context) (*engines.Missing, error) {
	err := e.options.Engines.Check(ctx, engines.GatewayAPI())
	if lacks := (*engines.Missing)(nil); errors.As(err, &lacks) {
		return lacks, nil
	}
	return nil, err
}

// reasonNoGateway is that of a Gateway of OpenFunction which is not there.
const reasonNoGateway = "GatewayNotFound"

// gateway reads the Gateway that a trigger names, with its defaults.
func (e *Exposer) gateway(ctx context.Context, t *v1beta2.HTTPTrigger) (*networking.Gateway, error) {
	key := gatewayOf(t)
	if len(e.options.Namespaces) > 0 && !slices.Contains(e.options.Namespaces, key.Namespace) {
		return nil, refused("GatewayOutOfReach", "Gateway %s is in a namespace that this operator does not look after; it sees %s", key, list(e.options.Namespaces))
	}
	g := &networking.Gateway{}
	if err := e.client.Get(ctx, key, g); apierrors.IsNotFound(err) {
		return nil, refused(reasonNoGateway, "%v: create it, or name another in serving.triggers.http.route.gatewayRef", err)
	} else if err != nil {
		return nil, fmt.Errorf("reading gateway %s: %w", key, err)
	}
	g = g.DeepCopy()
	if err := g.Default(); err != nil {
		return nil, refused("InvalidGateway", "gateway %s: %v", key, err)
	}
	if _, wrong := g.Validate(); len(wrong) > 0 {
		return nil, refused("InvalidGateway", "gateway %s: %v", key, wrong.ToAggregate())
	}
	return g, nil
}

func gatewayOf(t *v1beta2.HTTPTrigger) client.ObjectKey {
	if t.Route != nil && t.Route.GatewayRef != nil {
		return client.ObjectKey{Namespace: t.Route.GatewayRef.Namespace, Name: t.Route.GatewayRef.Name}
	}
	return client.ObjectKey{Namespace: v1beta2.DefaultGatewayNamespace, Name: v1beta2.DefaultGatewayName}
}

// asksForRoute is whether a trigger says anything that only a route can do. The default Gateway alone is no such thing: admission
// names it for every function.
func asksForRoute(t *v1beta2.HTTPTrigger) bool {
	byDefault := client.ObjectKey{Namespace: v1beta2.DefaultGatewayNamespace, Name: v1beta2.DefaultGatewayName}
	return t.Route != nil && (len(t.Route.Hostnames) > 0 || len(t.Route.Rules) > 0 || gatewayOf(t) != byDefault)
}

func httpTrigger(fn *v1beta2.Function) *v1beta2.HTTPTrigger {
	if fn.Spec.Serving == nil || fn.Spec.Serving.Triggers == nil {
		return nil
	}
	return fn.Spec.Serving.Triggers.HTTP
}

func owner(fn *v1beta2.Function) metav1.OwnerReference {
	return *metav1.NewControllerRef(fn, v1beta2.GroupVersion.WithKind("Function"))
}

func refused(reason, format string, args ...any) error {
	return &route.Refused{Reason: reason, Err: fmt.Errorf(format, args...)}
}

func unrouted(reason, format string, args ...any) run.Condition {
	return run.Condition{Status: metav1.ConditionFalse, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// labelsOf are those by which the routes of a Gateway are found, as OpenFunction has them. A value that is too long for a label is
// left out.
func labelsOf(g *networking.Gateway) map[string]string {
	value := g.Namespace + "." + g.Name
	if len(validation.IsValidLabelValue(value)) > 0 || len(validation.IsQualifiedName(g.Spec.HTTPRouteLabelKey)) > 0 {
		return nil
	}
	return map[string]string{g.Spec.HTTPRouteLabelKey: value}
}
