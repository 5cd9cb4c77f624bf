package adopt_test

import (
	"context"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/adopt"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/function"
	"github.com/openfunction/ofn/internal/control/function/build"
	"github.com/openfunction/ofn/internal/control/function/place"
	"github.com/openfunction/ofn/internal/control/function/serve"
	"github.com/openfunction/ofn/internal/control/owned"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
)

// What OpenFunction 1.2 leaves of a function that was built and is served by Knative.
const (
	httpFunction = `
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: hello, namespace: default, uid: f1, generation: 4}
spec:
  version: v2.0.0
  image: registry.example.com/hello:v1
  imageCredentials: {name: push-secret}
  build:
    builder: openfunction/builder-go:latest
    env: {FUNC_NAME: HelloWorld}
    srcRepo: {url: "https://git.example.com/hello.git", revision: main}
  serving:
    triggers: {http: {port: 8080, route: {gatewayRef: {name: openfunction, namespace: openfunction}}}}
status:
  build: {state: Succeeded, resourceRef: builder-4qv8p, lastSuccessfulResourceRef: builder-4qv8p, resourceHash: "11293182283476512312", buildDuration: 1m0s}
  serving: {state: Running, resourceRef: serving-x7k2p, lastSuccessfulResourceRef: serving-x7k2p, resourceHash: "9939283712312312", service: serving-x7k2p-ksvc-zb9rl}
  revision: {imageDigest: "sha256:1111111111111111111111111111111111111111111111111111111111111111"}
  addresses: [{type: Internal, value: "http://hello.default.svc.cluster.local/"}]`
	olderFunction = `
apiVersion: core.openfunction.io/v1beta1
kind: Function
metadata: {name: hello, namespace: default, uid: f1, generation: 4}
spec:
  version: v2.0.0
  image: registry.example.com/hello:v1
  port: 8080
  imageCredentials: {name: push-secret}
  build:
    builder: openfunction/builder-go:latest
    srcRepo: {url: "https://git.example.com/hello.git", revision: main}
  serving: {runtime: knative}
status:
  build: {state: Succeeded, resourceRef: builder-4qv8p, resourceHash: "11293182283476512312"}
  serving: {state: Running, resourceRef: serving-x7k2p, resourceHash: "9939283712312312", service: serving-x7k2p-ksvc-zb9rl}
  revision: {imageDigest: "sha256:1111111111111111111111111111111111111111111111111111111111111111"}`
	asyncFunction = `
apiVersion: core.openfunction.io/v1beta2
kind: Function
metadata: {name: hello, namespace: default, uid: f1, generation: 4}
spec:
  image: registry.example.com/hello:v1
  serving:
    triggers: {dapr: [{name: cron, type: bindings.cron}]}
    bindings: {cron: {type: bindings.cron, version: v1, metadata: [{name: schedule, value: "@every 2s"}]}}
status:
  build: {state: Skipped}
  serving: {state: Running, resourceRef: serving-x7k2p, resourceHash: "9939283712312312"}`
	formerServing = `
apiVersion: core.openfunction.io/v1beta2
kind: Serving
metadata:
  name: serving-x7k2p
  namespace: default
  uid: s1
  labels: {openfunction.io/function: hello}
  ownerReferences: [{apiVersion: core.openfunction.io/v1beta2, kind: Function, name: hello, uid: f1, controller: true, blockOwnerDeletion: true}]
spec: {image: "registry.example.com/hello@sha256:1111111111111111111111111111111111111111111111111111111111111111"}
status: {phase: Serving, state: Running, url: serving-x7k2p-ksvc-zb9rl, resourceRef: {serving.knative.dev/service: serving-x7k2p-ksvc-zb9rl}}`
	formerBuilder = `
apiVersion: core.openfunction.io/v1beta2
kind: Builder
metadata:
  name: builder-4qv8p
  namespace: default
  uid: b1
  labels: {openfunction.io/function: hello}
  ownerReferences: [{apiVersion: core.openfunction.io/v1beta2, kind: Function, name: hello, uid: f1, controller: true, blockOwnerDeletion: true}]
spec: {image: "registry.example.com/hello:v1", builder: openfunction/builder-go:latest, srcRepo: {url: "https://git.example.com/hello.git"}}
status: {phase: Build, state: Succeeded}`
	formerService = `
apiVersion: v1
kind: Service
metadata:
  name: hello
  namespace: default
  ownerReferences: [{apiVersion: core.openfunction.io/v1beta2, kind: Function, name: hello, uid: f1, controller: true, blockOwnerDeletion: true}]
spec: {type: ExternalName, externalName: gateway.openfunction.svc.cluster.local, ports: [{name: http, port: 80}]}`
	formerRoute = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: hello
  namespace: default
  ownerReferences: [{apiVersion: core.openfunction.io/v1beta2, kind: Function, name: hello, uid: f1, controller: true, blockOwnerDeletion: true}]
spec: {rules: [{backendRefs: [{kind: Service, name: serving-x7k2p-ksvc-zb9rl-v200, port: 80, weight: 1}]}]}`
	knativeRoute = `
apiVersion: serving.knative.dev/v1
kind: Route
metadata: {name: hello, namespace: default, uid: r1}`
)

func parse[T client.Object](t *testing.T, text string, into T) T {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		t.Fatal(err)
	}
	return into
}

func untyped(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

// world is a cluster that OpenFunction's operator has left, with an engine that the test plays.
type world struct {
	*testing.T
	c       *controltest.Client
	k       *function.Controller
	ready   run.Phase
	routed  metav1.ConditionStatus
	exposed int
}

func newWorld(t *testing.T, fn *v1beta2.Function, others ...client.Object) *world {
	t.Helper()
	objects := append([]client.Object{fn, parse(t, formerServing, &v1beta2.Serving{}), untyped(t, knativeRoute)}, others...)
	w := &world{T: t, c: controltest.New(t, objects...), ready: run.Starting, routed: metav1.ConditionUnknown}
	built := build.New(w.c)
	placed := &engine{w: w, expose: adopt.Around(w.c, w.c, exposer{w: w})}
	w.k = function.NewController(w.c, events.NewFakeRecorder(100), adopt.New(w.c, w.c, built, built, serve.New(w.c), placed))
	return w
}

// engine plays function/place.
type engine struct {
	w      *world
	expose place.Exposer
}

func (e *engine) Gone(context.Context, string, string) error { return nil }

func (e *engine) Reconcile(ctx context.Context, fn *v1beta2.Function) (reconcile.Result, error) {
	servings, err := owned.List[*v1beta2.Serving](ctx, e.w.c, fn, &v1beta2.ServingList{})
	if err != nil || len(servings) == 0 {
		return reconcile.Result{}, err
	}
	s := servings[0]
	if e.w.ready == run.Ready && s.Status.State != v1beta2.StateRunning {
		before := s.DeepCopy()
		s.Status.State = v1beta2.StateRunning
		if err := e.w.c.Status().Patch(ctx, s, client.MergeFrom(before)); err != nil {
			return reconcile.Result{}, err
		}
	}
	if fn.Spec.Serving.Triggers.HTTP == nil {
		return reconcile.Result{}, nil
	}
	has := cluster.Status{Revisions: map[string]run.Status{s.Name: {Phase: e.w.ready}}, Routed: cluster.Condition{Status: e.w.routed, Reason: "Played"}}
	c, err := e.expose.Expose(ctx, fn, has)
	condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionRouted, c.Status, c.Reason, c.Message)
	return reconcile.Result{}, err
}

// exposer plays function/expose: it leads the route of the function's name to its revision.
type exposer struct {
	place.Exposer
	w *world
}

func (e exposer) Expose(ctx context.Context, fn *v1beta2.Function, _ cluster.Status) (cluster.Condition, error) {
	e.w.exposed++
	route := &unstructured.Unstructured{}
	route.SetAPIVersion("gateway.networking.k8s.io/v1")
	route.SetKind("HTTPRoute")
	if err := e.w.c.Raw.Get(ctx, client.ObjectKeyFromObject(fn), route); err == nil {
		route.Object["spec"] = map[string]any{"rules": []any{map[string]any{"backendRefs": []any{map[string]any{"name": "hello"}}}}}
		if err := e.w.c.Raw.Update(ctx, route); err != nil {
			return cluster.Condition{}, err
		}
	}
	return cluster.Condition{Status: metav1.ConditionTrue, Reason: "Routed"}, nil
}

// rest reconciles until nothing is written.
func (w *world) rest() *v1beta2.Function {
	w.Helper()
	for range 20 {
		before := w.c.Writes
		if _, err := w.k.Reconcile(w.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Namespace: "default", Name: "hello"}}); err != nil {
			w.Fatal(err)
		}
		if w.c.Writes == before {
			return w.fn()
		}
	}
	w.Fatal("it does not come to rest")
	return nil
}

func (w *world) fn() *v1beta2.Function {
	return controltest.Read(w.T, w.c.Raw, "default", "hello", &v1beta2.Function{})
}

func (w *world) servings() []string {
	w.Helper()
	var list v1beta2.ServingList
	if err := w.c.Raw.List(w.Context(), &list); err != nil {
		w.Fatal(err)
	}
	var out []string
	for i := range list.Items {
		out = append(out, list.Items[i].Name)
	}
	slices.Sort(out)
	return out
}

func (w *world) builders() (out []string) {
	w.Helper()
	var list v1beta2.BuilderList
	if err := w.c.Raw.List(w.Context(), &list); err != nil {
		w.Fatal(err)
	}
	for i := range list.Items {
		out = append(out, list.Items[i].Name)
	}
	return out
}

func (w *world) wantServings(names ...string) {
	w.Helper()
	if got := w.servings(); !slices.Equal(got, names) {
		w.Fatalf("servings are %v, want %v", got, names)
	}
}

// adopted checks the reason of the condition, empty when there must be none.
func (w *world) adopted(reason string) {
	w.Helper()
	c := condition.Get(w.fn().Status.Conditions, adopt.ConditionAdopted)
	if c == nil && reason != "" || c != nil && c.Reason != reason {
		w.Fatalf("%s is %+v, want reason %q", adopt.ConditionAdopted, c, reason)
	}
}

func (w *world) annotate(how string) {
	w.Helper()
	fn := w.fn()
	controltest.Write(w.T, w.c.Raw, fn, func() {
		if fn.Annotations = nil; how != "" {
			fn.Annotations = map[string]string{adopt.Annotation: how}
		}
	})
}

func (w *world) serviceOwner() string {
	w.Helper()
	s := &corev1.Service{}
	if err := w.c.Raw.Get(w.Context(), client.ObjectKey{Namespace: "default", Name: "hello"}, s); err != nil {
		w.Fatal(err)
	}
	return metav1.GetControllerOf(s).Kind
}
