package run_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

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
	"github.com/openfunction/ofn/internal/control/trigger/run"
	"github.com/openfunction/ofn/internal/event"
)

type world struct {
	t *testing.T
	c *controltest.Client
	e *controltest.Engine
	k *run.Controller
}

var request = reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "ns", Name: "tr"}}

var (
	name = event.Name{Namespace: "ns", Name: "tr"}
	ref  = event.Ref{Kind: event.KindTrigger, Name: name}
)

func newWorld(t *testing.T, spec string, more ...client.Object) *world {
	t.Helper()
	tr := &events.Trigger{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "tr", Generation: 1}}
	if err := yaml.UnmarshalStrict([]byte(spec), &tr.Spec); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, c: controltest.New(t, append(more, tr)...), e: &controltest.Engine{}}
	w.k = run.NewController(w.c, run.Options{Engine: w.e, Clock: clocktesting.NewFakeClock(time.Unix(1e9, 0)), Resolver: &eventing.Resolver{Client: w.c, Engine: w.e}})
	return w
}

func (w *world) rest() {
	w.t.Helper()
	for range 4 {
		writes := w.c.Writes
		if _, err := w.k.Reconcile(context.Background(), request); err != nil {
			w.t.Fatal(err)
		}
		if w.c.Writes == writes {
			return
		}
	}
	w.t.Fatal("the trigger does not come to rest")
}

func (w *world) want(ready metav1.ConditionStatus, reason, message string) {
	w.t.Helper()
	s := controltest.Read(w.t, w.c.Raw, "ns", "tr", &events.Trigger{}).Status
	if c := s.Conditions; len(c) == 0 || c[0].Status != ready || c[0].Reason != reason || !strings.Contains(c[0].Message, message) || s.ObservedGeneration != 1 {
		w.t.Fatalf("status is %+v, want %s %s %q", s, ready, reason, message)
	}
}

func function(name string) *v1beta2.Function {
	return &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
}

func TestTrigger(t *testing.T) {
	w := newWorld(t, `
eventBus: default
inputs:
  a: {eventSource: es, event: one}
  b: {namespace: other, eventSource: es, event: two, filter: "type = 'x'"}
  c: {topic: done}
subscribers:
- condition: a && b
  sink: {ref: {kind: Function, name: fn, path: /p}}
  deadLetterSink: {uri: "http://letters"}
  topic: again
  deadLetterTopic: dead
- filter: "EXISTS subject"
  sink: {uri: "http://x"}
  deadLetterTopic: dead
  transform: {data: "data.x"}
  correlate: {window: 5s, key: data.id, all: true}
  rateLimit: {perSecond: "2.5"}
  ordered: true
  retry: {attempts: 2}
  concurrency: 7
  from: "12"
- topic: only
  deadLetterSink: {uri: "http://letters"}
`, function("fn"))
	w.rest()
	bus := event.Name{Name: "default"}
	letters, dead := &event.Sink{URI: "http://letters"}, &event.Sink{Topic: "dead", Bus: bus}
	want := event.Trigger{Name: name, Bus: bus,
		Inputs: map[string]event.TriggerInput{"a": {Topic: "ns-es-one"}, "b": {Topic: "other-es-two", Filter: "type = 'x'"}, "c": {Topic: "done"}},
		Subscribers: []event.Subscriber{
			{Condition: "a && b", Sink: &event.Sink{Function: &event.Name{Namespace: "ns", Name: "fn"}, Path: "/p"}, DeadLetter: letters},
			{Condition: "a && b", Sink: &event.Sink{Topic: "again", Bus: bus}, DeadLetter: dead},
			{Condition: "true", Filter: "EXISTS subject", Sink: &event.Sink{URI: "http://x"}, DeadLetter: dead, Transform: json.RawMessage(`{"data":"data.x"}`),
				Correlate: &event.Correlation{Window: 5 * time.Second, Key: "data.id", All: true}, RatePerSec: 2.5, Burst: 1, Ordered: true,
				Retry: event.Policy{Attempts: 2}, Concurrency: 7, From: "12"},
			{Condition: "true", Sink: &event.Sink{Topic: "only", Bus: bus}, DeadLetter: letters},
		}}
	got := w.e.Triggers[name]
	a, _ := json.MarshalIndent(got, "", " ")
	b, _ := json.MarshalIndent(want, "", " ")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("trigger is\n%s, want\n%s", a, b)
	}
	w.want("Unknown", "Connecting", "")
	w.e.Set(ref, event.Status{Ready: true, Handled: 2, Lag: 0}, false)
	w.rest()
	w.want("True", events.ReasonTriggerIsReady, "")
	if f := controltest.Read(t, w.c.Raw, "ns", "tr", &events.Trigger{}).Status.Flow; f == nil || f.Handled != 2 || *f.Lag != 0 {
		t.Errorf("flow is %+v", f)
	}
	w.e.Set(ref, event.Status{Reason: "BadCondition", Message: "of subscribers[0]"}, false)
	w.rest()
	w.want("False", "BadCondition", "subscribers[0]")
}

func TestMissing(t *testing.T) {
	w := newWorld(t, `{eventBus: b, inputs: {a: {topic: t}}, subscribers: [{condition: a, sink: {ref: {kind: Function, name: fn}}}, null]}`)
	w.rest()
	w.want("False", events.ReasonNoEventBus, `"b"`)
	if err := w.c.Raw.Create(context.Background(), &events.EventBus{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "b"}}); err != nil {
		t.Fatal(err)
	}
	w.rest()
	w.want("False", events.ReasonMissingReference, `subscribers[0]: Function "fn" is not in namespace "ns"`)
	if got := w.e.Triggers[name]; len(got.Subscribers) != 1 || got.Bus.Namespace != "ns" {
		t.Errorf("trigger is %+v", got)
	}
	if err := w.c.Raw.Create(context.Background(), function("fn")); err != nil {
		t.Fatal(err)
	}
	w.rest()
	w.want("Unknown", "Connecting", "")
	w.e.Refuse = errors.New("too many subscribers")
	w.rest()
	w.want("False", events.ReasonErrorTrigger, "too many subscribers")
}

func TestRemoval(t *testing.T) {
	w := newWorld(t, `{eventBus: default, inputs: {a: {topic: t}}, subscribers: [{condition: a, topic: x}]}`)
	w.rest()
	tr := controltest.Read(t, w.c.Raw, "ns", "tr", &events.Trigger{})
	if err := w.c.Raw.Delete(context.Background(), tr); err != nil {
		t.Fatal(err)
	}
	w.rest()
	if len(w.e.Triggers) != 0 {
		t.Errorf("triggers %v", w.e.Triggers)
	}
}
