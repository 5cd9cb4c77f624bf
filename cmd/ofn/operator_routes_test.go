package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/internal/control/condition"
)

const gatewayAPI = "gateway.networking.k8s.io/v1"

func gatewayDefinitions() []*apiextensionsv1.CustomResourceDefinition {
	const group = "gateway.networking.k8s.io"
	out := []*apiextensionsv1.CustomResourceDefinition{
		definition(group, "v1", "Gateway", "gateways", apiextensionsv1.NamespaceScoped),
		definition(group, "v1", "HTTPRoute", "httproutes", apiextensionsv1.NamespaceScoped),
		definition(group, "v1beta1", "ReferenceGrant", "referencegrants", apiextensionsv1.NamespaceScoped),
	}
	for _, d := range out { // the group is one of Kubernetes' own
		d.Annotations = map[string]string{apiextensionsv1.KubeAPIApprovedAnnotation: "https://github.com/kubernetes-sigs/gateway-api"}
	}
	return out
}

// implementation does what an implementation of the Gateway API does, as far as it can be seen from outside. It takes every route but
// those for refused.example.com.
func (o *operated) implementation(ctx context.Context) error {
	says := func(u *unstructured.Unstructured, kind, status, reason, message string) map[string]any {
		return map[string]any{"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": u.GetGeneration(), "lastTransitionTime": "2026-01-01T00:00:00Z"}
	}
	routes := int64(0)
	err := o.each(ctx, gatewayAPI, "HTTPRoute", func(r *unstructured.Unstructured) error {
		parents, _, _ := unstructured.NestedSlice(r.Object, "spec", "parentRefs")
		if len(parents) == 0 {
			return nil
		}
		routes++
		accepted := says(r, "Accepted", "True", "Accepted", "")
		if hosts, _, _ := unstructured.NestedStringSlice(r.Object, "spec", "hostnames"); slices.Contains(hosts, "refused.example.com") {
			accepted = says(r, "Accepted", "False", "NotAllowedByListeners", "no listener takes it")
		}
		return o.status(ctx, r, map[string]any{"parents": []any{map[string]any{"parentRef": parents[0], "controllerName": "example.com/gateway",
			"conditions": []any{accepted, says(r, "ResolvedRefs", "True", "ResolvedRefs", "")}}}})
	})
	if err != nil {
		return err
	}
	return o.each(ctx, gatewayAPI, "Gateway", func(g *unstructured.Unstructured) error {
		listeners, _, _ := unstructured.NestedSlice(g.Object, "spec", "listeners")
		all := make([]any, len(listeners))
		for i, l := range listeners {
			all[i] = map[string]any{"name": l.(map[string]any)["name"], "attachedRoutes": routes, "conditions": []any{says(g, "Programmed", "True", "Programmed", "")}}
		}
		return o.status(ctx, g, map[string]any{"addresses": []any{map[string]any{"type": "IPAddress", "value": "192.0.2.1"}}, "listeners": all,
			"conditions": []any{says(g, "Accepted", "True", "Accepted", ""), says(g, "Programmed", "True", "Programmed", "")}})
	})
}

func (o *operated) routes(t *testing.T) {
	in := o.in(t)
	shop := httpFunction("shop", "registry.example.com/shop:1")
	shop.Spec.Serving.Triggers.HTTP.Route = &v1beta2.Route{Hostnames: []v1beta2.Hostname{"shop.example.com"}}
	in.create(shop)
	if c := in.unready("shop", "EngineMissing"); !strings.Contains(c.Message, "Gateway API") || !strings.Contains(c.Message, "kubectl apply") {
		t.Error("the condition does not say what is missing and how to install it:", c.Message)
	}
	o.install(gatewayDefinitions(), o.implementation)
	in.unready("shop", "GatewayNotFound")
	gateway := &networking.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: "openfunction", Name: "openfunction"}, Spec: networking.GatewaySpec{Domain: "example.com",
		GatewayDef:  &networking.GatewayDef{Namespace: "default", Name: "edge", GatewayClassName: "c"},
		GatewaySpec: networking.ListenerSet{Listeners: []networking.Listener{{Name: "http", Port: 80, Protocol: "HTTP"}}}}}
	in.create(gateway)
	fn := in.ready("shop", "shop-00001")
	if got := fn.Status.Addresses[0].Value; got != "http://shop.example.com/default/shop" {
		t.Errorf("addresses are %+v", fn.Status.Addresses)
	}
	in.leads("shop", "shop-00001=100")
	in.leads("hello", "hello-00001=90 hello-00004=10") // it asks for nothing, but there is the default Gateway now
	in.addressed("hello", "http://hello.default.example.com/")
	in.eventually(func(ctx context.Context) string {
		if err := in.client.Get(ctx, client.ObjectKeyFromObject(gateway), gateway); err != nil {
			return err.Error()
		}
		s := gateway.Status
		if c := condition.Get(s.Conditions, networking.ConditionReady); c == nil || c.Status != "True" || len(s.Addresses) != 1 || len(s.Listeners) != 2 || s.Listeners[0].AttachedRoutes < 2 { // other cases have functions, too
			return fmt.Sprintf("the Gateway has the status %+v", s)
		}
		return ""
	})
}

func (o *operated) routesRepaired(t *testing.T) {
	in := o.in(t)
	r := engineObject(gatewayAPI, "HTTPRoute", "shop")
	in.change(r, "shop", func() { _ = unstructured.SetNestedSlice(r.Object, []any{}, "spec", "rules") })
	in.leads("shop", "shop-00001=100")
	if err := in.get(r, "shop"); err != nil {
		t.Fatal(err)
	}
	uid := r.GetUID()
	if err := in.client.Delete(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	in.eventually(func(context.Context) string {
		if err := in.get(r, "shop"); err != nil || r.GetUID() == uid {
			return fmt.Sprintf("the HTTPRoute is not made again (%v)", err)
		}
		return ""
	})
	fn := &v1beta2.Function{}
	in.change(fn, "shop", func() { fn.Spec.Serving.Triggers.HTTP.Route.Hostnames = []v1beta2.Hostname{"refused.example.com"} })
	if c := in.unready("shop", "NotAllowedByListeners"); !strings.Contains(c.Message, "no listener takes it") {
		t.Error("the condition does not have the words of the implementation:", c.Message)
	}
	in.create(engineObject(gatewayAPI, "HTTPRoute", "squat"), httpFunction("squat", "registry.example.com/x"))
	in.unready("squat", "NameTaken")
	if err := in.get(r, "squat"); err != nil || r.Object["spec"] != nil {
		t.Errorf("what another made is changed: %v (%v)", r.Object, err)
	}
	for _, gone := range []client.Object{httpFunction("squat", ""), httpFunction("shop", ""), r} {
		if err := in.client.Delete(t.Context(), gone); err != nil {
			t.Error(err)
		}
	}
}

// routesEnd takes the Gateway away: functions that ask for nothing go on as their engine has them.
func (o *operated) routesEnd(t *testing.T) {
	in := o.in(t)
	if err := in.client.Delete(t.Context(), &networking.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: "openfunction", Name: "openfunction"}}); err != nil {
		t.Fatal(err)
	}
	for kind, name := range map[string]string{"Gateway": "edge", "HTTPRoute": "hello"} {
		in.eventually(func(context.Context) string {
			if err := in.get(engineObject(gatewayAPI, kind, name), name); client.IgnoreNotFound(err) != nil || err == nil {
				return kind + " " + name + " is still there"
			}
			return ""
		})
	}
	in.addressed("hello", "http://hello.default.example.com")
}

// leads waits until the HTTPRoute of a function divides the requests so.
func (o *operated) leads(name, want string) {
	o.Helper()
	o.eventually(func(context.Context) string {
		r := engineObject(gatewayAPI, "HTTPRoute", name)
		if err := o.get(r, name); err != nil {
			return err.Error()
		}
		rules, _, _ := unstructured.NestedSlice(r.Object, "spec", "rules")
		if len(rules) != 1 {
			return fmt.Sprint("rules are ", rules)
		}
		refs, _, _ := unstructured.NestedSlice(rules[0].(map[string]any), "backendRefs")
		var got []string
		for _, ref := range refs {
			got = append(got, fmt.Sprintf("%v=%v", ref.(map[string]any)["name"], ref.(map[string]any)["weight"]))
		}
		if strings.Join(got, " ") != want {
			return "the route leads to " + strings.Join(got, " ")
		}
		return ""
	})
}

// addressed waits until the first address of a function is this.
func (o *operated) addressed(name, want string) {
	o.Helper()
	o.eventually(func(context.Context) string {
		fn := &v1beta2.Function{}
		if err := o.get(fn, name); err != nil {
			return err.Error()
		}
		if len(fn.Status.Addresses) == 0 || fn.Status.Addresses[0].Value != want {
			return fmt.Sprintf("the addresses are %+v", fn.Status.Addresses)
		}
		return ""
	})
}
