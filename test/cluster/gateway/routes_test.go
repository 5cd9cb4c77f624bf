package gateway_test

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
)

// hosts are those of the Gateway's template, and a function's own, which several may share by their paths.
func (e edge) hosts(t *testing.T) {
	n := e.of(t, "route-hosts")
	n.Apply(function("plain", "plain", ""))
	n.Apply(function("a", "a", "{hostnames: [shared.fn.example]}"))
	n.Apply(function("b", "b", "{hostnames: [shared.fn.example, b.fn.example]}"))
	for _, name := range []string{"plain", "a", "b"} {
		n.Ready("function/" + name)
	}
	n.answers("http://plain.route-hosts.fn.example/any/path", http.StatusOK, "plain /any/path ")
	n.answers("http://shared.fn.example/route-hosts/a/x", http.StatusOK, "a /route-hosts/a/x ")
	n.answers("http://shared.fn.example/route-hosts/b", http.StatusOK, "b /route-hosts/b ")
	n.answers("http://b.fn.example/route-hosts/b", http.StatusOK, "b /route-hosts/b ")
	for _, nobody := range []string{"http://a.route-hosts.fn.example/", "http://shared.fn.example/", "http://b.fn.example/route-hosts/a", "http://shared.fn.example/route-hosts/ab"} {
		n.refuses(nobody)
	}
	for name, want := range map[string]string{
		"plain": "http://plain.route-hosts.fn.example/",
		"b":     "http://shared.fn.example/route-hosts/b http://b.fn.example/route-hosts/b",
	} {
		n.field("function/"+name, `.status.addresses[?(@.type=="External")].value`, want)
	}
}

// rules go on as they were written.
func (e edge) rules(t *testing.T) {
	n := e.of(t, "route-rules")
	n.Apply(function("fn", "fn", `
          rules:
          - matches: [{path: {type: Exact, value: /exact}}, {path: {type: PathPrefix, value: /prefix}}]
          - matches: [{path: {type: PathPrefix, value: /}, headers: [{name: X-Env, value: blue}]}]
            filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: Location, value: seen}]}}]
          - matches: [{path: {type: PathPrefix, value: /q}, queryParams: [{name: v, value: "1"}]}, {path: {type: PathPrefix, value: /m}, method: POST}]
          - matches: [{path: {type: PathPrefix, value: /strip}}]
            filters:
            - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}
            - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: X-Env, value: given}]}}
          - matches: [{path: {type: PathPrefix, value: /moved}}]
            filters: [{type: RequestRedirect, requestRedirect: {hostname: new.example, statusCode: 302}}]
          - matches: [{path: {type: PathPrefix, value: /hold}}]
            timeouts: {request: 1s}`))
	n.Ready("function/fn")
	const at = "http://fn.route-rules.fn.example"
	n.answers(at+"/exact", http.StatusOK, "fn /exact ")
	n.answers(at+"/prefix/x", http.StatusOK, "fn /prefix/x ")
	n.answers(at+"/other", http.StatusOK, "fn /other blue", "X-Env", "blue")
	n.answers(at+"/q?v=1", http.StatusOK, "fn /q ")
	n.answers(at+"/strip/x", http.StatusOK, "fn /x given")
	n.answers(at+"/hold", http.StatusGatewayTimeout, "")
	for _, nobody := range []string{"/", "/exactly", "/exact/x", "/q?v=2", "/m"} {
		n.refuses(at + nobody)
	}
	if got, err := n.call(at + "/moved/x"); err != nil || got.status != http.StatusFound || got.location != "http://new.example/moved/x" {
		t.Errorf("a redirect is %s to %s, %v", got, got.location, err)
	}
	if got, err := n.call(at+"/other", "X-Env", "blue"); err != nil || got.location != "seen" {
		t.Errorf("the answer has %q as set by the rule, %v", got.location, err)
	}
}

// zero: a request waits, through the Envoy, until there is a copy.
func (e edge) zero(t *testing.T) {
	n := e.of(t, "route-zero")
	n.Apply(function("fn", "fn", ""))
	n.Ready("function/fn")
	const at = "http://fn.route-zero.fn.example/"
	n.answers(at, http.StatusOK, "fn / ")
	for range 2 {
		n.Zero("openfunction.io/function=fn")
		if got, err := n.call(at); err != nil || got.status != http.StatusOK { // one try
			t.Fatalf("from zero it answered %s, %v", got, err)
		}
	}
	n.Condition("function/fn", "Routed", "True", "Routed")
}

// traffic is divided by ofn's own gateway behind the Envoy.
func (e edge) traffic(t *testing.T) { e.divided(t, "route-traffic", "pods") }

// weights are those of the HTTPRoute, which the Envoy divides among Services of Knative's Revisions.
func (e edge) weights(t *testing.T) {
	if e.Kubectl("get", "crd", "services.serving.knative.dev", "--ignore-not-found") == "" {
		t.Skip("the cluster has no Knative Serving: cluster addons knative")
	}
	e.divided(t, "route-weights", "knative")
}

func (e edge) divided(t *testing.T, namespace, engine string) {
	n := e.of(t, namespace)
	version := func(v, traffic string) string {
		fn := strings.Replace(function("fn", v, ""), "engine: pods", "engine: "+engine, 1)
		return strings.Replace(fn, ", terminationGracePeriodSeconds: 1", "", 1) + traffic // which Knative has no field for
	}
	at := "http://fn." + namespace + ".fn.example/"
	n.Apply(version("one", ""))
	n.Ready("function/fn")
	n.answers(at, http.StatusOK, "one / ")
	n.Apply(version("two", ""))
	n.answers(at, http.StatusOK, "two / ")
	n.Ready("function/fn")
	for _, percent := range []int{30, 0, 100} {
		n.Apply(version("two", fmt.Sprintf("    traffic: [{revisionName: fn-00001, percent: %d}, {revisionName: fn-00002, percent: %d}]\n", percent, 100-percent)))
		n.Ready("function/fn")
		n.shares(at, percent)
	}
}

// shares wants, some time after a change, that of many requests the first revision gets its part, as exactly as six standard
// deviations of chance: two of a billion measurements of a right router are outside. No request may fail.
func (e edge) shares(at string, percent int) {
	e.T.Helper()
	const requests = 400
	p := float64(percent) / 100
	want, bound := p*requests, 6*math.Sqrt(requests*p*(1-p))
	e.Eventually(fmt.Sprintf("the first revision gets %d%%", percent), func() error {
		got := 0
		for range requests {
			a, err := e.call(at)
			if err != nil || a.status != http.StatusOK {
				e.T.Fatalf("while requests are divided one answered %s, %v", a, err)
			}
			if strings.HasPrefix(a.body, "one ") {
				got++
			}
		}
		if math.Abs(float64(got)-want) > bound {
			return fmt.Errorf("it got %d of %d requests", got, requests)
		}
		e.T.Logf("%d%%: %d of %d requests", percent, got, requests)
		return nil
	})
}

// inside the cluster a function has its name, at the engine and at the Gateway's internal listener; one that is for the cluster alone
// has no route.
func (e edge) inside(t *testing.T) {
	n := e.of(t, "route-inside")
	n.Apply(function("fn", "fn", ""))
	n.Apply(strings.Replace(function("local", "local", ""), "{name: local}", "{name: local, labels: {networking.knative.dev/visibility: cluster-local}}", 1))
	n.Ready("function/fn")
	n.Ready("function/local")
	n.answers("http://fn.route-inside.svc.cluster.local/", http.StatusOK, "fn / ")
	for _, name := range []string{"fn", "local"} {
		if got := n.Get(name, "/x"); got != name+" /x " {
			t.Errorf("by its name inside, %s answers %q", name, got)
		}
	}
	n.refuses("http://local.route-inside.fn.example/")
	n.refuses("http://local.route-inside.svc.cluster.local/")
	n.field("httproutes", ".items[*].metadata.name", "fn")
}

// removed are routes with their trigger, and with their function; the grant for them goes with the last.
func (e edge) removed(t *testing.T) {
	n := e.of(t, "route-removed")
	n.Apply(function("a", "a", "") + "---" + function("b", "b", ""))
	grants := func(want string) {
		t.Helper()
		n.Eventually("grants are "+want, func() error {
			if got := n.Kubectl("get", "referencegrants", "-n", n.system().Name, "-l", "openfunction.io/routes-of="+n.Name, "-o", "name"); strings.TrimPrefix(got, "referencegrant.gateway.networking.k8s.io/") != want {
				return fmt.Errorf("they are %q", got)
			}
			return nil
		})
	}
	for _, name := range []string{"a", "b"} {
		n.Ready("function/" + name)
		n.answers("http://"+name+".route-removed.fn.example/", http.StatusOK, name+" / ")
	}
	grants("route-removed.ofn-gateway")
	n.Kubectl("patch", "function/a", "--type=merge", "-p", `{"spec":{"serving":{"triggers":{"http":null,"dapr":[{"name":"ticks","type":"bindings.cron"}]}}}}`)
	n.Gone("httproutes/a")
	n.refuses("http://a.route-removed.fn.example/")
	n.answers("http://b.route-removed.fn.example/", http.StatusOK, "b / ")
	grants("route-removed.ofn-gateway")
	n.Kubectl("delete", "function/b")
	n.Gone("httproutes/b")
	n.refuses("http://b.route-removed.fn.example/")
	grants("")
}
