package edge

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

func newDirectory(t *testing.T, objects ...runtime.Object) *directory {
	t.Helper()
	services := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	slices := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, o := range objects {
		into := services
		if _, ok := o.(*discoveryv1.EndpointSlice); ok {
			into = slices
		}
		if err := into.Add(o); err != nil {
			t.Fatal(err)
		}
	}
	return &directory{ip: "10.123.0.1", services: corelisters.NewServiceLister(services), slices: discoverylisters.NewEndpointSliceLister(slices)}
}

func service(name string, spec corev1.ServiceSpec) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name}, Spec: spec}
}

func TestLookup(t *testing.T) {
	no, host := false, "db-0"
	d := newDirectory(t,
		service("web", corev1.ServiceSpec{ClusterIP: "10.96.0.7"}),
		service("alias", corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "web.a.svc.cluster.local"}),
		service("knative", corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: ingressHost}),
		service("loop", corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "loop.a.svc.cluster.local"}),
		service("db", corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone}),
		&discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "db-1", Labels: map[string]string{discoveryv1.LabelServiceName: "db"}},
			Endpoints: []discoveryv1.Endpoint{
				{Addresses: []string{"10.244.0.2"}, Hostname: &host},
				{Addresses: []string{"10.244.0.3"}, Conditions: discoveryv1.EndpointConditions{Ready: &no}},
			},
		})
	for _, c := range []struct {
		name  string
		ips   []string
		found bool
	}{
		{"WEB.a.svc.cluster.local.", []string{"10.96.0.7"}, true},
		{"knative.a.svc.cluster.local.", []string{"10.123.0.1"}, true},
		{"alias.a.svc.cluster.local.", []string{"10.96.0.7"}, true},
		{"loop.a.svc.cluster.local.", nil, false},
		{"db.a.svc.cluster.local.", []string{"10.244.0.2"}, true},
		{"db-0.db.a.svc.cluster.local.", []string{"10.244.0.2"}, true},
		{"db-1.db.a.svc.cluster.local.", nil, false},
		{"web.b.svc.cluster.local.", nil, false},
		{"example.org.", nil, false},
		{"svc.cluster.local.", nil, false},
	} {
		if ips, found := d.lookup(c.name); !slices.Equal(ips, c.ips) || found != c.found {
			t.Errorf("%s: got %v, %v; want %v, %v", c.name, ips, found, c.ips, c.found)
		}
	}
}

func ingressObject(paths ...any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": "f", "namespace": "a", "generation": int64(2)},
		"spec":     map[string]any{"rules": []any{map[string]any{"hosts": []any{"f.test"}, "http": map[string]any{"paths": paths}}}},
		"status":   map[string]any{"observedGeneration": int64(2)},
	}}
}

func split100(service string) []any {
	return []any{map[string]any{"serviceName": service, "serviceNamespace": "a", "servicePort": int64(80), "percent": int64(100)}}
}

func TestTheMostSpecificRouteIsTaken(t *testing.T) {
	g := &ingress{log: slog.New(slog.DiscardHandler)}
	g.take(t.Context(), []runtime.Object{ingressObject(
		map[string]any{"splits": split100("all")},
		map[string]any{"path": "/deep", "splits": split100("deep")},
		map[string]any{"headers": map[string]any{"X-Tag": map[string]any{"exact": "v1"}}, "splits": split100("tagged")},
	)})
	for _, c := range []struct{ host, path, tag, want string }{
		{"f.test", "/", "", "all"},
		{"f.test:80", "/deep/er", "", "deep"},
		{"f.test", "/deep", "v1", "tagged"},
		{"f.test", "/", "v2", "all"},
		{"other.test", "/", "", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://"+c.host+c.path, nil)
		r.Header.Set("X-Tag", c.tag)
		route, found := g.find(r)
		got := ""
		if found {
			got = route.pick(0).Service
		}
		if got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}

func TestPickFollowsThePercentages(t *testing.T) {
	r := route{Splits: []split{{Service: "a", Percent: 90}, {Service: "b", Percent: 10}}}
	for n, want := range map[int]string{0: "a", 89: "a", 90: "b", 99: "b"} {
		if got := r.pick(n).Service; got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}
