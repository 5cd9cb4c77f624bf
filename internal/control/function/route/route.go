// Package route is the third phase of a Function: it turns the http trigger, the Gateway it names and the division of the
// traffic into a route, hands it to a router, and reports hosts, paths and addresses.
package route

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/route"
)

// Options say how the gateway is reached from outside.
type Options struct {
	// Port is appended to the addresses in the status; 0 and 80 are left out.
	Port int
}

// Phase makes routes.
type Phase struct {
	client  client.Client
	router  route.Router
	options Options
}

// New is the phase over a client and a router.
func New(c client.Client, r route.Router, o Options) *Phase {
	return &Phase{client: c, router: r, options: o}
}

// Gone takes the route of a deleted function away.
func (p *Phase) Gone(_ context.Context, namespace, name string) error {
	return p.router.Delete(route.Key{Namespace: namespace, Name: name})
}

// Reconcile puts the route into effect. What cannot be goes into the Routed condition, and what is routed stays routed.
func (p *Phase) Reconcile(ctx context.Context, fn *v1beta2.Function) (reconcile.Result, error) {
	trigger := httpTrigger(fn)
	if trigger == nil {
		fn.Status.Route, fn.Status.Addresses = nil, nil
		condition.Remove(&fn.Status.Conditions, v1beta2.ConditionRouted)
		return reconcile.Result{}, p.Gone(ctx, fn.Namespace, fn.Name)
	}
	gateway, err := p.gateway(ctx, trigger)
	if err != nil {
		if apierrors.IsNotFound(err) {
			// The watch on Gateways brings the function back when it is made.
			return reconcile.Result{}, unrouted(fn, "GatewayNotFound", err.Error()+": create it, or name another in serving.triggers.http.route.gatewayRef")
		}
		return reconcile.Result{}, fmt.Errorf("reading gateway: %w", err)
	}
	names, err := namesOf(fn, trigger, gateway)
	if err != nil {
		return reconcile.Result{}, unrouted(fn, "InvalidGateway", err.Error())
	}
	rules, err := rulesOf(trigger, names.paths)
	if err != nil {
		return reconcile.Result{}, unrouted(fn, "InvalidRules", err.Error())
	}
	if shared := fn.Status.Shared; shared != nil && shared.Path != "" {
		lead(rules, shared.Path)
	}
	r := route.Route{Key: route.Key{Namespace: fn.Namespace, Name: fn.Name}, Hosts: names.hosts, Rules: rules}
	p.share(fn, &r, names)
	if err := p.router.Set(r); err != nil {
		return reconcile.Result{}, unrouted(fn, "RouteRejected", err.Error())
	}
	p.report(fn, names, rules)
	return reconcile.Result{}, nil
}

func httpTrigger(fn *v1beta2.Function) *v1beta2.HTTPTrigger {
	if fn.Spec.Serving == nil || fn.Spec.Serving.Triggers == nil {
		return nil
	}
	return fn.Spec.Serving.Triggers.HTTP
}

func (p *Phase) gateway(ctx context.Context, t *v1beta2.HTTPTrigger) (*networking.Gateway, error) {
	key := types.NamespacedName{Namespace: v1beta2.DefaultGatewayNamespace, Name: v1beta2.DefaultGatewayName}
	if t.Route != nil && t.Route.GatewayRef != nil {
		key = types.NamespacedName{Namespace: t.Route.GatewayRef.Namespace, Name: t.Route.GatewayRef.Name}
	}
	g := &networking.Gateway{}
	return g, p.client.Get(ctx, key, g)
}

// share divides the requests among the revisions and gives tagged ones hosts of their own.
func (p *Phase) share(fn *v1beta2.Function, r *route.Route, n names) {
	for i := range fn.Status.Traffic {
		t := &fn.Status.Traffic[i]
		if t.Percent > 0 {
			r.Backends = append(r.Backends, route.Backend{Revision: t.RevisionName, Weight: int(t.Percent)})
		}
		if t.Tag == "" {
			continue
		}
		tag := route.Tag{Name: t.Tag, Revision: t.RevisionName}
		for _, h := range n.hosts {
			if !strings.HasPrefix(h, "*.") {
				tag.Hosts = append(tag.Hosts, t.Tag+"-"+h)
			}
		}
		r.Tags = append(r.Tags, tag)
		if len(tag.Hosts) > 0 {
			t.URL = p.url(tag.Hosts[0], "/")
		}
	}
}

func (p *Phase) url(host, path string) string {
	if p.options.Port != 0 && p.options.Port != 80 {
		host = fmt.Sprintf("%s:%d", host, p.options.Port)
	}
	return "http://" + host + path
}

// report writes hosts, paths and addresses. The transition time of the route's conditions is the function's creation, so
// that an unchanged route means an unchanged status.
func (p *Phase) report(fn *v1beta2.Function, n names, rules []route.Rule) {
	status := &v1beta2.RouteStatus{}
	for _, h := range n.hosts {
		status.Hosts = append(status.Hosts, v1beta2.Hostname(h))
	}
	for _, r := range rules {
		for _, m := range r.Matches {
			if m.Path.Value != "" {
				status.Paths = append(status.Paths, v1beta2.RoutePath{Type: m.Path.Type, Value: m.Path.Value})
			}
		}
	}
	status.Conditions = []metav1.Condition{{Type: "Accepted", Status: "True", Reason: "Accepted", ObservedGeneration: fn.Generation, LastTransitionTime: fn.CreationTimestamp}}
	fn.Status.Route = status
	fn.Status.Addresses = nil
	for _, h := range n.hosts {
		if strings.HasPrefix(h, "*.") {
			continue // leads here, but is no address
		}
		kind := v1beta2.AddressExternal
		if strings.HasSuffix(h, "."+n.cluster) {
			kind = v1beta2.AddressInternal
		}
		for _, path := range pathsOf(status) {
			fn.Status.Addresses = append(fn.Status.Addresses, v1beta2.FunctionAddress{Type: kind, Value: p.url(h, path)})
		}
	}
	if fn.Status.LatestReadyRevision == "" {
		condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionRouted, "Unknown", "NoReadyRevision", "no revision is ready yet; requests wait for the first")
		return
	}
	condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionRouted, "True", "Routed", "")
}

func pathsOf(s *v1beta2.RouteStatus) []string {
	var out []string
	for _, p := range s.Paths {
		if p.Type != "RegularExpression" && !slices.Contains(out, p.Value) {
			out = append(out, p.Value)
		}
	}
	if len(out) == 0 {
		return []string{"/"}
	}
	return out
}

func unrouted(fn *v1beta2.Function, reason, message string) error {
	condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionRouted, "False", reason, message)
	return nil
}
