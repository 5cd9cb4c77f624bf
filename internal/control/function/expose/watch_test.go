package expose

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/openfunction/ofn/api/core/v1beta2"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/internal/control/controltest"
)

func object(kind, namespace, name string, generation int64) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind}}
	u.SetNamespace(namespace)
	u.SetName(name)
	u.SetGeneration(generation)
	return u
}

func function(namespace, name string, ref *v1beta2.GatewayRef) *v1beta2.Function {
	fn := &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	fn.Spec.Serving = &v1beta2.FunctionServing{}
	fn.Spec.Serving.Triggers = &v1beta2.Triggers{HTTP: &v1beta2.HTTPTrigger{Route: &v1beta2.Route{GatewayRef: ref}}}
	return fn
}

// A Gateway wakes the functions behind it when its specification changes or it goes, not when it counts its routes.
func TestConcerned(t *testing.T) {
	def := &networking.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: "openfunction", Name: "openfunction"}, Spec: networking.GatewaySpec{GatewayDef: &networking.GatewayDef{Namespace: "infra"}}}
	ref := &networking.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: "edge", Name: "gate"}, Spec: networking.GatewaySpec{GatewayRef: &networking.GatewayRef{Namespace: "infra", Name: "other"}}}
	built := function("ns", "built", nil)
	built.Spec.Serving = nil
	gateway := object("Gateway", "infra", "openfunction", 1)
	c := fake.NewClientBuilder().WithScheme(controltest.Scheme(t)).WithObjects(def, ref, built, gateway, function("ns", "a", nil), function("ns2", "b", &v1beta2.GatewayRef{Namespace: "edge", Name: "gate"})).Build()
	e := New(c, Options{})
	woken := func(o client.Object, want ...string) {
		t.Helper()
		var got []string
		for _, r := range e.concerned(t.Context(), o) {
			got = append(got, r.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s %s/%s wakes %v, want %v", o.GetObjectKind().GroupVersionKind().Kind, o.GetNamespace(), o.GetName(), got, want)
		}
	}
	woken(object("HTTPRoute", "ns", "x", 1), "ns/x")
	woken(gateway, "ns/a")
	woken(gateway)
	gateway.SetGeneration(2)
	woken(gateway, "ns/a")
	says := func(status, reason string, routes int64, want ...string) {
		t.Helper()
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(gateway), gateway); err != nil {
			t.Fatal(err)
		}
		gateway.Object["status"] = map[string]any{"listeners": []any{map[string]any{"name": "https", "attachedRoutes": routes,
			"conditions": []any{map[string]any{"type": "Programmed", "status": status, "reason": reason, "observedGeneration": gateway.GetGeneration()}}}}}
		if err := c.Update(t.Context(), gateway); err != nil {
			t.Fatal(err)
		}
		woken(gateway, want...)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(gateway), gateway); err != nil {
		t.Fatal(err)
	}
	woken(gateway, "ns/a") // the fake client has the generation that it began with
	says("False", "Invalid", 0, "ns/a")
	says("False", "Invalid", 1)
	says("True", "Programmed", 1, "ns/a")
	says("True", "Programmed", 2)
	if err := c.Delete(t.Context(), gateway); err != nil {
		t.Fatal(err)
	}
	woken(gateway, "ns/a")
	woken(object("Gateway", "infra", "other", 1), "ns2/b")
	woken(object("Gateway", "infra", "nobody's", 1))
	grant := object("ReferenceGrant", "keda", "ns2.interceptor", 1)
	woken(grant)
	grant.SetLabels(map[string]string{labelFrom: "ns2"})
	woken(grant, "ns2/b")
}
