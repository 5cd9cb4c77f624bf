package daprd_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/dapr/daprd"
	"github.com/openfunction/ofn/internal/event"
)

func TestFiles(t *testing.T) {
	name := func(n string) event.Name { return event.Name{Namespace: "ns", Name: n} }
	app := event.App{Name: name("f"), Components: []event.Component{
		{Name: name("own"), Type: "state.redis", Metadata: map[string]string{"redisPassword": `a "b"`, "redisHost": "r:1"}, IgnoreErrors: true, InitTimeout: 3 * time.Second}},
		Subscriptions: []event.Subscription{{Name: "s", Component: "p", Topic: "t", Default: "/d", Routes: []event.Route{{Match: "event.type == 'x'", Path: "/x"}},
			DeadLetterTopic: "dead", Metadata: map[string]string{"rawPayload": "true"}, Bulk: true, BulkMessages: 5, BulkAwait: 40 * time.Millisecond}}}
	got, err := daprd.Files(app, []event.Component{{Name: name("shared"), Type: "pubsub.redis", Version: "v2"}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"component-000.yaml":    `{"apiVersion":"dapr.io/v1alpha1","kind":"Component","metadata":{"name":"own"},"spec":{"type":"state.redis","version":"v1","ignoreErrors":true,"initTimeout":"3s","metadata":[{"name":"redisHost","value":"r:1"},{"name":"redisPassword","value":"a \"b\""}]}}`,
		"component-001.yaml":    `{"apiVersion":"dapr.io/v1alpha1","kind":"Component","metadata":{"name":"shared"},"spec":{"type":"pubsub.redis","version":"v2","metadata":[]}}`,
		"subscription-000.yaml": `{"apiVersion":"dapr.io/v2alpha1","kind":"Subscription","metadata":{"name":"s"},"spec":{"pubsubname":"p","topic":"t","routes":{"rules":[{"match":"event.type == 'x'","path":"/x"}],"default":"/d"},"deadLetterTopic":"dead","metadata":{"rawPayload":"true"},"bulkSubscribe":{"enabled":true,"maxMessagesCount":5,"maxAwaitDurationMs":40}}}`,
	}
	if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) {
		t.Fatalf("files %v", slices.Sorted(maps.Keys(got)))
	}
	for file, text := range want {
		if string(got[file]) != text {
			t.Errorf("%s is\n%s, want\n%s", file, got[file], text)
		}
	}
}

func TestLocal(t *testing.T) {
	for text, want := range map[string][]int{
		"localhost:6379": {6379}, "127.0.0.1:9092,10.0.0.1:9093,localhost:9094": {9092, 9094}, "amqp://guest:guest@localhost:5672/": {5672},
		"host=localhost user=u password=p port=5433": {5433}, "host=localhost user=u": {5432}, "host=db port=5433": nil, "user:pw@tcp(127.0.0.1:3306)/db": {3306},
		"[::1]:80": {80}, "amqp://localhost": {5672}, "notlocalhost:1": nil, "my-localhost:1": nil, "db.localhost:1": nil, "localhost:70000": nil, "redis:6379": nil,
		"http://localhost/x": {80}, "postgres://u:p@127.0.0.1/db": {5432},
	} {
		got := daprd.Local([]event.Component{{Metadata: map[string]string{"key": text}}})
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
		if again := daprd.Local(nil, text); !slices.Equal(again, want) {
			t.Errorf("%s: %v, want %v", text, again, want)
		}
	}
}
