package cluster_test

import (
	"encoding/json"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/event/cluster"
)

func TestScaling(t *testing.T) {
	bus := &events.ClusterEventBus{ObjectMeta: metav1.ObjectMeta{Name: "default", UID: "u3"}}
	bus.Spec.NatsStreaming = &events.NatsStreamingSpec{ScaleOption: &events.NatsStreamingScaleOption{LagThreshold: "7",
		ScaleOption: events.ScaleOption{MinReplicaCount: new(int32(0)), MaxReplicaCount: new(int32(4))}}}
	object, tr := trigger()
	w := newWorld(t, object, bus, eventSource(`{"kafka":{"k":{"brokers":"k:9092","topic":"t","scaleOption":{"minReplicaCount":2,"maxReplicaCount":9,"lagThreshold":"3","authRef":{"name":"login"}}}}}`))
	apply := func() {
		w.must(w.engine.ApplyBus(t.Context(), embedded))
		w.must(w.engine.ApplySource(t.Context(), source("kafka", "k")))
		w.must(w.engine.ApplyTrigger(t.Context(), tr))
	}
	apply()
	if d := w.deployment("a", "shop-k-source"); *d.Spec.Replicas != 2 {
		t.Errorf("without KEDA there are %d copies", *d.Spec.Replicas)
	}
	w.keda = true
	apply()
	for name, want := range map[string]string{
		"shop-k-source": `{"maxReplicaCount":9,"minReplicaCount":2,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"shop-k-source"},"triggers":[{"authenticationRef":{"name":"login"},"metadata":{"bootstrapServers":"k:9092","consumerGroup":"a-shop-k","lagThreshold":"3","topic":"t"},"type":"kafka"}]}`,
		"t-trigger":     `{"maxReplicaCount":4,"minReplicaCount":0,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"t-trigger"},"triggers":[{"metadata":{"account":"$G","consumer":"c","lagThreshold":"7","natsServerMonitoringEndpoint":"default-bus.openfunction.svc.cluster.local:8222","stream":"s"},"type":"nats-jetstream"}]}`,
	} {
		o := w.read("keda.sh/v1alpha1", "ScaledObject", "a", name)
		if o == nil {
			t.Fatalf("%s has no ScaledObject", name)
		}
		if got, _ := json.Marshal(o.Object["spec"]); string(got) != want {
			t.Errorf("%s is scaled by\n%s, want\n%s", name, got, want)
		}
	}
	d := w.deployment("a", "t-trigger") // KEDA lets it sleep; it wakes once for another plan, and is KEDA's then
	d.Spec.Replicas = new(int32(0))
	w.must(w.client.Update(t.Context(), d))
	apply()
	if n := *w.deployment("a", "t-trigger").Spec.Replicas; n != 0 {
		t.Errorf("with the plan that it had it has %d copies", n)
	}
	tr.Subscribers[0].Condition = "!x"
	apply()
	if n := *w.deployment("a", "t-trigger").Spec.Replicas; n != 1 {
		t.Errorf("with another plan it has %d copies", n)
	}
	w.options.Storage = resource.Quantity{} // a bus that loses its consumers with its pod
	w.engine = cluster.New(w.options)
	apply()
	if n, _, _ := unstructured.NestedInt64(w.read("keda.sh/v1alpha1", "ScaledObject", "a", "t-trigger").Object, "spec", "minReplicaCount"); n != 1 {
		t.Errorf("on a bus without a volume it may go to %d", n)
	}
	if !w.plan("a", "t-trigger").Triggers[0].Shared {
		t.Error("its copies do not know of each other")
	}
	tr.Subscribers[0].Ordered = true // which copies side by side would not keep
	apply()
	if w.read("keda.sh/v1alpha1", "ScaledObject", "a", "t-trigger") != nil || *w.deployment("a", "t-trigger").Spec.Replicas != 1 {
		t.Error("ordered events are divided among copies")
	}
	if w.plan("a", "t-trigger").Triggers[0].Shared {
		t.Error("the only copy takes no more than it begins at once")
	}
}

// A Redis source is woken by what waits, and by what a copy had taken when it died; without copies nothing else sees either.
func TestScalingOnRedis(t *testing.T) {
	w := newWorld(t, eventSource(`{"redis":{"jobs":{"redisHost":"r:6379","list":"work","redisDB":3,"enableTLS":true,"scaleOption":{"minReplicaCount":0,"metadata":{"listLength":"9"}}},
		"entries":{"redisHost":"r:6379","scaleOption":{"metadata":{"lagCount":"9"},"authRef":{"kind":"TriggerAuthentication","name":"login"}}},
		"talk":{"redisHost":"r:6379","channel":"c","scaleOption":{}}}}`))
	w.keda = true
	w.must(w.engine.ApplyBus(t.Context(), embedded))
	for event, spec := range map[string]string{"jobs": `{"redisHost":"r:6379","list":"work","redisDB":3,"enableTLS":true}`, "entries": `{"redisHost":"r:6379"}`,
		"talk": `{"redisHost":"r:6379","channel":"c"}`} {
		s := source("redis", event)
		s.Spec = json.RawMessage(spec)
		w.must(w.engine.ApplySource(t.Context(), s))
	}
	for name, want := range map[string]string{
		"shop-jobs-source": `[{"metadata":{"address":"r:6379","databaseIndex":"3","enableTLS":"true","listLength":"9","listName":"work"},"type":"redis"},` +
			`{"metadata":{"address":"r:6379","databaseIndex":"3","enableTLS":"true","listLength":"9","listName":"work:a-shop-jobs"},"type":"redis"}]`,
		"shop-entries-source": `[{"authenticationRef":{"kind":"TriggerAuthentication","name":"login"},"metadata":{"address":"r:6379","consumerGroup":"a-shop-entries","lagCount":"9","stream":"entries"},"type":"redis-streams"},` +
			`{"authenticationRef":{"kind":"TriggerAuthentication","name":"login"},"metadata":{"address":"r:6379","consumerGroup":"a-shop-entries","pendingEntriesCount":"100","stream":"entries"},"type":"redis-streams"}]`,
	} {
		o := w.read("keda.sh/v1alpha1", "ScaledObject", "a", name)
		if o == nil {
			t.Fatalf("%s has no ScaledObject", name)
		}
		spec, _ := o.Object["spec"].(map[string]any)
		if got, _ := json.Marshal(spec["triggers"]); string(got) != want {
			t.Errorf("%s is scaled by\n%s, want\n%s", name, got, want)
		}
	}
	if w.read("keda.sh/v1alpha1", "ScaledObject", "a", "shop-talk-source") != nil {
		t.Error("a channel, of which Redis keeps nothing, is scaled")
	}
	object := &events.EventSource{} // an event that is taken away takes its scaler along
	w.must(w.client.Get(t.Context(), client.ObjectKey{Namespace: "a", Name: "shop"}, object))
	delete(object.Spec.Redis, "entries")
	w.must(w.client.Update(t.Context(), object))
	w.must(w.engine.ApplySource(t.Context(), source("redis", "talk")))
	if w.read("keda.sh/v1alpha1", "ScaledObject", "a", "shop-entries-source") != nil || w.read("keda.sh/v1alpha1", "ScaledObject", "a", "shop-jobs-source") == nil {
		t.Error("scalers were not pruned as their events were")
	}
}
