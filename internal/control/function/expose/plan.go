package expose

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/api/opaque"
	route "github.com/openfunction/ofn/internal/route/cluster"
)

// mostHosts is how many an HTTPRoute takes.
const mostHosts = 16

var kubernetesGateway = schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "Gateway"}

// plan is where a function is to be reached.
type plan struct {
	labels map[string]string
	parent route.Parent
	// hosts lead to the function; internal is the one that is known inside the cluster alone.
	hosts    []string
	internal string
	rules    []opaque.Object
	paths    []v1beta2.RoutePath
	// listeners are those of the parent that are for HTTP; unheard are the hosts for which none of them answers.
	listeners []listener
	unheard   []string
}

// plan follows OpenFunction: the user's hostnames, or the Gateway's host template; always the name inside the cluster. Without
// rules the path is "/" under a templated host and the path template under the user's own hosts, which several functions may share.
func (e *Exposer) plan(ctx context.Context, fn *v1beta2.Function, t *v1beta2.HTTPTrigger) (*plan, error) {
	g, err := e.gateway(ctx, t)
	if err != nil {
		return nil, err
	}
	p := &plan{labels: labelsOf(g), internal: strings.ToLower(g.InternalHost(fn.Name, fn.Namespace))}
	if p.parent, p.listeners, err = e.parent(ctx, g, fn.Namespace); err != nil {
		return nil, err
	}
	path := "/"
	if t.Route != nil && len(t.Route.Hostnames) > 0 {
		for _, h := range t.Route.Hostnames {
			if host := strings.ToLower(string(h)); !slices.Contains(p.hosts, host) {
				p.hosts = append(p.hosts, host)
			}
		}
		if path, err = g.Path(fn.Name, fn.Namespace); err != nil {
			return nil, refused("InvalidGateway", "the gateway's %v", err)
		}
	} else {
		host, err := g.Host(fn.Name, fn.Namespace)
		if err != nil {
			return nil, refused("InvalidGateway", "the gateway's %v", err)
		}
		host = strings.ToLower(host)
		if problems := validation.IsDNS1123Subdomain(host); len(problems) > 0 {
			return nil, refused("InvalidGateway", "the gateway's hostTemplate gives %q, which is no host name: %s", host, strings.Join(problems, "; "))
		}
		p.hosts = []string{host}
	}
	p.unheard = slices.DeleteFunc(slices.Clone(p.hosts), func(h string) bool { return p.listener(h) != nil })
	// The engine sees to the name inside the cluster; the route has it, too, for those who come by the Gateway's internal listener.
	if !slices.Contains(p.hosts, p.internal) && len(p.hosts) < mostHosts && p.named(p.internal) != nil {
		p.hosts = append(p.hosts, p.internal)
	}
	return p, p.rule(t, path)
}

// rule takes the user's rules; without any there is one that matches a path prefix.
func (p *plan) rule(t *v1beta2.HTTPTrigger, prefix string) error {
	parsed, err := t.Route.ParseRules()
	if err != nil {
		return refused("InvalidRules", "%v", err)
	}
	if len(parsed) == 0 {
		p.paths = []v1beta2.RoutePath{{Type: v1beta2.PathMatchPrefix, Value: prefix}}
		only, err := opaque.Of(v1beta2.RouteRule{Matches: []v1beta2.RouteMatch{{Path: &v1beta2.PathMatch{Type: v1beta2.PathMatchPrefix, Value: prefix}}}})
		if err != nil {
			return fmt.Errorf("making the rule: %w", err)
		}
		p.rules = []opaque.Object{only}
		return nil
	}
	p.rules = t.Route.Rules
	for _, r := range parsed {
		for _, m := range r.Matches {
			p.paths = append(p.paths, v1beta2.RoutePath{Type: m.Path.Type, Value: m.Path.Value})
		}
	}
	return nil
}

// parent is the Gateway of the Gateway API that carries the traffic of one of OpenFunction's, with its listeners for HTTP as they are
// to the routes of a namespace.
func (e *Exposer) parent(ctx context.Context, g *networking.Gateway, namespace string) (route.Parent, []listener, error) {
	at := route.Parent{Namespace: g.Target().Namespace, Name: g.Target().Name}
	if len(e.options.Parents) > 0 && !slices.Contains(e.options.Parents, at.Namespace) {
		return at, nil, refused("GatewayOutOfReach", "Gateway %s/%s is in a namespace that this operator does not look after; it sees %s", at.Namespace, at.Name, list(e.options.Parents))
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kubernetesGateway)
	if err := e.client.Get(ctx, client.ObjectKey{Namespace: at.Namespace, Name: at.Name}, u); apierrors.IsNotFound(err) {
		return at, nil, refused("GatewayNotReady", "gateway %s/%s has no Gateway %s/%s of %s: look at its conditions", g.Namespace, g.Name, at.Namespace, at.Name, kubernetesGateway.Group)
	} else if err != nil {
		return at, nil, fmt.Errorf("reading Gateway %s/%s: %w", at.Namespace, at.Name, err)
	}
	listeners, err := listenersOf(u, namespace)
	return at, listeners, err
}

func list(all []string) string {
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

// report writes hosts, paths, addresses and what the implementation says.
func (p *plan) report(fn *v1beta2.Function, conditions []metav1.Condition) {
	fn.Status.Route = &v1beta2.RouteStatus{Paths: p.paths, Conditions: conditions}
	var external []v1beta2.FunctionAddress
	for _, h := range p.hosts {
		fn.Status.Route.Hosts = append(fn.Status.Route.Hosts, v1beta2.Hostname(h))
		if h == p.internal || strings.HasPrefix(h, "*.") || slices.Contains(p.unheard, h) {
			continue // the engine has its address, or it is none
		}
		for _, path := range p.prefixes() {
			external = append(external, v1beta2.FunctionAddress{Type: v1beta2.AddressExternal, Value: p.listener(h).url(h, path)})
		}
	}
	if len(external) == 0 {
		return
	}
	inside := slices.DeleteFunc(fn.Status.Addresses, func(a v1beta2.FunctionAddress) bool { return a.Type == v1beta2.AddressExternal })
	fn.Status.Addresses = append(external, inside...)
}

// prefixes are the paths that make an address.
func (p *plan) prefixes() []string {
	var out []string
	for _, each := range p.paths {
		if each.Type != v1beta2.PathMatchRegularExpression && !slices.Contains(out, each.Value) {
			out = append(out, each.Value)
		}
	}
	if len(out) == 0 {
		return []string{"/"}
	}
	return out
}
