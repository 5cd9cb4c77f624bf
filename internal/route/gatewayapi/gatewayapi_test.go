package gatewayapi_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/opaque"
	"github.com/openfunction/ofn/internal/route/cluster"
	"github.com/openfunction/ofn/internal/route/gatewayapi"
)

var update = flag.Bool("update", false, "write the golden files anew")

const group = "gateway.networking.k8s.io"

func owner(uid string) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "core.openfunction.io/v1beta2", Kind: "Function", Name: "fn", UID: types.UID(uid), Controller: new(true), BlockOwnerDeletion: new(true)}
}

// world is an API server in memory that counts writes.
type world struct {
	*testing.T
	client.WithWatch
	router *gatewayapi.Router
	writes int
	fail   error // of every write, when set
}

func newWorld(t *testing.T, o gatewayapi.Options) *world {
	w := &world{T: t}
	count := func() error { w.writes++; return w.fail }
	w.WithWatch = interceptor.NewClient(fake.NewClientBuilder().WithScheme(runtime.NewScheme()).Build(), interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, a runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			if err := count(); err != nil {
				return err
			}
			return c.Apply(ctx, a, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if err := count(); err != nil {
				return err
			}
			return c.Create(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if err := count(); err != nil {
				return err
			}
			return c.Patch(ctx, o, p, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			if err := count(); err != nil {
				return err
			}
			return c.Delete(ctx, o, opts...)
		},
	})
	w.router = gatewayapi.New(w, w, o)
	return w
}

func (w *world) object(version, kind, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(group + "/" + version)
	u.SetKind(kind)
	if err := w.Get(w.Context(), client.ObjectKey{Namespace: namespace, Name: name}, u); client.IgnoreNotFound(err) != nil {
		w.Fatal(err)
	} else if err != nil {
		return nil
	}
	return u
}

func (w *world) apply(r cluster.Route) cluster.Status {
	w.Helper()
	st, err := w.router.Apply(w.Context(), r)
	if err != nil {
		w.Fatal(err)
	}
	return st
}

func rules(t *testing.T, text string) []opaque.Object {
	t.Helper()
	var out []opaque.Object
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func simple(t *testing.T) cluster.Route {
	return cluster.Route{Namespace: "ns", Name: "fn", Owner: owner("1"), Labels: map[string]string{"app.kubernetes.io/managed-by": "infra.gate"},
		Parent: cluster.Parent{Namespace: "infra", Name: "gw"}, Hosts: []string{"fn.ns.example.com", "fn.ns.svc.cluster.local"},
		Rules:    rules(t, `[{matches: [{path: {type: PathPrefix, value: /}}]}]`),
		Backends: []cluster.Backend{knative("fn-1", 100)}}
}

func knative(revision string, weight int32) cluster.Backend {
	return cluster.Backend{Namespace: "ns", Name: revision, Port: 80, Weight: weight, Headers: map[string]string{"Knative-Serving-Namespace": "ns", "Knative-Serving-Revision": revision}}
}

// everything is a rule with all that the Gateway API knows, and something that it does not yet.
const everything = `
- name: all
  matches:
  - {path: {type: Exact, value: /a}, method: POST, headers: [{name: X-User, type: RegularExpression, value: "a+"}], queryParams: [{name: q, value: "1"}]}
  - {}
  filters:
  - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-A, value: "1"}, {name: knative-serving-revision, value: mine}], add: [{name: X-B, value: "2"}], remove: [X-C, Knative-Serving-Namespace]}}
  - {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [Server]}}
  - {type: URLRewrite, urlRewrite: {hostname: inside.example.com, path: {type: ReplaceFullPath, replaceFullPath: /in}}}
  - {type: RequestMirror, requestMirror: {backendRef: {name: shadow, port: 80}, percent: 10}}
  - {type: CORS, cors: {allowOrigins: ["https://example.com"]}}
  - {type: ExtensionRef, extensionRef: {group: example.com, kind: Limit, name: l}}
  timeouts: {request: 30s, backendRequest: 10s}
  retry: {attempts: 3}
  sessionPersistence: {sessionName: s}
  later: {field: true}
  backendRefs: [{name: mine, port: 1}]
- matches: [{path: {value: /old}}]
  filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /new}, statusCode: 301}}]
`

func TestObjects(t *testing.T) {
	for name, change := range map[string]func(*cluster.Route){
		"simple":     func(*cluster.Route) {},
		"everything": func(r *cluster.Route) { r.Rules = rules(t, everything) },
		"weights": func(r *cluster.Route) {
			r.Rules = rules(t, everything)
			r.Backends = []cluster.Backend{knative("fn-1", 90), knative("fn-2", 10)}
		},
		"another's gateway": func(r *cluster.Route) {
			r.Backends = []cluster.Backend{{Namespace: "keda", Name: "interceptor", Port: 8080, Weight: 1, Host: "fn.ns.keda"}}
			r.Rules = rules(t, `[{filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /x}}}]}, {}]`)
		},
		"plain Services": func(r *cluster.Route) {
			r.Backends = []cluster.Backend{{Namespace: "ns", Name: "a", Port: 80, Weight: 1}, {Namespace: "ns", Name: "b", Port: 80, Weight: 3}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, gatewayapi.Options{Grants: true})
			r := simple(t)
			change(&r)
			w.apply(r)
			writes := w.writes
			w.apply(r)
			if w.writes != writes {
				t.Error("applying it again writes")
			}
			golden(t, strings.ReplaceAll(name, " ", "-"), w.object("v1", "HTTPRoute", "ns", "fn"), w.object("v1beta1", "ReferenceGrant", "keda", "ns.interceptor"))
		})
	}
}

func golden(t *testing.T, name string, objects ...*unstructured.Unstructured) {
	t.Helper()
	var got []string
	for _, o := range objects {
		if o == nil {
			continue
		}
		o.SetResourceVersion("")
		o.SetManagedFields(nil)
		annotations := o.GetAnnotations()
		delete(annotations, "openfunction.io/applied-hash")
		o.SetAnnotations(annotations)
		text, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(text))
	}
	file := filepath.Join("testdata", name+".yaml")
	text := strings.Join(got, "---\n")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != text {
		t.Errorf("%s is not (go test -update writes it):\n%s", file, text)
	}
}

func TestRepaired(t *testing.T) {
	w := newWorld(t, gatewayapi.Options{})
	w.apply(simple(t))
	u := w.object("v1", "HTTPRoute", "ns", "fn")
	if err := unstructured.SetNestedStringSlice(u.Object, []string{"elsewhere.example.com"}, "spec", "hostnames"); err != nil {
		t.Fatal(err)
	}
	if err := w.Update(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	w.apply(simple(t))
	if hosts, _, _ := unstructured.NestedStringSlice(w.object("v1", "HTTPRoute", "ns", "fn").Object, "spec", "hostnames"); len(hosts) != 2 {
		t.Errorf("hosts are %v", hosts)
	}
}

func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*cluster.Route)
		reason string
		says   string
	}{
		"a name taken": {func(r *cluster.Route) { r.Owner = owner("2") }, "NameTaken", "HTTPRoute ns/fn"},
		"a host that the engine does not know": {func(r *cluster.Route) {
			r.Backends[0].Host = "known"
			r.Rules = rules(t, `[{}, {filters: [{type: URLRewrite, urlRewrite: {hostname: mine}}]}]`)
		}, "InvalidRules", `rules[1]: urlRewrite.hostname cannot be "mine"`},
		"several of them": {func(r *cluster.Route) {
			r.Backends = []cluster.Backend{{Namespace: "ns", Name: "a", Host: "a", Weight: 1}, {Namespace: "ns", Name: "b", Host: "b", Weight: 1}}
			r.Rules = rules(t, `[{filters: [{type: URLRewrite, urlRewrite: {hostname: mine}}]}]`)
		}, "InvalidRules", `rules[0]: urlRewrite.hostname cannot be "mine"`},
		"filters of another kind": {func(r *cluster.Route) { r.Rules = rules(t, `[{filters: {}}]`) }, "InvalidRules", "rules[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, gatewayapi.Options{})
			w.apply(simple(t))
			before := w.object("v1", "HTTPRoute", "ns", "fn").GetResourceVersion()
			r := simple(t)
			test.change(&r)
			_, err := w.router.Apply(t.Context(), r)
			if wrong := (*cluster.Refused)(nil); !errors.As(err, &wrong) || wrong.Reason != test.reason || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %s that says %q", err, test.reason, test.says)
			}
			if w.object("v1", "HTTPRoute", "ns", "fn").GetResourceVersion() != before {
				t.Error("the route was changed")
			}
		})
	}
}

func TestRemove(t *testing.T) {
	w := newWorld(t, gatewayapi.Options{})
	w.apply(simple(t))
	if err := w.router.Remove(t.Context(), "ns", "fn", owner("2")); err != nil || w.object("v1", "HTTPRoute", "ns", "fn") == nil {
		t.Fatal("another's route is gone", err)
	}
	for range 2 {
		if err := w.router.Remove(t.Context(), "ns", "fn", owner("1")); err != nil || w.object("v1", "HTTPRoute", "ns", "fn") != nil {
			t.Fatal("the route is there", err)
		}
	}
}

// Functions of a namespace share the grant for a Service elsewhere, until none of them needs it.
func TestGrants(t *testing.T) {
	w := newWorld(t, gatewayapi.Options{Grants: true})
	there := func() bool { return w.object("v1beta1", "ReferenceGrant", "keda", "ns.interceptor") != nil }
	abroad := func(name string) cluster.Route {
		r := simple(t)
		r.Name, r.Owner = name, owner(name)
		r.Backends = []cluster.Backend{{Namespace: "keda", Name: "interceptor", Port: 8080, Weight: 1}}
		return r
	}
	w.apply(abroad("a"))
	w.apply(abroad("b"))
	g := w.object("v1beta1", "ReferenceGrant", "keda", "ns.interceptor")
	if g == nil {
		t.Fatal("there is no grant")
	}
	g.Object["spec"] = map[string]any{"from": []any{}, "to": []any{}}
	if err := w.Update(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	w.apply(abroad("b"))
	if to, _, _ := unstructured.NestedSlice(w.object("v1beta1", "ReferenceGrant", "keda", "ns.interceptor").Object, "spec", "to"); len(to) != 1 {
		t.Errorf("the grant is for %v", to)
	}
	if err := w.router.Remove(t.Context(), "ns", "a", owner("a")); err != nil || !there() {
		t.Fatal("the grant is gone although another function needs it", err)
	}
	home := abroad("b")
	home.Backends = []cluster.Backend{knative("b-1", 1)}
	w.apply(home)
	if there() {
		t.Fatal("the grant is there although no function needs it")
	}
	w.apply(abroad("b"))
	if err := w.router.Gone(t.Context(), "ns", "b"); err != nil || there() {
		t.Fatal("the grant is there although the function is gone", err)
	}
	allowed := newWorld(t, gatewayapi.Options{})
	allowed.apply(abroad("a"))
	if allowed.object("v1beta1", "ReferenceGrant", "keda", "ns.interceptor") != nil {
		t.Error("there is a grant, which must not be made")
	}
}

func TestStatus(t *testing.T) {
	const seen = `{type: Accepted, status: "True", reason: Accepted, observedGeneration: 2, lastTransitionTime: "2026-01-01T00:00:00Z"}`
	for name, test := range map[string]struct {
		parents string
		routed  metav1.ConditionStatus
		reason  string
		says    string
	}{
		"nobody":            {`[]`, "Unknown", "Waiting", "Gateway infra/gw"},
		"another gateway's": {`[{parentRef: {name: gw}, controllerName: c, conditions: [` + seen + `]}]`, "Unknown", "Waiting", ""},
		"accepted":          {`[{parentRef: {name: gw, namespace: infra}, controllerName: c, conditions: [` + seen + `, {type: ResolvedRefs, status: "True", reason: ResolvedRefs, observedGeneration: 2}]}]`, "True", "Routed", ""},
		"before the change": {`[{parentRef: {name: gw, namespace: infra}, controllerName: c, conditions: [{type: Accepted, status: "False", reason: X, observedGeneration: 1}]}]`, "Unknown", "Reconciling", "c has not seen"},
		"refused": {`[{parentRef: {name: gw, namespace: infra}, controllerName: c, conditions: [{type: Accepted, status: "False", reason: NotAllowedByListeners, message: not from ns, observedGeneration: 2}]}]`,
			"False", "NotAllowedByListeners", "c says of HTTPRoute ns/fn: Accepted=False: not from ns"},
		"no backend": {`[{parentRef: {name: gw, namespace: infra}, controllerName: c, conditions: [` + seen + `, {type: ResolvedRefs, status: "False", reason: BackendNotFound, message: no fn-1, observedGeneration: 2}]}]`, "False", "BackendNotFound", "no fn-1"},
		"in part": {`[{parentRef: {name: gw, namespace: infra}, controllerName: c, conditions: [` + seen + `, {type: ResolvedRefs, status: "True", observedGeneration: 2}, {type: PartiallyInvalid, status: "True", reason: UnsupportedValue, message: no CORS, observedGeneration: 2}]}]`,
			"False", "UnsupportedValue", "no CORS"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, gatewayapi.Options{})
			w.apply(simple(t))
			u := w.object("v1", "HTTPRoute", "ns", "fn")
			var parents []any
			if err := yaml.Unmarshal([]byte(test.parents), &parents); err != nil {
				t.Fatal(err)
			}
			u.SetGeneration(2)
			u.Object["status"] = map[string]any{"parents": parents}
			if err := w.Update(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			st := w.apply(simple(t))
			if st.Routed != test.routed || st.Reason != test.reason || !strings.Contains(st.Message, test.says) {
				t.Errorf("got %+v", st)
			}
		})
	}
}
