package v1alpha1_test

import (
	"encoding/json"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/networking/v1alpha1"
)

func TestDefault(t *testing.T) {
	g := read(t, `
metadata: {name: openfunction, namespace: openfunction}
spec:
  domain: ofn.io
  gatewayDef: {namespace: projectcontour, gatewayClassName: contour}
  gatewaySpec:
    listeners:
    - {name: ofn-http-external, hostname: "*.other.io", port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}`)
	if err := g.Default(); err != nil {
		t.Fatal(err)
	}
	applied := g.Annotations[v1alpha1.AnnotationLastApplied]
	delete(g.Annotations, v1alpha1.AnnotationLastApplied)
	want := read(t, `
metadata: {name: openfunction, namespace: openfunction}
spec:
  domain: ofn.io
  clusterDomain: cluster.local
  hostTemplate: "{{.Name}}.{{.Namespace}}.{{.Domain}}"
  pathTemplate: "{{.Namespace}}/{{.Name}}"
  httpRouteLabelKey: app.kubernetes.io/managed-by
  gatewayDef: {name: openfunction, namespace: projectcontour, gatewayClassName: contour}
  gatewaySpec:
    listeners:
    - {name: ofn-http-external, hostname: "*.ofn.io", port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
    - {name: ofn-http-internal, hostname: "*.cluster.local", port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}`)
	if a, b := text(t, g.Spec), text(t, want.Spec); a != b {
		t.Errorf("got\n%s\nwant\n%s", a, b)
	}
	if applied != text(t, want.Spec) {
		t.Errorf("annotation %s", applied)
	}
	g.Annotations[v1alpha1.AnnotationLastApplied] = "mine"
	if err := g.Default(); err != nil || text(t, g.Spec) != text(t, want.Spec) || g.Annotations[v1alpha1.AnnotationLastApplied] != "mine" {
		t.Errorf("a second call made %v and %s, %v", g.Annotations, text(t, g.Spec), err)
	}
}

func TestInternalListenerIsForced(t *testing.T) {
	g := read(t, `{spec: {domain: d, clusterDomain: k8s.local, gatewaySpec: {listeners: [{name: ofn-http-internal, hostname: x, port: 81, protocol: TCP}]}}}`)
	if err := g.Default(); err != nil {
		t.Fatal(err)
	}
	l := g.Spec.GatewaySpec.Listeners
	if len(l) != 1 || *l[0].Hostname != "*.k8s.local" || l[0].Port != 80 || l[0].Protocol != "HTTP" || l[0].AllowedRoutes == nil {
		t.Errorf("%s", text(t, l))
	}
}

func TestValidate(t *testing.T) {
	const ref = `gatewayRef: {name: a, namespace: b}, `
	const listeners = `gatewaySpec: {listeners: [{name: ext, port: 80, protocol: HTTP}]}`
	for _, test := range []struct{ spec, want string }{
		{`domain: d, ` + ref + listeners, ``},
		{ref + listeners, `spec.domain`},
		{`domain: d, ` + listeners, `spec`},
		{`domain: d, gatewayDef: {namespace: n, gatewayClassName: c}, ` + ref + listeners, `spec.gatewayDef`},
		{`domain: d, ` + ref + `gatewaySpec: {listeners: []}`, `spec.gatewaySpec.listeners`},
		{`domain: d, ` + ref + `gatewaySpec: {listeners: [{name: ofn-http-internal, port: 80, protocol: HTTP}]}`, `spec.gatewaySpec.listeners`},
		{`domain: d, hostTemplate: "{{.Name", ` + ref + listeners, `spec.hostTemplate`},
		{`domain: d, hostTemplate: "{{.Nam}}", ` + ref + listeners, `spec.hostTemplate`},
		{`domain: d, hostTemplate: "{{range 9999999999}}{{end}}", ` + ref + listeners, `spec.hostTemplate`},
		{`domain: d, hostTemplate: "{{if .Name}}{{template \"x\"}}{{end}}{{define \"x\"}}{{end}}", ` + ref + listeners, `spec.hostTemplate`},
		{`domain: d, pathTemplate: "{{.Domain}}", ` + ref + listeners, `spec.pathTemplate`},
		{`domain: d, pathTemplate: "` + strings.Repeat("a", 1025) + `", ` + ref + listeners, `spec.pathTemplate`},
	} {
		g := read(t, "{spec: {"+test.spec+"}}")
		if err := g.Default(); err != nil {
			t.Fatal(err)
		}
		warnings, errs := g.Validate()
		var got []string
		for _, err := range errs {
			got = append(got, err.Field)
		}
		if a := strings.Join(got, " "); a != test.want || len(warnings) != 0 {
			t.Errorf("%.150s\ngot  %s\nwant %s\n%v %q", test.spec, a, test.want, errs.ToAggregate(), warnings)
		}
	}
}

func TestNames(t *testing.T) {
	g := &v1alpha1.Gateway{Spec: v1alpha1.GatewaySpec{Domain: "ofn.io"}}
	host, err := g.Host("f", "ns")
	if host != "f.ns.ofn.io" || err != nil {
		t.Errorf("host %q, %v", host, err)
	}
	path, err := g.Path("f", "ns")
	if path != "/ns/f" || err != nil {
		t.Errorf("path %q, %v", path, err)
	}
	if host := g.InternalHost("f", "ns"); host != "f.ns.svc.cluster.local" {
		t.Errorf("internal host %q", host)
	}
	g.Spec.PathTemplate, g.Spec.HostTemplate, g.Spec.ClusterDomain = "/x-{{.Name}}", "{{.Name}}-{{.Namespace}}.{{.Domain}}", "c"
	host, _ = g.Host("f", "ns")
	path, _ = g.Path("f", "ns")
	if host != "f-ns.ofn.io" || path != "/x-f" || g.InternalHost("f", "ns") != "f.ns.svc.c" {
		t.Errorf("%q %q", host, path)
	}
}

func TestHostThatIsNone(t *testing.T) {
	g := read(t, `{spec: {domain: "a_b", gatewayRef: {name: a, namespace: b}, gatewaySpec: {listeners: [{name: ext, port: 80, protocol: HTTP}, {name: int, port: 80, protocol: HTTP}]}}}`)
	if warnings, errs := g.Validate(); len(warnings) != 1 || len(errs) != 0 {
		t.Errorf("%q %v, want one warning", warnings, errs)
	}
}

func read(t *testing.T, manifest string) *v1alpha1.Gateway {
	t.Helper()
	g := &v1alpha1.Gateway{}
	if err := yaml.UnmarshalStrict([]byte(manifest), g); err != nil {
		t.Fatal(err)
	}
	return g
}

func text(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
