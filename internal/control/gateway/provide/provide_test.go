package provide_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/engines"
	"github.com/openfunction/ofn/internal/control/gateway/provide"
)

type world struct {
	*testing.T
	client.WithWatch
	controller *provide.Controller
	writes     int
}

func newWorld(t *testing.T, o provide.Options, objects ...client.Object) *world {
	scheme := controltest.Scheme(t)
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&networking.Gateway{}).WithObjects(objects...)
	w := &world{T: t}
	w.WithWatch = interceptor.NewClient(c.Build(), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			w.writes++
			return c.Create(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			w.writes++
			return c.Patch(ctx, o, p, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			w.writes++
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	})
	o.Engines = engines.NewController(w, nil, slog.New(slog.DiscardHandler))
	w.controller = provide.NewController(w, w, o)
	return w
}

// definitions are those of the Gateway API.
func definitions() []client.Object {
	var out []client.Object
	for _, k := range engines.GatewayAPI().Kinds {
		out = append(out, &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: k.Plural + "." + k.Group},
			Spec:   apiextensionsv1.CustomResourceDefinitionSpec{Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: k.Version, Served: true}}},
			Status: apiextensionsv1.CustomResourceDefinitionStatus{Conditions: []apiextensionsv1.CustomResourceDefinitionCondition{{Type: "Established", Status: "True"}}}})
	}
	return out
}

func gateway(t *testing.T, text string) *networking.Gateway {
	t.Helper()
	g := &networking.Gateway{}
	if err := yaml.UnmarshalStrict([]byte(text), g); err != nil {
		t.Fatal(err)
	}
	return g
}

const defined = `
metadata:
  namespace: openfunction
  name: gate
  annotations: {cert-manager.io/cluster-issuer: ca, argocd.argoproj.io/tracking-id: x}
spec:
  domain: example.com
  gatewayDef: {namespace: infra, gatewayClassName: envoy}
  gatewaySpec:
    listeners:
    - {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
    - {name: https, port: 443, protocol: HTTPS, tls: {mode: Terminate, certificateRefs: [{name: cert}]}}
`

const referring = `
metadata: {namespace: NAMESPACE, name: gate}
spec:
  domain: DOMAIN
  gatewayRef: {namespace: infra, name: theirs}
  gatewaySpec: {listeners: [{name: LISTENER, port: 80, protocol: HTTP}]}
`

func refer(t *testing.T, namespace, domain, listener string) *networking.Gateway {
	return gateway(t, strings.NewReplacer("NAMESPACE", namespace, "DOMAIN", domain, "LISTENER", listener).Replace(referring))
}

func theirs(annotation string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "spec": map[string]any{"gatewayClassName": "mine",
		"listeners": []any{map[string]any{"name": "own", "port": int64(9000), "protocol": "HTTP"}}}}}
	u.SetNamespace("infra")
	u.SetName("theirs")
	if annotation != "" {
		u.SetAnnotations(map[string]string{networking.AnnotationInjectedListeners: annotation})
	}
	return u
}

// reconcile goes on until nothing is written.
func (w *world) reconcile(namespace, name string) {
	w.Helper()
	for range 5 {
		before := w.writes
		if _, err := w.controller.Reconcile(w.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}); err != nil {
			w.Fatal(err)
		}
		if w.writes == before {
			return
		}
	}
	w.Error("it goes on writing")
}

func (w *world) status(namespace, name string) networking.GatewayStatus {
	w.Helper()
	return controltest.Read(w, w, namespace, name, &networking.Gateway{}).Status
}

func (w *world) expect(namespace, name string, kind string, status metav1.ConditionStatus, reason, says string) {
	w.Helper()
	if c := condition.Get(w.status(namespace, name).Conditions, kind); c == nil || c.Status != status || c.Reason != reason || !strings.Contains(c.Message, says) {
		w.Errorf("%s is %+v, want %s %s that says %q", kind, c, status, reason, says)
	}
}

func (w *world) made(namespace, name string) *unstructured.Unstructured {
	w.Helper()
	u := theirs("")
	if err := w.Get(w.Context(), client.ObjectKey{Namespace: namespace, Name: name}, u); err != nil {
		return nil
	}
	return u
}

func (w *world) listeners(name string) string {
	w.Helper()
	all, _, _ := unstructured.NestedSlice(w.made("infra", name).Object, "spec", "listeners")
	var out []string
	for _, l := range all {
		m := l.(map[string]any)
		out = append(out, fmt.Sprintf("%v=%v", m["name"], m["hostname"]))
	}
	return strings.Join(out, " ")
}

func TestMade(t *testing.T) {
	g := gateway(t, defined)
	w := newWorld(t, provide.Options{}, append(definitions(), g)...)
	w.reconcile("openfunction", "gate")
	got := w.made("infra", "gate")
	text, err := json.Marshal(got.Object["spec"])
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"gatewayClassName":"envoy","listeners":[` +
		`{"allowedRoutes":{"namespaces":{"from":"All"}},"hostname":"*.example.com","name":"http","port":80,"protocol":"HTTP"},` +
		`{"hostname":"*.example.com","name":"https","port":443,"protocol":"HTTPS","tls":{"certificateRefs":[{"name":"cert"}],"mode":"Terminate"}},` +
		`{"allowedRoutes":{"namespaces":{"from":"All"}},"hostname":"*.cluster.local","name":"ofn-http-internal","port":80,"protocol":"HTTP"}]}`
	if string(text) != want {
		t.Errorf("the Gateway is %s", text)
	}
	if a := got.GetAnnotations(); a["cert-manager.io/cluster-issuer"] != "ca" || a["argocd.argoproj.io/tracking-id"] != "" {
		t.Errorf("its annotations are %v", a)
	}
	w.expect("openfunction", "gate", "Ready", "Unknown", "Waiting", "Gateway infra/gate")
	if err := unstructured.SetNestedSlice(got.Object, []any{map[string]any{"name": "http", "port": int64(81), "protocol": "HTTP"}, map[string]any{"name": "extra", "port": int64(82), "protocol": "HTTP"}}, "spec", "listeners"); err != nil {
		t.Fatal(err)
	}
	if err := w.Update(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	w.reconcile("openfunction", "gate")
	if got := w.listeners("gate"); got != "http=*.example.com extra=<nil> https=*.example.com ofn-http-internal=*.cluster.local" {
		t.Errorf("after a change by hand the listeners are %s", got)
	}
	if err := w.Delete(t.Context(), controltest.Read(t, w, "openfunction", "gate", &networking.Gateway{})); err != nil {
		t.Fatal(err)
	}
	w.reconcile("openfunction", "gate")
	if w.made("infra", "gate") != nil {
		t.Error("the Gateway is there although nothing stands for it")
	}
	if err := w.Get(t.Context(), client.ObjectKey{Namespace: "openfunction", Name: "gate"}, g); err == nil {
		t.Error("the finalizer stays")
	}
}

func TestAdopted(t *testing.T) {
	one, two := refer(t, "one", "example.com", "web"), refer(t, "two", "example.com", "web")
	w := newWorld(t, provide.Options{}, append(definitions(), one, two, theirs(""))...)
	w.reconcile("one", "gate")
	w.reconcile("two", "gate")
	if got := w.listeners("theirs"); got != "own=<nil> web=*.example.com ofn-http-internal=*.cluster.local" {
		t.Errorf("listeners are %s", got)
	}
	if class, _, _ := unstructured.NestedString(w.made("infra", "theirs").Object, "spec", "gatewayClassName"); class != "mine" {
		t.Errorf("its class is now %s", class)
	}
	// One goes on to a Gateway of its own: what the other has stays.
	controltest.Write(t, w, controltest.Read(t, w, "one", "gate", one), func() {
		one.Spec.GatewayRef, one.Spec.GatewayDef = nil, &networking.GatewayDef{Namespace: "infra", GatewayClassName: "c"}
	})
	w.reconcile("one", "gate")
	if got := w.listeners("theirs"); got != "own=<nil> web=*.example.com ofn-http-internal=*.cluster.local" {
		t.Errorf("listeners are %s", got)
	}
	if w.made("infra", "gate") == nil {
		t.Error("the Gateway of its own is not there")
	}
	if err := w.Delete(t.Context(), controltest.Read(t, w, "two", "gate", two)); err != nil {
		t.Fatal(err)
	}
	w.reconcile("two", "gate")
	if got := w.listeners("theirs"); got != "own=<nil>" {
		t.Errorf("at the end the listeners are %s", got)
	}
	if a := w.made("infra", "theirs").GetAnnotations(); len(a) != 0 {
		t.Errorf("its annotations are %v", a)
	}
}

func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		objects []client.Object
		options provide.Options
		reason  string
		says    string
	}{
		"no Gateway API":        {[]client.Object{refer(t, "ns", "example.com", "web")}, provide.Options{}, "EngineMissing", "kubectl apply"},
		"no such Gateway":       {append(definitions(), refer(t, "ns", "example.com", "web")), provide.Options{}, "GatewayNotFound", "Gateway infra/theirs"},
		"a listener taken":      {append(definitions(), refer(t, "ns", "example.com", "own"), theirs("")), provide.Options{}, "ListenerTaken", `listener "own"`},
		"out of reach":          {append(definitions(), refer(t, "ns", "example.com", "web")), provide.Options{Only: "ns", Namespaces: []string{"ns"}}, "GatewayOutOfReach", "it sees ns"},
		"neither ref nor def":   {append(definitions(), gateway(t, `{metadata: {namespace: ns, name: gate}, spec: {domain: x, gatewaySpec: {listeners: [{name: a, port: 1, protocol: HTTP}]}}}`)), provide.Options{}, "Invalid", "give one of gatewayRef and gatewayDef"},
		"another Gateway of it": {append(definitions(), gateway(t, `{metadata: {namespace: ns, name: gate}, spec: {domain: x, gatewayDef: {name: theirs, namespace: infra, gatewayClassName: c}, gatewaySpec: {listeners: [{name: a, port: 1, protocol: HTTP}]}}}`), theirs("")), provide.Options{}, "NameTaken", "spec.gatewayRef"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, test.options, test.objects...)
			w.reconcile("ns", "gate")
			w.expect("ns", "gate", "Ready", "False", test.reason, test.says)
			if u := w.made("infra", "theirs"); u != nil && w.listeners("theirs") != "own=<nil>" {
				t.Errorf("what another made has now the listeners %s", w.listeners("theirs"))
			}
		})
	}
}

// Two that want another listener under one name do not take it from one another.
func TestListenerOfAnotherGateway(t *testing.T) {
	w := newWorld(t, provide.Options{}, append(definitions(), refer(t, "one", "example.com", "web"), refer(t, "two", "example.org", "web"), theirs(""))...)
	w.reconcile("one", "gate")
	w.reconcile("two", "gate")
	w.expect("two", "gate", "Ready", "False", "ListenerTaken", `"web"`)
	if got := w.listeners("theirs"); got != "own=<nil> web=*.example.com ofn-http-internal=*.cluster.local" {
		t.Errorf("listeners are %s", got)
	}
}

// OpenFunction leaves the listeners that it put there in the annotation: they are taken over.
func TestTakenOverFromOpenFunction(t *testing.T) {
	u := theirs(`[{"name":"web","port":81,"protocol":"HTTP"}]`)
	if err := unstructured.SetNestedSlice(u.Object, []any{map[string]any{"name": "web", "port": int64(81), "protocol": "HTTP"}, map[string]any{"name": "own", "port": int64(9000), "protocol": "HTTP"}}, "spec", "listeners"); err != nil {
		t.Fatal(err)
	}
	g := refer(t, "ns", "example.com", "web")
	w := newWorld(t, provide.Options{}, append(definitions(), g, u)...)
	w.reconcile("ns", "gate")
	if got := w.listeners("theirs"); got != "web=*.example.com own=<nil> ofn-http-internal=*.cluster.local" {
		t.Errorf("listeners are %s", got)
	}
	if got := w.made("infra", "theirs").GetAnnotations()[networking.AnnotationInjectedListeners]; got != `{"ns/gate":["web","ofn-http-internal"]}` {
		t.Errorf("the annotation is %s", got)
	}
}

func TestStatus(t *testing.T) {
	w := newWorld(t, provide.Options{}, append(definitions(), refer(t, "ns", "example.com", "web"), theirs(""))...)
	w.reconcile("ns", "gate")
	says := func(text string) {
		t.Helper()
		u := w.made("infra", "theirs")
		u.SetGeneration(2)
		var status map[string]any
		if err := yaml.Unmarshal([]byte(text), &status); err != nil {
			t.Fatal(err)
		}
		u.Object["status"] = status
		if err := w.Update(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		w.reconcile("ns", "gate")
	}
	says(`{conditions: [{type: Accepted, status: "True", reason: Accepted, observedGeneration: 1}, {type: Programmed, status: "True", reason: Programmed, observedGeneration: 1}]}`)
	w.expect("ns", "gate", "Ready", "Unknown", "Reconciling", "")
	says(`
addresses: [{type: IPAddress, value: 192.0.2.1}]
conditions: [{type: Accepted, status: "True", reason: Accepted, observedGeneration: 2}, {type: Programmed, status: "False", reason: AddressNotAssigned, message: none left, observedGeneration: 2}]
listeners:
- {name: web, attachedRoutes: 3, supportedKinds: [], conditions: [{type: Conflicted, status: "True", reason: HostnameConflict, message: twice, observedGeneration: 2, lastTransitionTime: "2026-01-01T00:00:00Z"}]}
- {name: own, attachedRoutes: 1, supportedKinds: [], conditions: []}
`)
	w.expect("ns", "gate", "Scheduled", "True", "Accepted", "")
	w.expect("ns", "gate", "Ready", "False", "AddressNotAssigned", "Gateway infra/theirs: none left")
	s := w.status("ns", "gate")
	if !slices.Equal(s.Addresses, []networking.GatewayAddress{{Type: "IPAddress", Value: "192.0.2.1"}}) || len(s.Listeners) != 1 || s.Listeners[0].AttachedRoutes != 3 || s.Listeners[0].Conditions[0].Message != "twice" {
		t.Errorf("the status is %+v", s)
	}
}
