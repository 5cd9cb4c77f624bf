package main

import (
	"log/slog"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
	events "github.com/openfunction/ofn/api/events/v1alpha1"
	eventbusrun "github.com/openfunction/ofn/internal/control/eventbus/run"
	control "github.com/openfunction/ofn/internal/control/eventing"
	eventsourcerun "github.com/openfunction/ofn/internal/control/eventsource/run"
	triggercontrol "github.com/openfunction/ofn/internal/control/trigger/run"
	"github.com/openfunction/ofn/internal/event/cluster"
)

// onCluster are the controllers of events as a cluster has them, over an API server in memory.
type onCluster struct {
	*testing.T
	client                    client.Client
	buses, cluster, src, trig reconcile.Reconciler
}

func newOnCluster(t *testing.T, objects ...client.Object) *onCluster {
	options, err := operatorOptions(&operatorSettings{})
	if err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(options.Scheme).WithObjects(objects...).
		WithStatusSubresource(&events.EventSource{}, &events.EventBus{}, &events.ClusterEventBus{}, &events.Trigger{}).Build()
	engine := cluster.New(cluster.Options{Objects: c, Live: c, Manifests: c, Image: "r/ofn:1", Namespace: "openfunction", ClusterDomain: "cluster.local",
		Storage: resource.MustParse("1Gi"), Queues: queuesOf, Log: slog.New(slog.DiscardHandler)})
	r := &control.Resolver{Client: c, Engine: engine, ClusterDomain: "cluster.local", OnCluster: true}
	b := eventbusrun.Options{Engine: engine, Resolver: r, Clock: clock.RealClock{}, WithoutComponents: true}
	return &onCluster{T: t, client: c, buses: eventbusrun.NewController(c, b), cluster: eventbusrun.NewClusterController(c, b),
		src:  eventsourcerun.NewController(c, eventsourcerun.Options{Engine: engine, Resolver: r, Clock: clock.RealClock{}, WithoutComponents: true}),
		trig: triggercontrol.NewController(c, triggercontrol.Options{Engine: engine, Resolver: r, Clock: clock.RealClock{}})}
}

func (o *onCluster) reconcile(r reconcile.Reconciler, namespace, name string) {
	o.Helper()
	if _, err := r.Reconcile(o.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Namespace: namespace, Name: name}}); err != nil {
		o.Fatal(err)
	}
}

func (o *onCluster) read(into client.Object, namespace, name string) {
	o.Helper()
	if err := o.client.Get(o.Context(), client.ObjectKey{Namespace: namespace, Name: name}, into); err != nil {
		o.Fatal(err)
	}
}

// come lets the one pod of a Deployment be ready.
func (o *onCluster) come(namespace, name string) {
	o.Helper()
	d := &appsv1.Deployment{}
	o.read(d, namespace, name)
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, ReadyReplicas: 1}
	if err := o.client.Status().Update(o.Context(), d); err != nil {
		o.Fatal(err)
	}
}

func (o *onCluster) wants(conditions []events.Condition, status metav1.ConditionStatus, reason string) {
	o.Helper()
	if len(conditions) == 0 || conditions[0].Status != status || conditions[0].Reason != reason {
		o.Errorf("conditions are %+v, want Ready=%s, %s", conditions, status, reason)
	}
}

func parsed[T client.Object](t *testing.T, into T, text string) T {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		t.Fatal(err)
	}
	into.SetUID("uid-of-" + into.GetUID())
	return into
}

// The manifests of one machine: how they stand follows their pods, and what they name is resolved for a cluster.
func TestEventManifestsOnACluster(t *testing.T) {
	o := newOnCluster(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "hook"}, Data: map[string][]byte{"key": []byte("s3cret")}},
		&v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "assess"}},
		parsed(t, &events.EventSource{}, `{metadata: {namespace: a, name: shop}, spec: {eventBus: default, webhook: {orders: {verify: github, secretRefs: {secret: {name: hook, key: key}}}}}}`),
		parsed(t, &events.Trigger{}, `{metadata: {namespace: a, name: big}, spec: {eventBus: default, inputs: {order: {eventSource: shop, event: orders}}, subscribers: [
			{condition: order, sink: {ref: {apiVersion: core.openfunction.io/v1beta2, kind: Function, name: assess}}},
			{sink: {ref: {apiVersion: v1, kind: Service, name: other, port: 81}}}]}}`))
	o.reconcile(o.src, "a", "shop")
	s, tr := &events.EventSource{}, &events.Trigger{}
	o.read(s, "a", "shop")
	o.wants(s.Status.Conditions, metav1.ConditionUnknown, "Starting")
	o.come("a", "shop-orders-source")
	o.reconcile(o.src, "a", "shop")
	o.read(s, "a", "shop")
	o.wants(s.Status.Conditions, metav1.ConditionTrue, events.ReasonEventSourceIsReady)
	if p := o.plan("a", "shop-orders-source"); !strings.Contains(string(p.Sources[0].Spec), "s3cret") || p.Owner != string(s.UID) {
		t.Errorf("plan %s", p.Sources[0].Spec)
	}
	o.reconcile(o.trig, "a", "big")
	o.come("a", "big-trigger")
	o.reconcile(o.trig, "a", "big")
	o.read(tr, "a", "big")
	o.wants(tr.Status.Conditions, metav1.ConditionTrue, events.ReasonTriggerIsReady)
	p := o.plan("a", "big-trigger")
	if p.Functions["a/assess"] != "assess.a.svc.cluster.local" || p.Triggers[0].Subscribers[1].Sink.URI != "http://other.a.svc.cluster.local:81/" {
		t.Errorf("plan %+v", p)
	}
	if q := queuesOf(p.Buses[0], p.Triggers[0]); len(q) != 2 || q[0].Stream != "bus__default" || q[0].Consumer == q[1].Consumer {
		t.Errorf("KEDA asks for %v", q)
	}
}

// A bus of a namespace is its own server there, one of somebody else's is only named.
func TestBusesOnACluster(t *testing.T) {
	o := newOnCluster(t, parsed(t, &events.EventBus{}, `{metadata: {namespace: a, name: own}, spec: {retention: {maxBytes: 3Gi}}}`),
		parsed(t, &events.ClusterEventBus{}, `{metadata: {name: theirs}, spec: {jetStream: {url: "nats://x:4222"}}}`))
	o.reconcile(o.buses, "a", "own")
	o.reconcile(o.cluster, "", "theirs")
	set := &appsv1.StatefulSet{}
	o.read(set, "a", "own-bus")
	if size := set.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests[corev1.ResourceStorage]; size.Value() != 4<<30 {
		t.Errorf("a bus of 3Gi has a volume of %v", &size)
	}
	own, theirs := &events.EventBus{}, &events.ClusterEventBus{}
	o.read(own, "a", "own")
	o.wants(own.Status.Conditions, metav1.ConditionUnknown, "Starting")
	o.read(theirs, "", "theirs")
	o.wants(theirs.Status.Conditions, metav1.ConditionTrue, events.ReasonEventBusIsReady)
}

func (o *onCluster) plan(namespace, name string) cluster.Plan {
	o.Helper()
	secret := &corev1.Secret{}
	o.read(secret, namespace, name)
	p, err := cluster.ReadPlan(secret.Data[cluster.PlanFile])
	if err != nil {
		o.Fatal(err)
	}
	return p
}
