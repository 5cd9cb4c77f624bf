package eventing_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/eventing"
	"github.com/openfunction/ofn/internal/control/secret"
	"github.com/openfunction/ofn/internal/event"
)

func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

func resolver(t *testing.T, objects ...client.Object) (*eventing.Resolver, *controltest.Engine) {
	t.Helper()
	e := &controltest.Engine{}
	return &eventing.Resolver{Client: controltest.New(t, objects...), Engine: e}, e
}

func TestBus(t *testing.T) {
	ctx := context.Background()
	r, e := resolver(t, &events.EventBus{ObjectMeta: named("ns", "own")}, &events.ClusterEventBus{ObjectMeta: named("", "own")}, &events.ClusterEventBus{ObjectMeta: named("", "all")})
	for _, test := range []struct {
		namespace, name string
		want            event.Name
	}{{"ns", "own", event.Name{Namespace: "ns", Name: "own"}}, {"other", "own", event.Name{Name: "own"}}, {"ns", "all", event.Name{Name: "all"}}, {"ns", "", event.Name{}}} {
		if got, err := r.Bus(ctx, test.namespace, test.name); err != nil || got != test.want {
			t.Errorf("%s/%s: %v, error %v", test.namespace, test.name, got, err)
		}
	}
	if len(e.Buses) != 0 {
		t.Errorf("buses %v", e.Buses)
	}
	if got, err := r.Bus(ctx, "ns", "default"); err != nil || got != (event.Name{Name: "default"}) || e.Buses[got].Kind != "embedded" {
		t.Errorf("default: %v, error %v, buses %v", got, err, e.Buses)
	}
	var missing *eventing.MissingBus
	if _, err := r.Bus(ctx, "ns", "nowhere"); !errors.As(err, &missing) || !strings.Contains(err.Error(), `"nowhere"`) {
		t.Errorf("error is %v", err)
	}
}

func TestSink(t *testing.T) {
	r, _ := resolver(t, &v1beta2.Function{ObjectMeta: named("ns", "fn")}, &v1beta2.Function{ObjectMeta: named("other", "fn2")})
	function := func(namespace, name, path string) *event.Sink {
		return &event.Sink{Function: &event.Name{Namespace: namespace, Name: name}, Path: path}
	}
	for text, test := range map[string]struct {
		want    *event.Sink
		missing string
	}{
		`{uri: "http://a/b"}`: {&event.Sink{URI: "http://a/b"}, ""},
		`{ref: {apiVersion: core.openfunction.io/v1beta1, kind: Function, name: fn}}`:                              {function("ns", "fn", ""), ""},
		`{ref: {apiVersion: core.openfunction.io/v1beta2, kind: Function, name: fn2, namespace: other, path: /p}}`: {function("other", "fn2", "/p"), ""},
		`{ref: {kind: Function, name: away}}`:                                                                      {function("ns", "away", ""), `Function "away" is not in namespace "ns"`},
		`{ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: fn}}`:                                     {function("ns", "fn", ""), ""},
		`{ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: ksvc}}`:                                   {&event.Sink{URI: "http://ksvc.ns.svc.cluster.local/"}, "services are those of functions"},
		`{ref: {apiVersion: v1, kind: Service, name: svc, namespace: x, port: 8080, path: /in}}`:                   {&event.Sink{URI: "http://svc.x.svc.cluster.local:8080/in"}, "services are those of functions"},
		`{ref: {apiVersion: apps/v1, kind: Deployment, name: d}}`:                                                  {nil, "cannot be sent events"},
		`null`: {nil, ""},
		`{}`:   {nil, ""},
	} {
		var s *events.SinkSpec
		if err := yaml.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		got, err := r.Sink(context.Background(), "ns", s)
		var missing *secret.Missing
		if !reflect.DeepEqual(got, test.want) || (err != nil) != (test.missing != "") || err != nil && (!errors.As(err, &missing) || !strings.Contains(err.Error(), test.missing)) {
			t.Errorf("%s: %+v, error %v", text, got, err)
		}
	}
}

type stores map[string]string

func (s stores) Secret(_ context.Context, namespace, store, name string) (map[string]string, error) {
	if v, ok := s[namespace+"/"+store+"/"+name]; ok {
		return map[string]string{name: v}, nil
	}
	return nil, errors.New("sealed")
}

func TestComponent(t *testing.T) {
	r, _ := resolver(t, &corev1.Secret{ObjectMeta: named("ns", "s"), Data: map[string][]byte{"k": []byte("hidden"), "s": []byte("by name")}})
	resolve := func(text string) (event.Component, error) {
		t.Helper()
		c := &daprv1.Component{ObjectMeta: named("ns", "c")}
		if err := yaml.UnmarshalStrict([]byte(text), c); err != nil {
			t.Fatal(err)
		}
		return r.Component(context.Background(), c)
	}
	got, err := resolve(`
spec:
  type: state.redis
  version: v1
  ignoreErrors: true
  initTimeout: 7s
  metadata: [{name: num, value: 1}, {name: b, value: true}, {name: t, value: x}, {name: e}, {name: p, secretKeyRef: {name: s, key: k}}, {name: q, secretKeyRef: {name: s}}]
scopes: [a]`)
	want := event.Component{Name: event.Name{Namespace: "ns", Name: "c"}, Type: "state.redis", Version: "v1", Scopes: []string{"a"}, IgnoreErrors: true, InitTimeout: 7 * time.Second,
		Metadata: map[string]string{"num": "1", "b": "true", "t": "x", "e": "", "p": "hidden", "q": "by name"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, error %v", got, err)
	}
	vault := `{spec: {type: state.redis, version: v1, metadata: [{name: p, secretKeyRef: {name: s}}]}, auth: {secretStore: vault}}`
	for _, test := range []struct {
		stores eventing.Stores
		want   string
	}{{nil, "cannot be read here"}, {stores{}, "sealed"}} {
		r.Stores = test.stores
		var missing *secret.Missing
		if _, err := resolve(vault); !errors.As(err, &missing) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error is %v, want %s", err, test.want)
		}
	}
	r.Stores = stores{"ns/vault/s": "gold"}
	if got, err := resolve(vault); err != nil || got.Metadata["p"] != "gold" {
		t.Errorf("%+v, error %v", got, err)
	}
	if _, err := resolve(`{spec: {type: a.b, version: v1, metadata: [{name: p, secretKeyRef: {name: away, key: k}}]}}`); err == nil || !strings.Contains(err.Error(), `metadata "p": secret "away"`) {
		t.Errorf("error is %v", err)
	}
}
