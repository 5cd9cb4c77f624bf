package v1alpha1_test

import (
	"encoding/json"
	"math/rand"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/randfill"

	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/api/opaque"
)

// A seed makes an object with any of its fields: written and read it is the same, its copy too, and no rule stumbles over it.
func FuzzRoundTrip(f *testing.F) {
	for seed := range int64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed int64) {
		fill := randfill.New().RandSource(rand.New(rand.NewSource(seed))).NilChance(0.4).NumElements(1, 2).MaxDepth(9).Funcs(
			func(o *opaque.Object, c randfill.Continue) { must(json.Unmarshal([]byte(`{"a":`+quoted(c)+`}`), o)) },
			func(v *opaque.Value, c randfill.Continue) { must(json.Unmarshal([]byte(quoted(c)), v)) },
		)
		source, bus, cluster, trigger := &events.EventSource{}, &events.EventBus{}, &events.ClusterEventBus{}, &events.Trigger{}
		fill.Fill(&source.Spec)
		fill.Fill(&bus.Spec)
		fill.Fill(&cluster.Spec)
		fill.Fill(&trigger.Spec)
		through(t, source, &events.EventSource{})
		through(t, bus, &events.EventBus{})
		through(t, cluster, &events.ClusterEventBus{})
		through(t, trigger, &events.Trigger{})
		source.Validate()
		bus.Validate()
		cluster.Validate()
		trigger.Validate()
	})
}

func quoted(c randfill.Continue) string {
	text, err := json.Marshal(c.String(5))
	must(err)
	return string(text)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func through(t *testing.T, from, to runtime.Object) {
	t.Helper()
	text, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatal(err)
	}
	for _, o := range []runtime.Object{to, from.DeepCopyObject()} {
		if again, err := json.Marshal(o); err != nil || string(again) != string(text) {
			t.Errorf("became\n%s, was\n%s (%v)", again, text, err)
		}
	}
}

// FuzzManifest reads whatever JSON decodes: no rule may panic.
func FuzzManifest(f *testing.F) {
	for _, s := range []string{
		`{"spec":{"kafka":{"a":null},"cron":{"a":{}},"dapr":{"b":{"metadata":[{"name":"x"}]}},"sink":{"ref":{}}}}`,
		`{"spec":{"inputs":{"a":null},"subscribers":[null,{},{"transform":{"json":[1]},"rateLimit":{}}]}}`,
		`{"spec":{"jetStream":{"url":"%zz"},"retention":{"maxBytes":"1e9999999"}}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		if s := (&events.EventSource{}); json.Unmarshal(data, s) == nil {
			s.Validate()
		}
		if b := (&events.EventBus{}); json.Unmarshal(data, b) == nil {
			b.Validate()
		}
		if t := (&events.Trigger{}); json.Unmarshal(data, t) == nil {
			t.Validate()
		}
	})
}

func TestSources(t *testing.T) {
	s := &events.EventSourceSpec{Kafka: map[string]*events.KafkaSpec{"b": {}, "a": nil}, Dapr: map[string]*events.DaprSpec{"c": {}}, Redis: map[string]*events.RedisSpec{"d": {}}}
	var got []string
	for x := range s.Sources() {
		got = append(got, x.Kind+"/"+x.Event)
		if (x.Spec == nil) != (x.Event == "a") || (x.Options == nil) != (x.Spec == nil) {
			t.Errorf("source is %+v", x)
		}
	}
	if !slices.Equal(got, []string{"redis/d", "kafka/a", "kafka/b", "dapr/c"}) {
		t.Errorf("sources %v", got)
	}
	for range s.Sources() {
		break
	}
}

func TestParseFrom(t *testing.T) {
	at := time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]*events.From{
		"": {}, "new": {}, "all": {All: true}, "7": {Sequence: 7}, "2030-01-31T12:00:00Z": {Time: at}, "0": nil, "-1": nil, "yesterday": nil, "18446744073709551616": nil,
	} {
		got, err := events.ParseFrom(text)
		if (err != nil) != (want == nil) || want != nil && got != *want {
			t.Errorf("%q: %+v, error %v", text, got, err)
		}
	}
}
