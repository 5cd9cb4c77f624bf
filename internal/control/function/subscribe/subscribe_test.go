package subscribe_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv2 "github.com/openfunction/ofn/api/dapr/v2alpha1"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/eventing"
	"github.com/openfunction/ofn/internal/control/function/subscribe"
	"github.com/openfunction/ofn/internal/event"
)

var (
	name = event.Name{Namespace: "ns", Name: "fn"}
	ref  = event.Ref{Kind: event.KindApp, Name: name}
)

type world struct {
	t  *testing.T
	c  *controltest.Client
	e  *controltest.Engine
	p  *subscribe.Phase
	fn *v1beta2.Function
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	w := &world{t: t, c: controltest.New(t, objects...), e: &controltest.Engine{}}
	w.p = subscribe.New(w.c, subscribe.Options{Engine: w.e, Clock: clocktesting.NewFakeClock(time.Unix(1e9, 0)), Resolver: &eventing.Resolver{Client: w.c, Engine: w.e}})
	w.fn = &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "fn", Generation: 1}}
	w.fn.Spec.Serving = &v1beta2.FunctionServing{}
	return w
}

func revision(t *testing.T, name, spec string) *v1beta2.Serving {
	t.Helper()
	s := &v1beta2.Serving{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Labels: map[string]string{v1beta2.LabelFunction: "fn"}}}
	if err := yaml.UnmarshalStrict([]byte(spec), &s.Spec); err != nil {
		t.Fatal(err)
	}
	return s
}

// reconcile runs the phase with these revisions known to the function.
func (w *world) reconcile(ready, created string) {
	w.t.Helper()
	w.fn.Status.LatestReadyRevision, w.fn.Status.LatestCreatedRevision = ready, created
	if _, err := w.p.Reconcile(context.Background(), w.fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) want(ready metav1.ConditionStatus, reason, message string) {
	w.t.Helper()
	c := condition.Get(w.fn.Status.Conditions, v1beta2.ConditionEventsReady)
	if c == nil || c.Status != ready || c.Reason != reason || !strings.Contains(c.Message, message) {
		w.t.Fatalf("condition is %+v, want %s %s %q", c, ready, reason, message)
	}
}

const (
	redis = `{type: state.redis, version: v1, metadata: [{name: redisHost, value: "r:6379"}]}`
	first = `
image: i
annotations: {dapr.io/app-id: me, dapr.io/app-max-concurrency: "3", dapr.io/app-protocol: HTTP, dapr.io/enable-api-logging: "true"}
triggers:
  http: {port: 9000}
  dapr: [{name: cron}, {name: news, inputName: letters, topic: t}, {name: elsewhere, type: bindings.kafka}]
outputs: [{dapr: {name: cron}}]
bindings: {cron: {type: bindings.cron, version: v1, ignoreErrors: true, initTimeout: 3s, metadata: [{name: schedule, value: "@every 1s"}]}}
pubsub: {news: {type: pubsub.redis, version: v1, metadata: [{name: redisPassword, secretKeyRef: {name: s, key: k}}, {name: redisDB, value: 1}]}}
states: {mine: {spec: ` + redis + `}, shared: {}}`
)

func subscription(t *testing.T, name, text string) *daprv2.Subscription {
	t.Helper()
	s := &daprv2.Subscription{}
	if err := yaml.UnmarshalStrict([]byte(text), s); err != nil {
		t.Fatal(err)
	}
	s.Namespace, s.Name = "ns", name
	return s
}

func password() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s"}, Data: map[string][]byte{"k": []byte("hidden")}}
}

func TestApp(t *testing.T) {
	w := newWorld(t, revision(t, "fn-00001", first), password(),
		subscription(t, "b", `{spec: {pubsubname: p, topic: t, routes: {rules: [{match: "event.type == 'x'", path: /x}], default: /d}, deadLetterTopic: dead, metadata: {rawPayload: "true"}, bulkSubscribe: {enabled: true, maxMessagesCount: 5, maxAwaitDurationMs: 40}}, scopes: [other, me]}`),
		subscription(t, "a", `{spec: {pubsubname: p, topic: all, routes: {default: d}}}`),
		subscription(t, "c", `{spec: {pubsubname: p, topic: old, routes: {default: d}}, scopes: [fn-ns]}`),
		subscription(t, "z", `{spec: {pubsubname: p, topic: no, routes: {default: d}}, scopes: [other]}`))
	w.reconcile("", "fn-00001")
	w.want("Unknown", "Connecting", "")
	own := func(name string) event.Name { return event.Name{Namespace: "ns", Name: name} }
	want := event.App{Name: name, ID: "me", Revision: "fn-00001", Port: 9000, Protocol: "http", MaxConcurrency: 3,
		Components: []event.Component{
			{Name: own("cron"), Type: "bindings.cron", Version: "v1", IgnoreErrors: true, InitTimeout: 3 * time.Second, Metadata: map[string]string{"schedule": "@every 1s"}},
			{Name: own("mine"), Type: "state.redis", Version: "v1", Metadata: map[string]string{"redisHost": "r:6379"}},
			{Name: own("news"), Type: "pubsub.redis", Version: "v1", Metadata: map[string]string{"redisPassword": "hidden", "redisDB": "1"}},
		},
		Inputs: []event.Input{{Name: "cron", Component: "cron", Type: "bindings.cron"}, {Name: "letters", Component: "news", Type: "pubsub.redis", Topic: "t"},
			{Name: "elsewhere", Component: "elsewhere", Type: "bindings.kafka"}},
		Subscriptions: []event.Subscription{{Name: "a", Component: "p", Topic: "all", Default: "d"},
			{Name: "b", Component: "p", Topic: "t", Routes: []event.Route{{Match: "event.type == 'x'", Path: "/x"}}, Default: "/d", DeadLetterTopic: "dead",
				Metadata: map[string]string{"rawPayload": "true"}, Bulk: true, BulkMessages: 5, BulkAwait: 40 * time.Millisecond},
			{Name: "c", Component: "p", Topic: "old", Default: "d"}},
	}
	if got := w.e.Apps[name]; !reflect.DeepEqual(got, want) {
		t.Errorf("application is\n%+v, want\n%+v", got, want)
	}
	w.e.Set(ref, event.Status{Ready: true}, false)
	w.reconcile("fn-00001", "fn-00001")
	w.want("True", "Ready", "")
	w.e.Set(ref, event.Status{Reason: "BadCredentials", Message: "component news: wrong password"}, false)
	w.reconcile("fn-00001", "fn-00001")
	w.want("False", "BadCredentials", "wrong password")
	w.e.Refuse = errors.New("too many inputs")
	w.reconcile("fn-00001", "fn-00001")
	w.want("False", "Refused", "too many inputs")
}

// The revision that is ready has the events; the newest finds its own components when it proves itself.
func TestTwoRevisions(t *testing.T) {
	w := newWorld(t, revision(t, "fn-00001", `{image: i, states: {a: {spec: `+redis+`}}}`),
		revision(t, "fn-00002", `{image: i, states: {a: {spec: {type: state.sqlite, version: v1, metadata: []}}, b: {spec: `+redis+`}}}`))
	w.reconcile("fn-00001", "fn-00002")
	got := w.e.Apps[name]
	if got.Revision != "fn-00001" || len(got.Components) != 2 || got.Components[0].Type != "state.redis" || got.Components[1].Name.Name != "b" {
		t.Errorf("application is %+v", got)
	}
	w.reconcile("fn-00002", "fn-00002")
	if got = w.e.Apps[name]; got.Revision != "fn-00002" || got.Components[0].Type != "state.sqlite" {
		t.Errorf("application is %+v", got)
	}
}

func TestMissingSecret(t *testing.T) {
	w := newWorld(t, revision(t, "fn-00001", first))
	w.reconcile("fn-00001", "fn-00001")
	w.want("False", "MissingReference", `component "news": metadata "redisPassword": secret "s" is not in namespace "ns"`)
	if len(w.e.Apps) != 0 {
		t.Errorf("applications %v", w.e.Apps)
	}
	if err := w.c.Raw.Create(context.Background(), password()); err != nil {
		t.Fatal(err)
	}
	w.reconcile("fn-00001", "fn-00001")
	w.want("Unknown", "Connecting", "")
}

// TestDelivery: what an input says of retries and dead letters reaches the engine; a sink that is not there yet is told.
func TestDelivery(t *testing.T) {
	w := newWorld(t, revision(t, "fn-00001", `{image: i, triggers: {dapr: [null,
		{name: a, type: pubsub.redis, topic: t, retry: {attempts: 3, initialInterval: 1s, maxInterval: 2s, maxAge: 1h}, deadLetterTopic: dead},
		{name: b, type: bindings.redis, deadLetterSink: {ref: {kind: Function, name: grave}}}, {name: c, type: bindings.redis, deadLetterSink: {uri: "http://x"}}]}}`))
	want := []event.Input{
		{Name: "a", Component: "a", Type: "pubsub.redis", Topic: "t", DeadLetterTopic: "dead", Retry: &event.Policy{Attempts: 3, Initial: time.Second, Max: 2 * time.Second, MaxAge: time.Hour}},
		{Name: "b", Component: "b", Type: "bindings.redis", DeadLetter: &event.Sink{Function: &event.Name{Namespace: "ns", Name: "grave"}}},
		{Name: "c", Component: "c", Type: "bindings.redis", DeadLetter: &event.Sink{URI: "http://x"}},
	}
	w.reconcile("fn-00001", "fn-00001")
	w.want("False", "MissingReference", `dapr trigger "b": deadLetterSink: Function "grave" is not in namespace "ns"`)
	if got := w.e.Apps[name].Inputs; !reflect.DeepEqual(got, want) {
		t.Errorf("inputs are\n%+v, want\n%+v", got, want)
	}
	if err := w.c.Raw.Create(context.Background(), &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "grave"}}); err != nil {
		t.Fatal(err)
	}
	w.reconcile("fn-00001", "fn-00001")
	w.want("Unknown", "Connecting", "")
	if got := w.e.Apps[name].Inputs; !reflect.DeepEqual(got, want) {
		t.Errorf("inputs are\n%+v, want\n%+v", got, want)
	}
}

// Functions without anything of Dapr, with Dapr switched off, of another's revision, only built, deleted: none is an application.
func TestNoApplication(t *testing.T) {
	foreign := revision(t, "leader-00001", `{image: i, states: {a: {spec: `+redis+`}}}`)
	foreign.Labels[v1beta2.LabelFunction] = "leader"
	w := newWorld(t, revision(t, "fn-00001", `{image: i, states: {a: {spec: `+redis+`}}}`), revision(t, "fn-00002", `{image: i}`),
		revision(t, "fn-00003", `{image: i, annotations: {openfunction.io/enable-dapr: "false"}, outputs: [{dapr: {name: a}}]}`),
		revision(t, "fn-00004", `{image: i, annotations: {openfunction.io/enable-dapr: "true"}}`), foreign)
	for _, test := range []struct {
		revision string
		there    bool
	}{{"fn-00001", true}, {"fn-00002", false}, {"fn-00004", true}, {"fn-00003", false}, {"fn-00001", true}, {"leader-00001", false}, {"fn-00001", true}, {"away", false}, {"fn-00001", true}, {"", false}} {
		w.reconcile(test.revision, test.revision)
		_, there := w.e.Apps[name]
		if told := condition.Get(w.fn.Status.Conditions, v1beta2.ConditionEventsReady) != nil; there != test.there || told != test.there {
			t.Errorf("%q: there %v, told %v", test.revision, there, told)
		}
	}
	w.reconcile("fn-00001", "fn-00001")
	if err := w.p.Gone(context.Background(), "ns", "fn"); err != nil || len(w.e.Apps) != 0 {
		t.Errorf("applications %v, error %v", w.e.Apps, err)
	}
}

// What passed through each component is told, at most every fifteen seconds; how it stands, at once.
func TestFlows(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Unix(1e9, 0))
	w := newWorld(t, revision(t, "fn-1", `{triggers: {dapr: [{name: orders, type: pubsub.redis, topic: a}, {name: orders, type: pubsub.redis, topic: b}]}, outputs: [{dapr: {name: mail, type: bindings.smtp}}]}`))
	w.p = subscribe.New(w.c, subscribe.Options{Engine: w.e, Clock: clock, Resolver: &eventing.Resolver{Client: w.c, Engine: w.e}})
	in := event.Ref{Kind: event.KindInput, Name: name, Event: "orders"}
	w.e.Set(in, event.Status{Ready: true, Handled: 3, Failed: 1, DeadLetters: 2, PerSecond: 0.5, LastError: "answered 500", LastEvent: time.Unix(1e9, 0)}, false)
	w.e.Set(event.Ref{Kind: event.KindOutput, Name: name, Event: "mail"}, event.Status{Reason: "Connecting", Message: "no such host"}, false)
	w.reconcile("fn-1", "fn-1")
	got := w.fn.Status.Events
	if len(got) != 2 || got[0].Component != "orders" || got[0].Direction != "Input" || !got[0].Ready || got[0].Handled != 3 || got[0].Failed != 1 ||
		got[0].DeadLetters != 2 || got[0].PerMinute != 30 || got[0].LastError != "answered 500" || got[0].LastEventTime == nil {
		t.Fatalf("%+v", got)
	}
	if got[1].Component != "mail" || got[1].Direction != "Output" || got[1].Ready || got[1].Reason != "Connecting" || got[1].Message != "no such host" {
		t.Fatalf("%+v", got[1])
	}
	w.e.Set(in, event.Status{Ready: true, Handled: 4}, false)
	w.reconcile("fn-1", "fn-1")
	if got := w.fn.Status.Events; got[0].Handled != 3 {
		t.Errorf("figures are written again at once: %+v", got[0])
	}
	clock.Step(eventing.Rarely)
	w.reconcile("fn-1", "fn-1")
	if got := w.fn.Status.Events; got[0].Handled != 4 {
		t.Errorf("figures are not written: %+v", got[0])
	}
	w.e.Set(in, event.Status{Reason: "BadCredentials"}, false)
	w.reconcile("fn-1", "fn-1")
	if got := w.fn.Status.Events; got[0].Ready || got[0].Reason != "BadCredentials" {
		t.Errorf("how it stands has to wait: %+v", got[0])
	}
}
