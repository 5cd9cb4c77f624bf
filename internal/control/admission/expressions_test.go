package admission_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/control/admission"
)

func trigger(input, filter string) string {
	return `{"apiVersion":"events.openfunction.io/v1alpha1","kind":"Trigger","metadata":{"name":"t","namespace":"ns"},"spec":{"eventBus":"default",
		"inputs":{"a":{"topic":"t","filter":"` + input + `"}},"subscribers":[{"condition":"a","topic":"x","filter":"` + filter + `"}]}}`
}

// A filter that cannot be read is refused where it stands.
func TestFilters(t *testing.T) {
	s := newServer(t)
	for _, test := range []struct{ input, filter, where string }{
		{"type = 'x'", "EXISTS subject", ""},
		{"type =", "", "spec.inputs[a].filter"},
		{"type == 'x'", "", "spec.inputs[a].filter"},
		{"", "subject LIKE", "spec.subscribers[0].filter"},
	} {
		got := s.review("validate", s.object([]byte(trigger(test.input, test.filter))), nil)
		where := ""
		if !got.Allowed && len(got.Result.Details.Causes) == 1 {
			where = got.Result.Details.Causes[0].Field
		}
		if where != test.where || got.Allowed != (test.where == "") {
			t.Errorf("%+v: allowed %v, %+v", test, got.Allowed, got.Result)
		}
	}
}

// components is a table of types that knows one.
type components struct{}

func (components) Check(kind, version string, metadata map[string]string) []string {
	if kind != "pubsub.redis" {
		return []string{"type " + kind + "/" + version + " is not known"}
	}
	var out []string
	for name := range metadata {
		if name != "redisHost" {
			out = append(out, "metadata "+name+" is not known")
		}
	}
	return out
}

// What is known of components beyond the manifest becomes a warning, and never more.
func TestWarningsOfComponents(t *testing.T) {
	s := newServer(t)
	handler := admission.Options{Components: components{}, InProcess: true, Defined: func(_ context.Context, namespace, name string) (bool, bool) {
		return namespace == "ns" && name == "there", name != "unknown"
	}}
	s.serve(t, handler)
	fn := func(serving string) string {
		return `{"apiVersion":"core.openfunction.io/v1beta2","kind":"Function","metadata":{"name":"f","namespace":"ns"},"spec":{"image":"i","serving":{` + serving + `}}}`
	}
	for _, test := range []struct {
		object string
		want   []string
	}{
		{fn(`"outputs":[{"dapr":{"name":"there"}}]`), nil},
		{fn(`"annotations":{"openfunction.io/dapr-service-mode":"sidecar"}`), nil},
		{fn(`"annotations":{"openfunction.io/dapr-service-mode":"sidecar"},"triggers":{"dapr":[{"name":"there","type":"bindings.cron"}]}`), []string{"no event starts the first copy"}},
		{fn(`"annotations":{"openfunction.io/dapr-service-mode":"sidecar"},"scaleOptions":{"minReplicas":1},"triggers":{"dapr":[{"name":"there","type":"bindings.cron"}]}`), nil},
		{fn(`"outputs":[{"dapr":{"name":"away"}}],"states":{"unknown":{}}`), []string{`component "away" is nowhere defined`, `component "unknown" must exist in namespace "ns"`}},
		{fn(`"pubsub":{"p":{"type":"pubsub.redis","version":"v1","metadata":[{"name":"redisHots","value":1}]}},"states":{"q":{"spec":{"type":"state.x","version":"v2","metadata":[]}}}`),
			[]string{"spec.serving.pubsub[p]: metadata redisHots is not known", "spec.serving.states[q]: type state.x/v2 is not known"}},
		{`{"apiVersion":"dapr.io/v1alpha1","kind":"Component","metadata":{"name":"c","namespace":"ns"},"spec":{"type":"state.x","version":"v1","metadata":[]}}`, []string{"type state.x/v1 is not known"}},
		{`{"apiVersion":"events.openfunction.io/v1alpha1","kind":"EventBus","metadata":{"name":"b","namespace":"ns"},"spec":{"dapr":{"component":"away"}}}`, []string{`component "away" is nowhere defined`}},
		{`{"apiVersion":"events.openfunction.io/v1alpha1","kind":"EventSource","metadata":{"name":"b","namespace":"ns"},"spec":{"eventBus":"default","dapr":{"e":{"type":"bindings.x","version":"v1"}}}}`,
			[]string{"spec.dapr[e]: type bindings.x/v1 is not known"}},
	} {
		got := s.review("validate", s.object([]byte(test.object)), nil)
		ok := got.Allowed && len(got.Warnings) == len(test.want)
		for _, want := range test.want {
			ok = ok && slices.ContainsFunc(got.Warnings, func(w string) bool { return strings.Contains(w, want) })
		}
		if !ok {
			t.Errorf("%s: allowed %v, warnings %q, want %q", test.object, got.Allowed, got.Warnings, test.want)
		}
	}
}
