package run_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/eventing"
	"github.com/openfunction/ofn/internal/control/eventsource/run"
	"github.com/openfunction/ofn/internal/event"
)

type world struct {
	t     *testing.T
	c     *controltest.Client
	e     *controltest.Engine
	clock *clocktesting.FakeClock
	k     *run.Controller
}

var request = reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "ns", Name: "es"}}

func newWorld(t *testing.T, spec string, more ...client.Object) *world {
	t.Helper()
	s := &events.EventSource{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "es", Generation: 1}}
	if err := yaml.UnmarshalStrict([]byte(spec), &s.Spec); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, c: controltest.New(t, append(more, s)...), e: &controltest.Engine{}, clock: clocktesting.NewFakeClock(time.Unix(1e9, 0))}
	w.k = run.NewController(w.c, run.Options{Engine: w.e, Clock: w.clock, Resolver: &eventing.Resolver{Client: w.c, Engine: w.e}})
	return w
}

// rest reconciles until nothing is written any more.
func (w *world) rest() reconcile.Result {
	w.t.Helper()
	for range 4 {
		writes := w.c.Writes
		result, err := w.k.Reconcile(context.Background(), request)
		if err != nil {
			w.t.Fatal(err)
		}
		if w.c.Writes == writes {
			return result
		}
	}
	w.t.Fatal("the event source does not come to rest")
	return reconcile.Result{}
}

func (w *world) status() events.EventSourceStatus {
	w.t.Helper()
	return controltest.Read(w.t, w.c.Raw, "ns", "es", &events.EventSource{}).Status
}

func (w *world) want(ready metav1.ConditionStatus, reason, message string) {
	w.t.Helper()
	c := w.status().Conditions
	if len(c) == 0 || c[0].Type != "Ready" || c[0].Status != ready || c[0].Reason != reason || !strings.Contains(c[0].Message, message) || c[0].ObservedGeneration != 1 {
		w.t.Fatalf("conditions are %+v, want %s %s %q", c, ready, reason, message)
	}
}

func ref(name string) event.Ref {
	return event.Ref{Kind: event.KindSource, Name: event.Name{Namespace: "ns", Name: "es"}, Event: name}
}

func (w *world) spec(name string) map[string]any {
	w.t.Helper()
	out := map[string]any{}
	if err := json.Unmarshal(w.e.Sources[ref(name)].Spec, &out); err != nil {
		w.t.Fatal(err)
	}
	return out
}

func hidden(name string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Data: map[string][]byte{"k": []byte("hidden")}}
}

func TestSources(t *testing.T) {
	w := newWorld(t, `
eventBus: default
sink: {ref: {kind: Function, name: fn, path: /in}}
deadLetterSink: {uri: "http://letters"}
retry: {attempts: 3, initialInterval: 1s, maxInterval: 5s, maxAge: 1h}
kafka: {k: {brokers: "b:9092", topic: t, authRequired: true, saslUsername: u, secretRefs: {saslPassword: {name: s, key: k}}, scaleOption: {lagThreshold: "1"}}}
cron: {c: {schedule: "@hourly"}}
dapr: {d: {type: bindings.mqtt3, version: v1, topic: x, metadata: [{name: url, value: "tcp://m"}, {name: p, secretKeyRef: {name: s, key: k}}]}}`,
		hidden("s"), &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn"}})
	w.rest()
	w.want("Unknown", "Connecting", "")
	k := w.e.Sources[ref("k")]
	k.Spec = nil
	want := event.Source{Name: event.Name{Namespace: "ns", Name: "es"}, Event: "k", Kind: "kafka", Bus: event.Name{Name: "default"}, Topic: "ns-es-k",
		Sink: &event.Sink{Function: &event.Name{Namespace: "ns", Name: "fn"}, Path: "/in"}, DeadLetter: &event.Sink{URI: "http://letters"},
		Retry: event.Policy{Attempts: 3, Initial: time.Second, Max: 5 * time.Second, MaxAge: time.Hour}}
	if !reflect.DeepEqual(k, want) {
		t.Errorf("source is %+v, want %+v", k, want)
	}
	if got := w.spec("k"); !reflect.DeepEqual(got, map[string]any{"brokers": "b:9092", "topic": "t", "authRequired": true, "saslUsername": "u", "saslPassword": "hidden"}) {
		t.Errorf("fields are %v", got)
	}
	component := map[string]any{"name": "es-d", "type": "bindings.mqtt3", "version": "v1", "metadata": map[string]any{"url": "tcp://m", "p": "hidden"}}
	if got := w.spec("d"); !reflect.DeepEqual(got, map[string]any{"topic": "x", "component": component}) {
		t.Errorf("fields are %v", got)
	}
	for _, name := range []string{"k", "c", "d"} {
		w.e.Set(ref(name), event.Status{Ready: true, Reason: "Ready"}, false)
	}
	w.rest()
	w.want("True", events.ReasonEventSourceIsReady, "")
	if got := w.status().Events; len(got) != 3 || got[0].Name != "c" || got[0].Kind != "cron" || got[0].Topic != "ns-es-c" || !got[0].Ready || got[0].Flow != nil {
		t.Errorf("events are %+v", got)
	}
	w.e.Set(ref("c"), event.Status{Reason: "BadCredentials", Message: "the broker refuses u"}, false)
	w.rest()
	w.want("False", "BadCredentials", "c: the broker refuses u")
}

// Busy sources are written about every fifteen seconds, quiet ones not at all.
func TestFigures(t *testing.T) {
	w := newWorld(t, `{sink: {uri: "http://x"}, cron: {c: {schedule: "@hourly"}}}`)
	w.rest()
	w.e.Set(ref("c"), event.Status{Ready: true, Handled: 1}, false)
	w.rest()
	writes := w.c.Writes
	w.clock.Step(time.Second)
	w.e.Set(ref("c"), event.Status{Ready: true, Handled: 2}, false)
	if result := w.rest(); w.c.Writes != writes || result.RequeueAfter != eventing.Rarely-time.Second {
		t.Errorf("%d writes, result %+v", w.c.Writes-writes, result)
	}
	w.clock.Step(eventing.Rarely)
	w.rest()
	if got := w.status().Events[0].Flow; w.c.Writes != writes+1 || got.Handled != 2 {
		t.Errorf("%d writes, flow %+v", w.c.Writes-writes, got)
	}
	w.clock.Step(time.Hour)
	if result := w.rest(); w.c.Writes != writes+1 || result.RequeueAfter != 0 {
		t.Errorf("%d writes, result %+v", w.c.Writes-writes, result)
	}
}

// A bus of the cluster gives way to one of the namespace, and one that is nowhere is told.
func TestBuses(t *testing.T) {
	w := newWorld(t, `{eventBus: b, cron: {c: {schedule: "@hourly"}}}`)
	w.rest()
	w.want("False", events.ReasonNoEventBus, `no EventBus "b"`)
	if len(w.e.Sources) != 0 {
		t.Errorf("sources %v", w.e.Sources)
	}
	for _, bus := range []client.Object{&events.ClusterEventBus{ObjectMeta: metav1.ObjectMeta{Name: "b"}}, &events.EventBus{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "b"}}} {
		if err := w.c.Raw.Create(context.Background(), bus); err != nil {
			t.Fatal(err)
		}
		w.rest()
		if got := w.e.Sources[ref("c")].Bus; got.Namespace != bus.GetNamespace() || got.Name != "b" {
			t.Errorf("bus is %v", got)
		}
	}
}

// What is missing is told, and what runs goes on.
func TestMissing(t *testing.T) {
	w := newWorld(t, `{sink: {ref: {kind: Function, name: fn}}, mqtt: {m: {url: "tcp://m", topic: t, secretRefs: {password: {name: s, key: k}}}}}`, hidden("s"))
	w.rest()
	w.want("False", events.ReasonMissingReference, `Function "fn" is not in namespace "ns"`)
	if w.e.Sources[ref("m")].Sink == nil {
		t.Error("does not wait for its function")
	}
	if err := w.c.Raw.Create(context.Background(), &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn"}}); err != nil {
		t.Fatal(err)
	}
	w.e.Set(ref("m"), event.Status{Ready: true}, false)
	w.rest()
	w.want("True", events.ReasonEventSourceIsReady, "")
	if err := w.c.Raw.Delete(context.Background(), hidden("s")); err != nil {
		t.Fatal(err)
	}
	if result := w.rest(); result.RequeueAfter == 0 {
		t.Error("does not look again")
	}
	w.want("False", events.ReasonMissingReference, `field password: secret "s" is not in namespace "ns"`)
	if len(w.e.Sources) != 1 {
		t.Errorf("sources %v", w.e.Sources)
	}
}

func TestRefusedByTheEngine(t *testing.T) {
	w := newWorld(t, `{sink: {uri: "http://x"}, cron: {c: {schedule: "@hourly"}}}`)
	w.e.Refuse = errors.New("kind cron is not offered")
	w.rest()
	w.want("False", events.ReasonErrorEventSource, "not offered")
}

// Events that left the manifest, and all when it is deleted, leave the engine.
func TestRemoval(t *testing.T) {
	w := newWorld(t, `{sink: {uri: "http://x"}, cron: {a: {schedule: "@hourly"}, b: {schedule: "@hourly"}, none: null}}`)
	w.rest()
	s := controltest.Read(t, w.c.Raw, "ns", "es", &events.EventSource{})
	controltest.Write(t, w.c.Raw, s, func() { delete(s.Spec.Cron, "a") })
	w.rest()
	if _, ok := w.e.Sources[ref("b")]; !ok || len(w.e.Sources) != 1 {
		t.Errorf("sources %v", w.e.Sources)
	}
	if err := w.c.Raw.Delete(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	w.rest()
	if len(w.e.Sources) != 0 {
		t.Errorf("sources %v", w.e.Sources)
	}
}
