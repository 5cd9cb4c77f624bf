package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/openfunction/ofn/api/core/v1beta2"
	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/drift"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cluster"
)

// world is an engine over an API server in memory.
type world struct {
	*testing.T
	client  client.Client
	engine  *cluster.Engine
	options cluster.Options
	keda    bool
	writes  int
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	w := &world{T: t}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta2.AddToScheme, events.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Apply: func(ctx context.Context, to client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			w.writes++
			return to.Apply(ctx, o, opts...)
		},
		Create: func(ctx context.Context, to client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			w.writes++
			return to.Create(ctx, o, opts...)
		},
		Delete: func(ctx context.Context, to client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			w.writes++
			return to.Delete(ctx, o, opts...)
		},
	}).Build()
	w.options = cluster.Options{Objects: w.client, Live: w.client, Manifests: w.client, Image: "r/ofn:1", Namespace: "openfunction", ClusterDomain: "cluster.local",
		Storage: resource.MustParse("1Gi"), KEDA: func(context.Context) (bool, error) { return w.keda, nil }, Log: slog.New(slog.DiscardHandler),
		Queues: func(event.Bus, event.Trigger) []cluster.Queue { return []cluster.Queue{{Stream: "s", Consumer: "c"}} }}
	w.engine = cluster.New(w.options)
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// read is an object, nil when there is none.
func (w *world) read(apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	w.Helper()
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	err := w.client.Get(w.Context(), client.ObjectKey{Namespace: namespace, Name: name}, u)
	if apierrors.IsNotFound(err) {
		return nil
	}
	w.must(err)
	return u
}

func (w *world) plan(namespace, name string) cluster.Plan {
	w.Helper()
	s := &corev1.Secret{}
	w.must(w.client.Get(w.Context(), client.ObjectKey{Namespace: namespace, Name: name}, s))
	p, err := cluster.ReadPlan(s.Data[cluster.PlanFile])
	w.must(err)
	return p
}

func (w *world) deployment(namespace, name string) *appsv1.Deployment {
	w.Helper()
	d := &appsv1.Deployment{}
	w.must(w.client.Get(w.Context(), client.ObjectKey{Namespace: namespace, Name: name}, d))
	return d
}

func (w *world) status(ref event.Ref) event.Status {
	w.Helper()
	s, known := w.engine.Status(ref)
	if !known {
		w.Fatalf("nothing is known of %v", ref)
	}
	return s
}

func eventSource(spec string) *events.EventSource {
	s := &events.EventSource{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "shop", UID: "u1"}}
	if err := json.Unmarshal([]byte(spec), &s.Spec); err != nil {
		panic(err)
	}
	return s
}

func source(kind, name string) event.Source {
	return event.Source{Name: event.Name{Namespace: "a", Name: "shop"}, Event: name, Kind: kind, Spec: json.RawMessage(`{"brokers":"k:9092","topic":"t"}`),
		Bus: event.Name{Name: "default"}, Topic: "a-shop-" + name}
}

func trigger() (*events.Trigger, event.Trigger) {
	return &events.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "t", UID: "u2"}},
		event.Trigger{Name: event.Name{Namespace: "a", Name: "t"}, Bus: event.Name{Name: "default"}, Inputs: map[string]event.TriggerInput{"x": {Topic: "a-shop-orders"}},
			Subscribers: []event.Subscriber{{Condition: "x", Sink: &event.Sink{Function: &event.Name{Namespace: "a", Name: "fn"}}}}}
}

var embedded = event.Bus{Name: event.Name{Name: "default"}, Kind: events.BusEmbedded}

// What waits for its bus says so, and is made when the bus is there; the bus that nobody declared is made once.
func TestSourceAndItsBus(t *testing.T) {
	w := newWorld(t, eventSource(`{"webhook":{"orders":{}}}`))
	told := map[event.Ref]int{}
	ctx, cancel := context.WithCancel(t.Context())
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		w.engine.Watch(ctx, func(r event.Ref) { told[r]++ })
	}()
	t.Cleanup(func() { cancel(); <-watching })
	s := source("webhook", "orders")
	ref := event.Ref{Kind: event.KindSource, Name: s.Name, Event: "orders"}
	w.must(w.engine.ApplySource(ctx, s))
	if st := w.status(ref); st.Ready || st.Reason != "Pending" || !strings.Contains(st.Message, "default") {
		t.Errorf("without a bus: %+v", st)
	}
	w.must(w.engine.ApplyBus(ctx, embedded))
	w.must(w.engine.ApplySource(ctx, s))
	bus := w.read("apps/v1", "StatefulSet", "openfunction", "default-bus")
	if bus == nil || w.read("v1", "Service", "openfunction", "default-bus") == nil || w.read("v1", "Service", "a", "shop-orders-source") == nil {
		t.Fatal("objects are missing")
	}
	if size, _, _ := unstructured.NestedSlice(bus.Object, "spec", "volumeClaimTemplates"); len(size) != 1 {
		t.Errorf("volumes %v", size)
	}
	p := w.plan("a", "shop-orders-source")
	token := &corev1.Secret{}
	w.must(w.client.Get(ctx, client.ObjectKey{Namespace: "openfunction", Name: "default-bus"}, token))
	o, err := event.JetStreamOptionsOf(p.Buses[0])
	w.must(err)
	if o.URL != "nats://default-bus.openfunction.svc.cluster.local:4222" || o.Token == "" || o.Token != string(token.Data[cluster.TokenFile]) || p.Letters == nil || p.Letters.Server.Kind != "jetStream" {
		t.Errorf("plan %+v", p)
	}
	if p.Buses[0].Retention.MaxBytes+p.Letters.MaxBytes >= 1<<30 {
		t.Error("events and dead letters fill the volume")
	}
	// A second time, and by an operator that knows nothing yet, nothing is written.
	w.writes = 0
	w.engine = cluster.New(w.options)
	w.must(w.engine.ApplyBus(ctx, embedded))
	w.must(w.engine.ApplySource(ctx, s))
	if w.writes != 0 {
		t.Errorf("%d writes at rest", w.writes)
	}
}

func TestPodsAreRestricted(t *testing.T) {
	w := newWorld(t, eventSource(`{"cron":{"tick":{}},"kubernetes":{"pods":{}}}`))
	w.must(w.engine.ApplyBus(t.Context(), embedded))
	w.must(w.engine.ApplySource(t.Context(), source("cron", "tick")))
	w.must(w.engine.ApplySource(t.Context(), source("kubernetes", "pods")))
	d := w.deployment("a", "shop-tick-source")
	pod, c := d.Spec.Template.Spec, d.Spec.Template.Spec.Containers[0]
	if *pod.AutomountServiceAccountToken || !*pod.SecurityContext.RunAsNonRoot || !*c.SecurityContext.ReadOnlyRootFilesystem || *c.SecurityContext.AllowPrivilegeEscalation ||
		len(c.SecurityContext.Capabilities.Drop) != 1 || pod.SecurityContext.SeccompProfile == nil {
		t.Errorf("pod %+v", pod)
	}
	if len(c.Env) != 1 || c.Env[0].Name != cluster.EnvMemoryLimit || c.Env[0].ValueFrom.ResourceFieldRef.Resource != "limits.memory" {
		t.Errorf("it is not told of its limit: %+v", c.Env)
	}
	if d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType || *d.Spec.Replicas != 1 {
		t.Errorf("a timer must not run twice: %+v", d.Spec)
	}
	if pod := w.deployment("a", "shop-pods-source").Spec.Template.Spec; !*pod.AutomountServiceAccountToken || pod.ServiceAccountName != "default" {
		t.Error("a source of objects cannot ask the API")
	}
}

func TestRepairedAndPruned(t *testing.T) {
	object := eventSource(`{"webhook":{"orders":{},"returns":{}}}`)
	w := newWorld(t, object)
	w.must(w.engine.ApplyBus(t.Context(), embedded))
	for _, name := range []string{"orders", "returns"} {
		w.must(w.engine.ApplySource(t.Context(), source("webhook", name)))
	}
	d := w.deployment("a", "shop-orders-source")
	d.Spec.Template.Spec.Containers[0].Image = "evil"
	w.must(w.client.Update(t.Context(), d))
	w.must(w.client.Delete(t.Context(), w.read("v1", "Secret", "a", "shop-orders-source")))
	delete(object.Spec.Webhook, "returns")
	object.ResourceVersion = ""
	there := &events.EventSource{}
	w.must(w.client.Get(t.Context(), client.ObjectKeyFromObject(object), there))
	there.Spec = object.Spec
	w.must(w.client.Update(t.Context(), there))
	w.must(w.engine.ApplySource(t.Context(), source("webhook", "orders")))
	if w.deployment("a", "shop-orders-source").Spec.Template.Spec.Containers[0].Image != "r/ofn:1" || w.read("v1", "Secret", "a", "shop-orders-source") == nil {
		t.Error("it is not repaired")
	}
	for _, kind := range [][2]string{{"apps/v1", "Deployment"}, {"v1", "Service"}, {"v1", "Secret"}} {
		if w.read(kind[0], kind[1], "a", "shop-returns-source") != nil {
			t.Errorf("the %s of an event that is gone is still there", kind[1])
		}
	}
}

func TestFunctionsAreCalledWhereTheyAre(t *testing.T) {
	object, tr := trigger()
	fn := &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "fn"}}
	w := newWorld(t, object, fn)
	w.must(w.engine.ApplyBus(t.Context(), embedded))
	w.must(w.engine.ApplyTrigger(t.Context(), tr))
	if at := w.plan("a", "t-trigger").Functions["a/fn"]; at != "fn.a.svc.cluster.local" {
		t.Errorf("it is called at %q", at)
	}
	hash := w.deployment("a", "t-trigger").Spec.Template.Annotations
	fn.Status.Addresses = []v1beta2.FunctionAddress{{Type: v1beta2.AddressExternal, Value: "http://x"}, {Type: v1beta2.AddressInternal, Value: "http://fn.a.svc.cluster.local:8080/"}}
	there := &v1beta2.Function{}
	w.must(w.client.Get(t.Context(), client.ObjectKeyFromObject(fn), there))
	there.Status = fn.Status
	w.must(w.client.Update(t.Context(), there))
	w.must(w.engine.ApplyTrigger(t.Context(), tr))
	if at := w.plan("a", "t-trigger").Functions["a/fn"]; at != "fn.a.svc.cluster.local:8080" {
		t.Errorf("it is called at %q", at)
	}
	if after := w.deployment("a", "t-trigger").Spec.Template.Annotations; after["openfunction.io/plan-hash"] == hash["openfunction.io/plan-hash"] {
		t.Error("pods with the former plan go on")
	}
}

func TestRefused(t *testing.T) {
	w := newWorld(t, eventSource(`{"file":{"f":{}}}`), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "shop-orders-source"}})
	if err := w.engine.ApplySource(t.Context(), source("file", "f")); err == nil || !strings.Contains(err.Error(), "s3") {
		t.Errorf("files of a machine: %v", err)
	}
	w.must(w.engine.ApplyBus(t.Context(), embedded))
	taken := (*drift.Taken)(nil)
	if err := w.engine.ApplySource(t.Context(), source("webhook", "orders")); !errors.As(err, &taken) {
		t.Errorf("the name is somebody else's: %v", err)
	}
	w.options.Image = ""
	w.engine = cluster.New(w.options)
	if err := w.engine.ApplyBus(t.Context(), embedded); err == nil || !strings.Contains(err.Error(), "--event-image") {
		t.Errorf("without an image: %v", err)
	}
}

// What OpenFunction still does is not done twice.
func TestHeldByOpenFunction(t *testing.T) {
	object, tr := trigger()
	handler := &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "t-x1", OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "events.openfunction.io/v1alpha1", Kind: "Trigger", Name: "t", UID: "u2", Controller: new(true)}}}}
	w := newWorld(t, object, handler)
	ref := event.Ref{Kind: event.KindTrigger, Name: tr.Name}
	w.must(w.engine.ApplyBus(t.Context(), embedded))
	w.must(w.engine.ApplyTrigger(t.Context(), tr))
	if st := w.status(ref); st.Ready || st.Reason != cluster.ReasonHeld || !strings.Contains(st.Message, "delete function t-x1") || w.read("apps/v1", "Deployment", "a", "t-trigger") != nil {
		t.Errorf("beside OpenFunction's handler: %+v", st)
	}
	w.must(w.client.Delete(t.Context(), handler))
	w.must(w.engine.ApplyTrigger(t.Context(), tr))
	if w.read("apps/v1", "Deployment", "a", "t-trigger") == nil {
		t.Error("it is not taken over")
	}
}

// What is external is reached where it is, and keeps the dead letters of those who use it if it can.
func TestExternalBus(t *testing.T) {
	w := newWorld(t, eventSource(`{"cron":{"tick":{}}}`))
	w.must(w.engine.ApplyBus(t.Context(), event.Bus{Name: event.Name{Namespace: "a", Name: "own"}, Kind: "jetStream", Options: json.RawMessage(`{"url":"nats://x:4222"}`)}))
	s := source("cron", "tick")
	s.Bus = event.Name{Namespace: "a", Name: "own"}
	w.must(w.engine.ApplySource(t.Context(), s))
	if p := w.plan("a", "shop-tick-source"); p.Letters == nil || string(p.Letters.Server.Options) != `{"url":"nats://x:4222"}` {
		t.Errorf("plan %+v", p)
	}
	if w.read("apps/v1", "StatefulSet", "openfunction", "default-bus") != nil {
		t.Error("a bus that nobody uses")
	}
	s.Bus, s.Topic, s.Sink = event.Name{}, "", &event.Sink{URI: "http://x"}
	w.must(w.engine.ApplySource(t.Context(), s))
	if w.read("apps/v1", "StatefulSet", "openfunction", "default-bus") == nil {
		t.Error("nothing keeps what a sink does not take")
	}
}
