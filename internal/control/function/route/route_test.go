package route_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/openfunction/ofn/api/core/v1beta2"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/controltest"
	phase "github.com/openfunction/ofn/internal/control/function/route"
	"github.com/openfunction/ofn/internal/route"
)

// router remembers what is in effect.
type router struct {
	routes map[route.Key]route.Route
	refuse error
}

func (r *router) Set(next route.Route) error {
	if r.refuse != nil {
		return r.refuse
	}
	r.routes[next.Key] = next
	return nil
}

func (r *router) Delete(k route.Key) error { delete(r.routes, k); return nil }

type world struct {
	t  *testing.T
	c  *controltest.Client
	r  *router
	fn *v1beta2.Function
	p  *phase.Phase
}

var key = route.Key{Namespace: "ns", Name: "fn"}

func gateway() *networking.Gateway {
	return &networking.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: "openfunction", Name: "openfunction"}, Spec: networking.GatewaySpec{Domain: "example.com"}}
}

func newWorld(t *testing.T, g *networking.Gateway, port int) *world {
	c := controltest.New(t)
	if g != nil {
		c = controltest.New(t, g)
	}
	w := &world{t: t, c: c, r: &router{routes: map[route.Key]route.Route{}}}
	w.p = phase.New(c, w.r, phase.Options{Port: port})
	w.fn = &v1beta2.Function{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn", Generation: 1},
		Spec:       v1beta2.FunctionSpec{Serving: &v1beta2.FunctionServing{ServingTemplate: v1beta2.ServingTemplate{Triggers: &v1beta2.Triggers{HTTP: &v1beta2.HTTPTrigger{}}}}},
		Status: v1beta2.FunctionStatus{LatestReadyRevision: "fn-00001", LatestCreatedRevision: "fn-00001",
			Traffic: []v1beta2.TrafficStatus{{RevisionName: "fn-00001", LatestRevision: true, Percent: 100}}},
	}
	return w
}

func (w *world) reconcile() {
	w.t.Helper()
	if _, err := w.p.Reconcile(context.Background(), w.fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) routed(status metav1.ConditionStatus, reason, message string) {
	w.t.Helper()
	c := condition.Get(w.fn.Status.Conditions, v1beta2.ConditionRouted)
	if c == nil || c.Status != status || c.Reason != reason || !strings.Contains(c.Message, message) {
		w.t.Fatalf("Routed is %+v, want %s %s %q", c, status, reason, message)
	}
}

func (w *world) addresses() []string {
	var out []string
	for _, a := range w.fn.Status.Addresses {
		out = append(out, a.Type+" "+a.Value)
	}
	return out
}

func prefixes(paths ...string) []route.Rule {
	var r route.Rule
	for _, p := range paths {
		r.Matches = append(r.Matches, route.Match{Path: route.PathMatch{Type: "PathPrefix", Value: p}})
	}
	return []route.Rule{r}
}

func TestNames(t *testing.T) {
	shared := &v1beta2.Route{Hostnames: []v1beta2.Hostname{"Shop.example.org", "*.wild.org"}}
	for name, test := range map[string]struct {
		gateway   func(*networking.GatewaySpec)
		route     *v1beta2.Route
		port      int
		hosts     []string
		paths     []string
		addresses []string
	}{
		"templates": {nil, nil, 80, []string{"fn.ns.example.com", "fn.ns.svc.cluster.local"}, []string{"/"},
			[]string{"External http://fn.ns.example.com/", "Internal http://fn.ns.svc.cluster.local/"}},
		"port": {nil, nil, 8080, []string{"fn.ns.example.com", "fn.ns.svc.cluster.local"}, []string{"/"},
			[]string{"External http://fn.ns.example.com:8080/", "Internal http://fn.ns.svc.cluster.local:8080/"}},
		"own templates and domain": {func(g *networking.GatewaySpec) {
			g.HostTemplate, g.ClusterDomain = "{{.Namespace}}-{{.Name}}.F.{{.Domain}}", "corp"
		}, nil, 0, []string{"ns-fn.f.example.com", "fn.ns.svc.corp"}, []string{"/"},
			[]string{"External http://ns-fn.f.example.com/", "Internal http://fn.ns.svc.corp/"}},
		"the user's hosts": {nil, shared, 0, []string{"shop.example.org", "*.wild.org", "fn.ns.svc.cluster.local"}, []string{"/ns/fn"},
			[]string{"External http://shop.example.org/ns/fn", "Internal http://fn.ns.svc.cluster.local/ns/fn"}},
		"the user's hosts, own path": {func(g *networking.GatewaySpec) { g.PathTemplate = "/v/{{.Name}}" }, shared, 0,
			[]string{"shop.example.org", "*.wild.org", "fn.ns.svc.cluster.local"}, []string{"/v/fn"},
			[]string{"External http://shop.example.org/v/fn", "Internal http://fn.ns.svc.cluster.local/v/fn"}},
		"internal only": {func(g *networking.GatewaySpec) { g.HostTemplate = "{{.Name}}.{{.Namespace}}.svc.cluster.local" }, nil, 0,
			[]string{"fn.ns.svc.cluster.local"}, []string{"/"}, []string{"Internal http://fn.ns.svc.cluster.local/"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := gateway()
			if test.gateway != nil {
				test.gateway(&g.Spec)
			}
			w := newWorld(t, g, test.port)
			w.fn.Spec.Serving.Triggers.HTTP.Route = test.route
			w.reconcile()
			w.routed("True", "Routed", "")
			want := route.Route{Key: key, Hosts: test.hosts, Rules: prefixes(test.paths...), Backends: []route.Backend{{Revision: "fn-00001", Weight: 100}}}
			if got := w.r.routes[key]; !reflect.DeepEqual(got, want) {
				t.Errorf("route is\n%+v, want\n%+v", got, want)
			}
			if got := w.addresses(); !slices.Equal(got, test.addresses) {
				t.Errorf("addresses are %q", got)
			}
			if s := w.fn.Status.Route; len(s.Hosts) != len(test.hosts) || s.Paths[0].Value != test.paths[0] || s.Conditions[0].Type != "Accepted" {
				t.Errorf("status of the route is %+v", s)
			}
			before := w.fn.Status.DeepCopy()
			w.reconcile()
			if !reflect.DeepEqual(*before, w.fn.Status) {
				t.Error("does not come to rest")
			}
		})
	}
}

// Each case is a rule of an HTTPRoute and what the router is given, or the message.
func TestRules(t *testing.T) {
	every := []route.Match{{Path: route.PathMatch{Type: "PathPrefix", Value: "/"}}}
	for rule, want := range map[string]any{
		`{}`: route.Rule{Matches: every},
		`{"matches": [{"path": {"type": "Exact", "value": "/a"}, "method": "GET", "headers": [{"name": "X", "value": "1"}], "queryParams": [{"type": "RegularExpression", "name": "q", "value": "b+"}]}, {"headers": [{"type": "RegularExpression", "name": "Y", "value": ".*"}]}]}`: route.Rule{Matches: []route.Match{
			{Path: route.PathMatch{Type: "Exact", Value: "/a"}, Method: "GET", Headers: []route.ValueMatch{{Type: "Exact", Name: "X", Value: "1"}}, Query: []route.ValueMatch{{Type: "RegularExpression", Name: "q", Value: "b+"}}},
			{Path: route.PathMatch{Type: "PathPrefix", Value: "/"}, Headers: []route.ValueMatch{{Type: "RegularExpression", Name: "Y", Value: ".*"}}}}},
		`{"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "1"}], "add": [{"name": "b", "value": "2"}], "remove": ["c"]}}]}`: route.Rule{Matches: every,
			Filters: []route.Filter{{RequestHeaders: &route.HeaderFilter{Set: []route.Header{{Name: "a", Value: "1"}}, Add: []route.Header{{Name: "b", Value: "2"}}, Remove: []string{"c"}}}}},
		`{"filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["c"]}}]}`: route.Rule{Matches: every,
			Filters: []route.Filter{{ResponseHeaders: &route.HeaderFilter{Remove: []string{"c"}}}}},
		`{"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "hostname": "h", "port": 444, "path": {"type": "ReplaceFullPath", "replaceFullPath": "/x"}}}]}`: route.Rule{Matches: every,
			Filters: []route.Filter{{Redirect: &route.Redirect{Scheme: "https", Hostname: "h", Port: 444, Status: 302, Path: &route.PathModifier{Type: "ReplaceFullPath", Value: "/x"}}}}},
		`{"filters": [{"type": "URLRewrite", "urlRewrite": {"hostname": "h", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/y"}}}]}`: route.Rule{Matches: every,
			Filters: []route.Filter{{Rewrite: &route.Rewrite{Hostname: "h", Path: &route.PathModifier{Type: "ReplacePrefixMatch", Value: "/y"}}}}},
		`{"filters": [{"type": "URLRewrite", "urlRewrite": {}}]}`:       route.Rule{Matches: every, Filters: []route.Filter{{Rewrite: &route.Rewrite{}}}},
		`{"timeouts": {"request": "3s"}}`:                               route.Rule{Matches: every, Timeout: 3 * time.Second},
		`{"timeouts": {"request": "3s", "backendRequest": "1s"}}`:       route.Rule{Matches: every, Timeout: time.Second},
		`{"timeouts": {"backendRequest": "2s"}}`:                        route.Rule{Matches: every, Timeout: 2 * time.Second},
		`{"timeouts": {"request": "soon"}}`:                             `rules[0]: timeouts.request`,
		`{"filters": [{"type": "RequestMirror", "requestMirror": {}}]}`: `rules[0]: filters[0]: a filter of type "RequestMirror" is not supported here; supported: RequestHeaderModifier, ResponseHeaderModifier, RequestRedirect, URLRewrite`,
		`{"filters": [{"type": "URLRewrite"}]}`:                         `rules[0]: filters[0]: a filter of type "URLRewrite" has no settings`,
		`{"matches": 1}`:                                                `reading rules[0]`,
	} {
		t.Run(rule, func(t *testing.T) {
			w := newWorld(t, gateway(), 0)
			r := &v1beta2.Route{}
			if err := json.Unmarshal([]byte(`{"rules": [`+rule+`]}`), r); err != nil {
				t.Fatal(err)
			}
			w.fn.Spec.Serving.Triggers.HTTP.Route = r
			w.reconcile()
			switch want := want.(type) {
			case string:
				w.routed("False", "InvalidRules", want)
			case route.Rule:
				w.routed("True", "Routed", "")
				if got := w.r.routes[key].Rules; !reflect.DeepEqual(got, []route.Rule{want}) {
					t.Errorf("rules are\n%+v, want\n%+v", got, want)
				}
			}
		})
	}
}

func TestTrafficAndTags(t *testing.T) {
	w := newWorld(t, gateway(), 8080)
	w.fn.Spec.Serving.Triggers.HTTP.Route = &v1beta2.Route{Hostnames: []v1beta2.Hostname{"*.wild.org", "a.org"}}
	w.fn.Status.Traffic = []v1beta2.TrafficStatus{{RevisionName: "fn-00001", Percent: 90}, {RevisionName: "fn-00002", Percent: 10, Tag: "next"}, {RevisionName: "fn-00000", Tag: "old"}}
	w.reconcile()
	got := w.r.routes[key]
	if want := []route.Backend{{Revision: "fn-00001", Weight: 90}, {Revision: "fn-00002", Weight: 10}}; !reflect.DeepEqual(got.Backends, want) {
		t.Errorf("backends are %+v", got.Backends)
	}
	want := []route.Tag{
		{Name: "next", Revision: "fn-00002", Hosts: []string{"next-a.org", "next-fn.ns.svc.cluster.local"}},
		{Name: "old", Revision: "fn-00000", Hosts: []string{"old-a.org", "old-fn.ns.svc.cluster.local"}},
	}
	if !reflect.DeepEqual(got.Tags, want) {
		t.Errorf("tags are %+v", got.Tags)
	}
	if s := w.fn.Status.Traffic; s[0].URL != "" || s[1].URL != "http://next-a.org:8080/" || s[2].URL != "http://old-a.org:8080/" {
		t.Errorf("traffic is %+v", s)
	}
}

func TestPaths(t *testing.T) {
	w := newWorld(t, gateway(), 0)
	r := &v1beta2.Route{}
	if err := json.Unmarshal([]byte(`{"rules": [{"matches": [{"path": {"value": "/a"}}, {"path": {"value": "/a"}, "method": "PUT"}, {"path": {"type": "RegularExpression", "value": "/b.*"}}]}]}`), r); err != nil {
		t.Fatal(err)
	}
	w.fn.Spec.Serving.Triggers.HTTP.Route = r
	w.reconcile()
	if want := []string{"External http://fn.ns.example.com/a", "Internal http://fn.ns.svc.cluster.local/a"}; !slices.Equal(w.addresses(), want) {
		t.Errorf("addresses are %q", w.addresses())
	}
}

func TestGateway(t *testing.T) {
	w := newWorld(t, nil, 0)
	w.reconcile()
	w.routed("False", "GatewayNotFound", `create it, or name another in serving.triggers.http.route.gatewayRef`)
	if len(w.r.routes) != 0 {
		t.Error("routed without a gateway")
	}
	for template, message := range map[string]string{"{{.Nom}}": "hostTemplate", "{{": "hostTemplate", "a b.{{.Domain}}": `"a b.example.com", which is no host name`} {
		g := gateway()
		g.Spec.HostTemplate = template
		w = newWorld(t, g, 0)
		w.reconcile()
		w.routed("False", "InvalidGateway", message)
	}
	g := gateway()
	g.Spec.PathTemplate = "{{.Nom}}"
	w = newWorld(t, g, 0)
	w.fn.Spec.Serving.Triggers.HTTP.Route = &v1beta2.Route{Hostnames: []v1beta2.Hostname{"a.org"}}
	w.reconcile()
	w.routed("False", "InvalidGateway", "pathTemplate")
	g = gateway()
	g.Namespace, g.Name = "other", "gate"
	w = newWorld(t, g, 0)
	w.fn.Spec.Serving.Triggers.HTTP.Route = &v1beta2.Route{GatewayRef: &v1beta2.GatewayRef{Namespace: "other", Name: "gate"}}
	w.reconcile()
	w.routed("True", "Routed", "")
}

// What is routed stays routed when the gateway goes, or the router refuses what comes next.
func TestKeepsTheRoute(t *testing.T) {
	w := newWorld(t, gateway(), 0)
	w.reconcile()
	before := w.r.routes[key]
	w.r.refuse = errors.New("no such expression")
	w.fn.Status.Traffic = nil
	w.reconcile()
	w.routed("False", "RouteRejected", "no such expression")
	w.r.refuse = nil
	if err := w.c.Raw.Delete(context.Background(), gateway()); err != nil {
		t.Fatal(err)
	}
	w.reconcile()
	w.routed("False", "GatewayNotFound", "")
	if !reflect.DeepEqual(w.r.routes[key], before) || len(w.fn.Status.Addresses) != 2 {
		t.Error("the route is gone")
	}
}

func TestNoReadyRevision(t *testing.T) {
	w := newWorld(t, gateway(), 0)
	w.fn.Status.LatestReadyRevision = ""
	w.reconcile()
	w.routed("Unknown", "NoReadyRevision", "")
	if len(w.r.routes[key].Backends) != 1 {
		t.Error("the first requests have nothing to wait for")
	}
}

// OpenFunction left the route of a function whose http trigger was taken away.
func TestTriggerRemoved(t *testing.T) {
	for name, remove := range map[string]func(*v1beta2.Function){
		"http":     func(f *v1beta2.Function) { f.Spec.Serving.Triggers.HTTP = nil },
		"triggers": func(f *v1beta2.Function) { f.Spec.Serving.Triggers = nil },
		"serving":  func(f *v1beta2.Function) { f.Spec.Serving = nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, gateway(), 0)
			w.reconcile()
			remove(w.fn)
			w.reconcile()
			s := w.fn.Status
			if len(w.r.routes) != 0 || s.Route != nil || s.Addresses != nil || condition.Get(s.Conditions, v1beta2.ConditionRouted) != nil {
				t.Errorf("routes %v, status %+v", w.r.routes, s)
			}
		})
	}
}

func TestGone(t *testing.T) {
	w := newWorld(t, gateway(), 0)
	w.reconcile()
	if err := w.p.Gone(context.Background(), "ns", "fn"); err != nil || len(w.r.routes) != 0 {
		t.Errorf("routes %v, error %v", w.r.routes, err)
	}
}

// A function of a group is called at its own path, whatever the path of the request.
func TestShared(t *testing.T) {
	w := newWorld(t, gateway(), 80)
	w.fn.Status.Shared = &v1beta2.SharedStatus{Leader: "other", Path: "/sell"}
	w.reconcile()
	rules := w.r.routes[key].Rules
	if len(rules) != 1 || len(rules[0].Filters) != 1 || *rules[0].Filters[0].Rewrite.Path != (route.PathModifier{Type: "ReplaceFullPath", Value: "/sell"}) {
		t.Errorf("rules are %+v", rules)
	}
}
