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

	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/control/controltest"
	"github.com/openfunction/ofn/internal/control/eventbus/run"
	"github.com/openfunction/ofn/internal/control/eventing"
	"github.com/openfunction/ofn/internal/event"
)

type world struct {
	t   *testing.T
	c   *controltest.Client
	e   *controltest.Engine
	k   *run.Controller
	key types.NamespacedName
}

// newWorld has a bus of the namespace; without one it is a bus of the cluster.
func newWorld(t *testing.T, namespace, spec string, more ...client.Object) *world {
	t.Helper()
	w := &world{t: t, e: &controltest.Engine{}, key: types.NamespacedName{Namespace: namespace, Name: "b"}}
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "b", Generation: 1}
	var bus client.Object
	var into *events.EventBusSpec
	if namespace == "" {
		b := &events.ClusterEventBus{ObjectMeta: meta}
		bus, into = b, &b.Spec
	} else {
		b := &events.EventBus{ObjectMeta: meta}
		bus, into = b, &b.Spec
	}
	if err := yaml.UnmarshalStrict([]byte(spec), into); err != nil {
		t.Fatal(err)
	}
	w.c = controltest.New(t, append(more, bus)...)
	o := run.Options{Engine: w.e, Clock: clocktesting.NewFakeClock(time.Unix(1e9, 0)), Resolver: &eventing.Resolver{Client: w.c, Engine: w.e}}
	w.k = run.NewController(w.c, o)
	if namespace == "" {
		w.k = run.NewClusterController(w.c, o)
	}
	return w
}

func (w *world) rest() {
	w.t.Helper()
	for range 4 {
		writes := w.c.Writes
		if _, err := w.k.Reconcile(context.Background(), reconcile.Request{NamespacedName: w.key}); err != nil {
			w.t.Fatal(err)
		}
		if w.c.Writes == writes {
			return
		}
	}
	w.t.Fatal("the bus does not come to rest")
}

func (w *world) status() events.EventBusStatus {
	w.t.Helper()
	if w.key.Namespace == "" {
		return controltest.Read(w.t, w.c.Raw, "", "b", &events.ClusterEventBus{}).Status
	}
	return controltest.Read(w.t, w.c.Raw, "ns", "b", &events.EventBus{}).Status
}

func (w *world) want(ready metav1.ConditionStatus, reason, message string) {
	w.t.Helper()
	s := w.status()
	if c := s.Conditions; len(c) == 0 || c[0].Status != ready || c[0].Reason != reason || !strings.Contains(c[0].Message, message) || s.ObservedGeneration != 1 {
		w.t.Fatalf("status is %+v, want %s %s %q", s, ready, reason, message)
	}
}

func keys(namespace, name string, pairs ...string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{}}
	for i := 0; i < len(pairs); i += 2 {
		s.Data[pairs[i]] = []byte(pairs[i+1])
	}
	return s
}

func TestBuses(t *testing.T) {
	secrets := func(namespace string) []client.Object {
		return []client.Object{keys(namespace, "login", "username", "u", "password", "p"), keys(namespace, "tls", "ca.crt", "CA", "tls.crt", "C", "tls.key", "K"),
			&daprv1.Component{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "there"}, Spec: daprv1.ComponentSpec{Type: "pubsub.redis", Version: "v1"}}}
	}
	for _, test := range []struct {
		namespace, spec string
		want            event.Bus
	}{
		{"ns", `{}`, event.Bus{Kind: "embedded"}},
		{"", `{natsStreaming: {natsURL: "nats://x", natsStreamingClusterID: s, subscriptionType: queue, durableSubscriptionName: d}, retention: {maxAge: 1h, maxBytes: 1Mi, duplicates: 1m}}`,
			event.Bus{Kind: "embedded", Retention: event.Retention{MaxAge: time.Hour, MaxBytes: 1 << 20, Duplicates: time.Minute}}},
		{"ns", `{jetStream: {url: "nats://x", stream: S, subjectPrefix: p, replicas: 3, credentialsSecret: login, tls: {secretName: tls, insecureSkipVerify: true}}}`,
			event.Bus{Kind: "jetStream", Options: options(t, event.JetStreamOptions{URL: "nats://x", Stream: "S", SubjectPrefix: "p", Replicas: 3, Username: "u", Password: "p",
				CA: "CA", Certificate: "C", Key: "K", Insecure: true})}},
		{"", `{kafka: {brokers: "a:9092,b:9092"}}`, event.Bus{Kind: "kafka", Component: &event.Component{Name: event.Name{Namespace: "openfunction", Name: "eventbus-b"},
			Type: "pubsub.kafka", Version: "v1", Metadata: map[string]string{"brokers": "a:9092,b:9092", "authType": "none", "disableTls": "true"}}}},
		{"ns", `{kafka: {brokers: a, credentialsSecret: login, saslMechanism: SHA-512, tls: {secretName: tls, insecureSkipVerify: true}, metadata: {clientID: me}}}`,
			event.Bus{Kind: "kafka", Component: &event.Component{Name: event.Name{Namespace: "ns", Name: "eventbus-b"}, Type: "pubsub.kafka", Version: "v1",
				Metadata: map[string]string{"brokers": "a", "authType": "password", "saslUsername": "u", "saslPassword": "p", "saslMechanism": "SHA-512", "disableTls": "false",
					"skipVerify": "true", "caCert": "CA", "clientCert": "C", "clientKey": "K", "clientID": "me"}}}},
		{"ns", `{kafka: {brokers: a, tls: {secretName: tls}}}`, event.Bus{Kind: "kafka", Component: &event.Component{Name: event.Name{Namespace: "ns", Name: "eventbus-b"}, Type: "pubsub.kafka", Version: "v1",
			Metadata: map[string]string{"brokers": "a", "authType": "mtls", "disableTls": "false", "caCert": "CA", "clientCert": "C", "clientKey": "K"}}}},
		{"", `{dapr: {component: there}}`, event.Bus{Kind: "dapr", Component: &event.Component{Name: event.Name{Namespace: "openfunction", Name: "there"}, Type: "pubsub.redis", Version: "v1",
			Metadata: map[string]string{}}}},
		{"ns", `{dapr: {type: pubsub.redis, metadata: [{name: p, secretKeyRef: {name: login, key: password}}]}}`, event.Bus{Kind: "dapr",
			Component: &event.Component{Name: event.Name{Namespace: "ns", Name: "eventbus-b"}, Type: "pubsub.redis", Metadata: map[string]string{"p": "p"}}}},
	} {
		home := test.namespace
		if home == "" {
			home = "openfunction"
		}
		w := newWorld(t, test.namespace, test.spec, secrets(home)...)
		w.rest()
		test.want.Name = event.Name{Namespace: test.namespace, Name: "b"}
		if got := w.e.Buses[test.want.Name]; !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: bus is %+v (%+v), want %+v (%+v)", test.spec, got, got.Component, test.want, test.want.Component)
		}
		w.want("Unknown", "Connecting", "")
		w.e.Set(event.Ref{Kind: event.KindBus, Name: test.want.Name}, event.Status{Ready: true}, false)
		w.rest()
		if c := w.status(); c.Conditions[0].Status != "True" || c.Kind != test.want.Kind {
			t.Errorf("%s: status is %+v", test.spec, c)
		}
	}
}

func options(t *testing.T, o event.JetStreamOptions) json.RawMessage {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestNatsStreamingIsTold(t *testing.T) {
	w := newWorld(t, "ns", `{natsStreaming: {natsURL: "nats://x", natsStreamingClusterID: s, subscriptionType: queue, durableSubscriptionName: d}}`)
	w.rest()
	w.e.Set(event.Ref{Kind: event.KindBus, Name: event.Name{Namespace: "ns", Name: "b"}}, event.Status{Ready: true}, false)
	w.rest()
	w.want("True", events.ReasonNatsStreamingMapped, "end of life")
}

func TestWrong(t *testing.T) {
	for spec, message := range map[string]string{
		`{jetStream: {url: "nats://x", credentialsSecret: away}}`:                              `secret "away" is not in namespace "ns"`,
		`{jetStream: {url: "nats://x", credentialsSecret: empty}}`:                             "none of the keys",
		`{jetStream: {url: "nats://x", tls: {secretName: half}}}`:                              "only one of the keys",
		`{kafka: {brokers: a, credentialsSecret: empty}}`:                                      "must have the keys username and password",
		`{dapr: {component: away}}`:                                                            `Component "away" is not in namespace "ns"`,
		`{dapr: {type: pubsub.x, metadata: [{name: a, secretKeyRef: {name: empty, key: k}}]}}`: `no key "k"`,
	} {
		w := newWorld(t, "ns", spec, keys("ns", "empty"), keys("ns", "half", "tls.crt", "C"))
		w.rest()
		w.want("False", events.ReasonMissingReference, message)
		if len(w.e.Buses) != 0 {
			t.Errorf("%s: buses %v", spec, w.e.Buses)
		}
	}
	w := newWorld(t, "ns", `{}`)
	w.e.Refuse = errors.New("the disk is full")
	w.rest()
	w.want("False", events.ReasonErrorConfiguration, "the disk is full")
}

// A bus that is deleted is gone; "default" of the cluster becomes again what it is without being declared.
func TestRemoval(t *testing.T) {
	w := newWorld(t, "ns", `{}`)
	w.rest()
	if err := w.c.Raw.Delete(context.Background(), controltest.Read(t, w.c.Raw, "ns", "b", &events.EventBus{})); err != nil {
		t.Fatal(err)
	}
	w.rest()
	if len(w.e.Buses) != 0 {
		t.Errorf("buses %v", w.e.Buses)
	}
	w = newWorld(t, "", `{}`)
	w.key.Name = "default"
	w.rest()
	if got := w.e.Buses[event.Name{Name: "default"}]; got.Kind != "embedded" {
		t.Errorf("buses %v", w.e.Buses)
	}
}
