package expose_test

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/engines"
	"github.com/openfunction/ofn/internal/control/function/expose"
	route "github.com/openfunction/ofn/internal/route/cluster"
	run "github.com/openfunction/ofn/internal/run/cluster"
)

// router remembers what is in effect.
type router struct {
	routes map[string]route.Route
	status route.Status
	refuse error
	gone   []string
}

func (r *router) Apply(_ context.Context, next route.Route) (route.Status, error) {
	if r.refuse != nil {
		return route.Status{}, r.refuse
	}
	r.routes[next.Namespace+"/"+next.Name] = next
	return r.status, nil
}

func (r *router) Remove(_ context.Context, namespace, name string, _ metav1.OwnerReference) error {
	delete(r.routes, namespace+"/"+name)
	return nil
}

func (r *router) Gone(_ context.Context, namespace, name string) error {
	r.gone = append(r.gone, namespace+"/"+name)
	return nil
}

type world struct {
	*testing.T
	r       *router
	fn      *v1beta2.Function
	has     run.Status
	gateway *networking.Gateway // nil is none
	lacking bool                // the Gateway API
	// listeners are those of the Gateway of the Gateway API; empty is no such Gateway.
	listeners  string
	said       string // of the listeners, by the implementation
	namespaces []string
	parents    []string
}

func newWorld(t *testing.T, text string) *world {
	w := &world{T: t, r: &router{routes: map[string]route.Route{}, status: route.Status{Routed: "True", Reason: "Routed",
		Conditions: []metav1.Condition{{Type: "Accepted", Status: "True", Reason: "Accepted"}}}}}
	w.fn = &v1beta2.Function{}
	if err := yaml.Unmarshal([]byte("metadata: {namespace: ns, name: fn, uid: u, generation: 1}\nspec: {serving: {triggers: {http: {}}}}\nstatus: {latestReadyRevision: fn-1}"), w.fn); err != nil {
		t.Fatal(err)
	}
	if text != "" {
		r := &v1beta2.Route{}
		if err := yaml.UnmarshalStrict([]byte(text), r); err != nil {
			t.Fatal(err)
		}
		w.fn.Spec.Serving.Triggers.HTTP.Route = r
	}
	w.fn.Status.Addresses = []v1beta2.FunctionAddress{{Type: "External", Value: "http://fn.ns.knative"}, {Type: "Internal", Value: "http://fn.ns.svc.cluster.local/"}}
	w.has = run.Status{Routed: run.Condition{Status: "True", Reason: "Engine"}, Backends: []run.Backend{{Namespace: "ns", Name: "fn-1", Port: 80, Weight: 100, Host: "h", Headers: map[string]string{"a": "b"}}}}
	w.gateway = &networking.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: "openfunction", Name: "openfunction"}, Spec: networking.GatewaySpec{Domain: "example.com",
		GatewayDef: &networking.GatewayDef{Namespace: "infra", GatewayClassName: "c"}, GatewaySpec: networking.ListenerSet{Listeners: []networking.Listener{{Name: "http", Port: 80, Protocol: "HTTP"}}}}}
	w.listeners = `[{name: http, hostname: "*.example.com", port: 80, protocol: HTTP}, {name: internal, hostname: "*.cluster.local", port: 80, protocol: HTTP}, {name: raw, port: 9, protocol: TCP}]`
	return w
}

func (w *world) exposer() *expose.Exposer {
	scheme := controltest.Scheme(w)
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		w.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme)
	if !w.lacking {
		for _, k := range engines.GatewayAPI().Kinds {
			c = c.WithObjects(&apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: k.Plural + "." + k.Group},
				Spec:   apiextensionsv1.CustomResourceDefinitionSpec{Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: k.Version, Served: true}}},
				Status: apiextensionsv1.CustomResourceDefinitionStatus{Conditions: []apiextensionsv1.CustomResourceDefinitionCondition{{Type: "Established", Status: "True"}}}})
		}
	}
	if w.gateway != nil {
		c = c.WithObjects(w.gateway.DeepCopy())
		if w.listeners != "" {
			var listeners []any
			if err := yaml.Unmarshal([]byte(w.listeners), &listeners); err != nil {
				w.Fatal(err)
			}
			at := w.gateway.Target()
			u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "spec": map[string]any{"listeners": listeners}}}
			u.SetNamespace(at.Namespace)
			u.SetName(at.Name)
			u.SetGeneration(2)
			var said []any
			if err := yaml.Unmarshal([]byte(w.said), &said); err != nil {
				w.Fatal(err)
			}
			u.Object["status"] = map[string]any{"listeners": said}
			c = c.WithObjects(u)
		}
	}
	built := c.Build()
	return expose.New(built, expose.Options{Router: w.r, Engines: engines.NewController(built, nil, slog.New(slog.DiscardHandler)), Namespaces: w.namespaces, Parents: w.parents})
}

func (w *world) expose() run.Condition {
	w.Helper()
	got, err := w.exposer().Expose(w.Context(), w.fn, w.has)
	if err != nil {
		w.Fatal(err)
	}
	return got
}

func (w *world) expect(status metav1.ConditionStatus, reason, says string) {
	w.Helper()
	if got := w.expose(); got.Status != status || got.Reason != reason || !strings.Contains(got.Message, says) {
		w.Errorf("got %+v, want %s %s that says %q", got, status, reason, says)
	}
}

func (w *world) addresses() []string {
	var out []string
	for _, a := range w.fn.Status.Addresses {
		out = append(out, a.Type+" "+a.Value)
	}
	return out
}

func TestRoutes(t *testing.T) {
	const engine, inside = "External http://fn.ns.knative", "Internal http://fn.ns.svc.cluster.local/"
	for name, test := range map[string]struct {
		route     string
		change    func(*world)
		hosts     []string
		rules     string
		paths     []string
		addresses []string
	}{
		"by the templates": {"", nil, []string{"fn.ns.example.com", "fn.ns.svc.cluster.local"}, `[{"matches":[{"path":{"type":"PathPrefix","value":"/"}}]}]`,
			[]string{"PathPrefix /"}, []string{"External http://fn.ns.example.com/", inside}},
		"hosts of one's own": {`{hostnames: [shop.example.com, "*.all.example.com", shop.example.com]}`, nil, []string{"shop.example.com", "*.all.example.com", "fn.ns.svc.cluster.local"},
			`[{"matches":[{"path":{"type":"PathPrefix","value":"/ns/fn"}}]}]`, []string{"PathPrefix /ns/fn"}, []string{"External http://shop.example.com/ns/fn", inside}},
		"rules of one's own": {`{rules: [{name: r, retry: {attempts: 2}, matches: [{path: {value: /a}}, {path: {type: RegularExpression, value: /b.*}}]}, {}]}`, nil,
			[]string{"fn.ns.example.com", "fn.ns.svc.cluster.local"}, `[{"matches":[{"path":{"value":"/a"}},{"path":{"type":"RegularExpression","value":"/b.*"}}],"name":"r","retry":{"attempts":2}},{}]`,
			[]string{"PathPrefix /a", "RegularExpression /b.*", "PathPrefix /"}, []string{"External http://fn.ns.example.com/a", "External http://fn.ns.example.com/", inside}},
		"other templates, TLS, another port": {`{gatewayRef: {name: gate, namespace: edge}}`, func(w *world) {
			w.gateway.Namespace, w.gateway.Name = "edge", "gate"
			w.gateway.Spec.HostTemplate, w.gateway.Spec.GatewayDef, w.gateway.Spec.GatewayRef = "{{.Namespace}}-{{.Name}}.{{.Domain}}", nil, &networking.GatewayRef{Namespace: "x", Name: "y"}
			w.listeners = `[{name: a, hostname: "*.example.com", port: 8080, protocol: HTTP}, {name: b, hostname: "ns-fn.example.com", port: 8443, protocol: HTTPS}]`
		}, []string{"ns-fn.example.com"}, `[{"matches":[{"path":{"type":"PathPrefix","value":"/"}}]}]`, []string{"PathPrefix /"}, []string{"External https://ns-fn.example.com:8443/", inside}},
		"a listener for all": {`{hostnames: [far.example.org]}`, func(w *world) { w.listeners = `[{name: a, port: 443, protocol: HTTPS}]` }, []string{"far.example.org", "fn.ns.svc.cluster.local"},
			`[{"matches":[{"path":{"type":"PathPrefix","value":"/ns/fn"}}]}]`, []string{"PathPrefix /ns/fn"}, []string{"External https://far.example.org/ns/fn", inside}},
		"only a wildcard": {`{hostnames: ["*.example.com"]}`, nil, []string{"*.example.com", "fn.ns.svc.cluster.local"}, `[{"matches":[{"path":{"type":"PathPrefix","value":"/ns/fn"}}]}]`,
			[]string{"PathPrefix /ns/fn"}, []string{engine, inside}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, test.route)
			if test.change != nil {
				test.change(w)
			}
			w.expect("True", "Routed", "")
			r := w.r.routes["ns/fn"]
			rules, err := yaml.Marshal(r.Rules)
			if err != nil {
				t.Fatal(err)
			}
			if rules, err = yaml.YAMLToJSON(rules); err != nil || string(rules) != test.rules {
				t.Errorf("rules are %s (%v)", rules, err)
			}
			at := w.gateway.Target()
			if !slices.Equal(r.Hosts, test.hosts) || r.Parent != (route.Parent{Namespace: at.Namespace, Name: at.Name}) || r.Labels["app.kubernetes.io/managed-by"] != w.gateway.Namespace+"."+w.gateway.Name || r.Owner.UID != "u" {
				t.Errorf("the route is %+v", r)
			}
			if want := []route.Backend{route.Backend(w.has.Backends[0])}; !reflect.DeepEqual(r.Backends, want) {
				t.Errorf("backends are %+v", r.Backends)
			}
			if got := w.addresses(); !slices.Equal(got, test.addresses) {
				t.Errorf("addresses are %q", got)
			}
			var paths []string
			for _, p := range w.fn.Status.Route.Paths {
				paths = append(paths, p.Type+" "+p.Value)
			}
			if s := w.fn.Status.Route; !slices.Equal(paths, test.paths) || len(s.Hosts) != len(test.hosts) || s.Conditions[0].Type != "Accepted" {
				t.Errorf("the status of the route is %+v", s)
			}
		})
	}
}

// Each of these has no route, or not a good one.
func TestUnrouted(t *testing.T) {
	const asks = `{hostnames: [shop.example.com]}`
	for name, test := range map[string]struct {
		route  string
		change func(*world)
		status metav1.ConditionStatus
		reason string
		says   string
		routed bool // with the router
	}{
		"no Gateway API, and none needed": {"", func(w *world) { w.lacking = true }, "True", "Engine", "", false},
		"no Gateway API":                  {asks, func(w *world) { w.lacking = true }, "False", "EngineMissing", "kubectl apply", false},
		"no default gateway":              {"", func(w *world) { w.gateway = nil }, "True", "Engine", "", false},
		"no gateway":                      {asks, func(w *world) { w.gateway = nil }, "False", "GatewayNotFound", "serving.triggers.http.route.gatewayRef", false},
		"no gateway of that name":         {`{gatewayRef: {name: gate, namespace: edge}}`, nil, "False", "GatewayNotFound", "", false},
		"no Gateway behind it":            {asks, func(w *world) { w.listeners = "" }, "False", "GatewayNotReady", "Gateway infra/openfunction", false},
		"for the inside":                  {"", func(w *world) { w.fn.Labels = map[string]string{"networking.knative.dev/visibility": "cluster-local"} }, "True", "Engine", "", false},
		"a template that is none":         {asks, func(w *world) { w.gateway.Spec.HostTemplate = "{{.Nom}}" }, "False", "InvalidGateway", "hostTemplate", false},
		"a template that makes no name":   {"", func(w *world) { w.gateway.Spec.HostTemplate = "a b" }, "False", "InvalidGateway", `"a b", which is no host name`, false},
		"a rule that is none":             {`{rules: [{matches: 3}]}`, nil, "False", "InvalidRules", "rules[0]", false},
		"out of reach":                    {asks, func(w *world) { w.namespaces = []string{"ns"} }, "False", "GatewayOutOfReach", "it sees ns", false},
		"its Gateway is out of reach":     {asks, func(w *world) { w.namespaces = []string{"ns", "openfunction"}; w.parents = []string{"ns"} }, "False", "GatewayOutOfReach", "Gateway infra/openfunction", false},
		"nothing is ready":                {asks, func(w *world) { w.fn.Status.LatestReadyRevision = "" }, "Unknown", "NoReadyRevision", "", false},
		"no backend":                      {asks, func(w *world) { w.has.Backends = nil }, "Unknown", "NoReadyRevision", "", false},
		"no listener":                     {`{hostnames: [shop.example.org, a.example.com]}`, nil, "False", "NoMatchingListener", "no listener of Gateway infra/openfunction answers for shop.example.org: it has *.example.com, *.cluster.local", true},
		"refused by the API server":       {asks, func(w *world) { w.r.refuse = &route.Refused{Reason: "NameTaken", Err: context.Canceled} }, "False", "NameTaken", "", false},
		"refused by the implementation":   {asks, func(w *world) { w.r.status = route.Status{Routed: "False", Reason: "NotAllowed", Message: "words"} }, "False", "NotAllowed", "words", true},
		"not divided as it should be":     {asks, func(w *world) { w.has.Routed = run.Condition{Status: "False", Reason: "RevisionMissing"} }, "False", "RevisionMissing", "", true},
		"an engine that has no entry":     {asks, func(w *world) { w.has.Routed = run.Condition{Status: "Unknown", Reason: "IngressNotConfigured"} }, "True", "Routed", "", true},
		"no http trigger":                 {"", func(w *world) { w.fn.Spec.Serving.Triggers.HTTP = nil }, "True", "Engine", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, test.route)
			if test.change != nil {
				test.change(w)
			}
			w.expect(test.status, test.reason, test.says)
			if _, there := w.r.routes["ns/fn"]; there != test.routed {
				t.Errorf("routes are %v", w.r.routes)
			}
			if want := len(w.addresses()) == 2; !want {
				t.Errorf("addresses are %q", w.addresses())
			}
		})
	}
}

// A listener that the Gateway has for a host may not take routes of the function's namespace, or not listen. The one for the inside takes
// the route all the same, and its implementation is content.
func TestListenersThatDoNotAnswer(t *testing.T) {
	const inside = `{name: internal, hostname: "*.cluster.local", port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}`
	const plain, secure = "External http://fn.ns.example.com/", "External https://fn.ns.example.com/"
	for name, test := range map[string]struct {
		http, https string // allowedRoutes
		said        string
		reason      string // empty is none
		says        string
		external    string
	}{
		"all":                            {http: "{namespaces: {from: All}}", external: plain},
		"the Gateway's namespace":        {http: "{namespaces: {from: Same}}", reason: "NotAllowedByListeners", says: "listener http of Gateway infra/openfunction, which is for fn.ns.example.com"},
		"none":                           {http: "{namespaces: {from: None}}", reason: "NotAllowedByListeners"},
		"others by name":                 {http: "{namespaces: {from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: other}}}}", reason: "NotAllowedByListeners"},
		"these by name":                  {http: "{namespaces: {from: Selector, selector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [a, ns]}]}}}", external: plain},
		"by labels that cannot be seen":  {http: "{namespaces: {from: Selector, selector: {matchLabels: {team: a}}}}", external: plain},
		"a selector that is none":        {http: "{namespaces: {from: Selector, selector: {matchExpressions: [{key: a, operator: Near}]}}}", reason: "NotAllowedByListeners"},
		"other routes":                   {http: "{kinds: [{kind: GRPCRoute}]}", reason: "NotAllowedByListeners"},
		"other routes, too":              {http: "{kinds: [{kind: GRPCRoute}, {kind: HTTPRoute}]}", external: plain},
		"TLS for others":                 {http: "{namespaces: {from: All}}", https: "{namespaces: {from: Same}}", external: plain},
		"TLS":                            {http: "{namespaces: {from: All}}", https: "{namespaces: {from: All}}", external: secure},
		"TLS without certificate":        {https: "{}", said: "[{name: https, conditions: [{type: Programmed, status: 'False', reason: Invalid, message: no certificate, observedGeneration: 2}]}]", reason: "ListenerNotReady", says: "Programmed=False, Invalid: no certificate"},
		"TLS without certificate, HTTP":  {http: "{}", https: "{}", said: "[{name: https, conditions: [{type: Programmed, status: 'False', reason: Invalid, observedGeneration: 2}]}]", external: plain},
		"a port that another has":        {http: "{}", said: "[{name: http, conditions: [{type: Conflicted, status: 'True', reason: ProtocolConflict, observedGeneration: 2}]}]", reason: "ListenerNotReady"},
		"it did not listen before":       {http: "{}", said: "[{name: http, conditions: [{type: Accepted, status: 'False', reason: PortUnavailable, observedGeneration: 1}]}]", external: plain},
		"it will listen":                 {http: "{}", said: "[{name: http, conditions: [{type: Programmed, status: 'False', reason: Pending, observedGeneration: 2}]}]", external: plain},
		"another one does not listen":    {http: "{}", said: "[{name: internal, conditions: [{type: Accepted, status: 'False', reason: PortUnavailable, observedGeneration: 2}]}]", external: plain},
		"all that can be said is well":   {http: "{}", said: "[{name: http, conditions: [{type: Accepted, status: 'True', reason: Accepted, observedGeneration: 2}]}]", external: plain},
		"what was refused has no status": {http: "{namespaces: {from: Same}}", said: "[{name: http, conditions: [{type: Accepted, status: 'True', reason: Accepted, observedGeneration: 2}]}]", reason: "NotAllowedByListeners"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "{}")
			w.said = test.said
			w.listeners = "[" + inside
			if test.http != "" {
				w.listeners += `, {name: http, hostname: "*.example.com", port: 80, protocol: HTTP, allowedRoutes: ` + test.http + "}"
			}
			if test.https != "" {
				w.listeners += `, {name: https, hostname: "*.example.com", port: 443, protocol: HTTPS, allowedRoutes: ` + test.https + "}"
			}
			w.listeners += "]"
			if test.reason == "" {
				w.expect("True", "Routed", "")
			} else {
				w.expect("False", test.reason, test.says)
			}
			external := "External http://fn.ns.knative" // that of the engine
			if test.external != "" {
				external = test.external
			}
			if got := w.addresses(); got[0] != external {
				t.Errorf("addresses are %q, want %q first", got, external)
			}
			if got := w.r.routes["ns/fn"].Hosts; !slices.Equal(got, []string{"fn.ns.example.com", "fn.ns.svc.cluster.local"}) {
				t.Errorf("the route has the hosts %q", got)
			}
		})
	}
}

// What is routed stays while something is wrong with what comes next, and goes when nothing asks for it any more.
func TestKeepsAndRemoves(t *testing.T) {
	w := newWorld(t, `{hostnames: [shop.example.com]}`)
	w.expect("True", "Routed", "")
	before := w.gateway
	w.gateway = nil
	w.expect("False", "GatewayNotFound", "")
	if len(w.r.routes) != 1 || w.fn.Status.Route == nil {
		t.Error("the route is gone with the gateway")
	}
	w.fn.Spec.Serving.Triggers.HTTP.Route = nil
	w.expect("True", "Engine", "")
	if len(w.r.routes) != 0 || w.fn.Status.Route != nil {
		t.Error("the route is there although nothing asks for it")
	}
	w.gateway = before
	w.expect("True", "Routed", "")
	if err := w.exposer().Hide(t.Context(), w.fn); err != nil || len(w.r.routes) != 0 || w.fn.Status.Route != nil {
		t.Error("the route is there although it is hidden", err)
	}
	if err := w.exposer().Gone(t.Context(), "ns", "fn"); err != nil || !slices.Equal(w.r.gone, []string{"ns/fn"}) {
		t.Error("the router was not told", err)
	}
	w.lacking = true
	if err := w.exposer().Gone(t.Context(), "ns", "fn"); err != nil || len(w.r.gone) != 1 {
		t.Error("the router was asked for what the cluster does not have", err)
	}
}

func TestAMostOfHosts(t *testing.T) {
	w := newWorld(t, "{}")
	for i := range 16 {
		w.fn.Spec.Serving.Triggers.HTTP.Route.Hostnames = append(w.fn.Spec.Serving.Triggers.HTTP.Route.Hostnames, v1beta2.Hostname(string(rune('a'+i))+".example.com"))
	}
	w.expect("True", "Routed", "")
	if n := len(w.r.routes["ns/fn"].Hosts); n != 16 {
		t.Errorf("%d hosts: an HTTPRoute takes 16", n)
	}
}
