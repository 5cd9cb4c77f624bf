package fields

import (
	"encoding/json"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// document is as servers publish it: references, conjunctions, maps, lists, open and embedded objects.
const document = `{"openapi": "3.0.0", "components": {"schemas": {
	"Meta": {"type": "object", "properties": {"name": {"type": "string"}, "labels": {"type": "object", "additionalProperties": {"type": "string"}}}},
	"Again": {"type": "object", "properties": {"again": {"$ref": "#/components/schemas/Again"}, "deep": {"type": "string"}}},
	"Both": {"type": "object", "properties": {"a": {}}, "x-kubernetes-group-version-kind": [{"group": "g", "version": "v1", "kind": "X"}, {"group": "g", "version": "v2", "kind": "X"}]},
	"Thing": {"type": "object", "x-kubernetes-group-version-kind": [{"group": "g", "version": "v1", "kind": "Thing"}], "properties": {
		"apiVersion": {"type": "string"}, "kind": {"type": "string"},
		"metadata": {"allOf": [{"$ref": "#/components/schemas/Meta"}]},
		"spec": {"type": "object", "properties": {
			"size": {"type": "integer"},
			"free": {"type": "object"},
			"any": {"x-kubernetes-preserve-unknown-fields": true},
			"open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"known": {"type": "object", "properties": {"a": {}}}}},
			"wide": {"type": "object", "additionalProperties": true},
			"embedded": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object", "properties": {"a": {}}}}},
			"parts": {"type": "array", "items": {"type": "object", "properties": {"port": {"type": "integer"}, "path": {"type": "string"}}}},
			"byName": {"type": "object", "additionalProperties": {"type": "object", "properties": {"minReplicas": {"type": "integer"}}}},
			"again": {"$ref": "#/components/schemas/Again"}
		}},
		"status": {"type": "object", "properties": {"sizes": {"type": "array"}}}
	}}
}}}`

func schemas(t *testing.T) *Schemas {
	t.Helper()
	s, err := Parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var thing = schema.GroupVersionKind{Group: "g", Version: "v1", Kind: "Thing"}

func TestPrune(t *testing.T) {
	for _, c := range []struct {
		name, in, out string
		unknown       []Unknown
	}{
		{"nothing", `{"apiVersion":"g/v1","kind":"Thing","metadata":{"name":"n","labels":{"free":"form"}},"spec":{"size":1}}`, "", nil},
		{"a typo", `{"spec":{"sise":1}}`, `{"spec":{}}`, []Unknown{{"spec.sise", "size"}}},
		{"another case", `{"spec":{"byName":{"x":{"minreplicas":1}}}}`, `{"spec":{"byName":{"x":{}}}}`, []Unknown{{"spec.byName.x.minreplicas", "minReplicas"}}},
		{"behind a reference", `{"metadata":{"lables":{}}}`, `{"metadata":{}}`, []Unknown{{"metadata.lables", "labels"}}},
		{"in a list", `{"spec":{"parts":[{"port":1},{"prt":2,"path":"/"}]}}`, `{"spec":{"parts":[{"port":1},{"path":"/"}]}}`, []Unknown{{"spec.parts[1].prt", "port"}}},
		{"one that belongs elsewhere", `{"parts":[]}`, `{}`, []Unknown{{"parts", "spec.parts"}}},
		{"like nothing", `{"spec":{"colour":1}}`, `{"spec":{}}`, []Unknown{{"spec.colour", ""}}},
		{"nothing is known of it", `{"spec":{"free":{"a":{"b":1}},"any":{"x":[1]},"wide":{"x":1}}}`, "", nil},
		{"open, with a part that is not", `{"spec":{"open":{"other":1,"known":{"a":1,"zzz":2}}}}`, `{"spec":{"open":{"other":1,"known":{"a":1}}}}`, []Unknown{{"spec.open.known.zzz", ""}}},
		{"an object in it", `{"spec":{"embedded":{"apiVersion":"v1","kind":"K","metadata":{"any":1},"spec":{"qqqq":1}}}}`,
			`{"spec":{"embedded":{"apiVersion":"v1","kind":"K","metadata":{"any":1},"spec":{}}}}`, []Unknown{{"spec.embedded.spec.qqqq", ""}}},
		{"a schema that contains itself", `{"spec":{"again":{"again":{"again":{"dep":1}}}}}`, `{"spec":{"again":{"again":{"again":{}}}}}`,
			[]Unknown{{"spec.again.again.again.dep", "deep"}}},
		{"several, sorted", `{"zz":1,"spec":{"sizes":1}}`, `{"spec":{}}`, []Unknown{{"spec.sizes", "size"}, {"zz", ""}}},
		{"of another type", `{"spec":[{"size":1}],"metadata":"x"}`, "", nil},
		{"a key with dots", `{"a.b/c":1}`, `{}`, []Unknown{{"[a.b/c]", ""}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var in, want map[string]any
			if err := json.Unmarshal([]byte(c.in), &in); err != nil {
				t.Fatal(err)
			}
			if c.out == "" {
				c.out = c.in
			}
			if err := json.Unmarshal([]byte(c.out), &want); err != nil {
				t.Fatal(err)
			}
			unknown := schemas(t).Prune(thing, in)
			if !slices.Equal(unknown, c.unknown) {
				t.Errorf("unknown %q; want %q", unknown, c.unknown)
			}
			got, _ := json.Marshal(in)
			wanted, _ := json.Marshal(want)
			if string(got) != string(wanted) {
				t.Errorf("left %s; want %s", got, wanted)
			}
		})
	}
}

func TestWithoutSchema(t *testing.T) {
	for name, kind := range map[string]schema.GroupVersionKind{
		"a kind that is not there": {Group: "g", Version: "v1", Kind: "Other"},
		"a model of several kinds": {Group: "g", Version: "v1", Kind: "X"},
	} {
		object := map[string]any{"b": 1}
		if unknown := schemas(t).Prune(kind, object); unknown != nil || len(object) != 1 {
			t.Errorf("%s: %q %v", name, unknown, object)
		}
	}
	empty, err := Parse([]byte(`{}`))
	if err != nil || empty.Prune(thing, map[string]any{"a": 1}) != nil {
		t.Error(err)
	}
	if _, err := Parse([]byte(`<html>`)); err == nil {
		t.Error("HTML is no OpenAPI document")
	}
}

func TestString(t *testing.T) {
	for want, u := range map[string]Unknown{
		"spec.serving.trigers: unknown field, pruned; did you mean triggers?": {"spec.serving.trigers", "triggers"},
		"spec.x: unknown field, pruned":                                       {"spec.x", ""},
	} {
		if got := u.String(); got != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct{ written, want string }{
		{"functoin", "function"}, {"Function", "function"}, {"fn", ""}, {"gatewy", "gateway"}, {"zebra", ""}, {"", ""},
	} {
		if got := Nearest(c.written, []string{"function", "builder", "serving", "gateway"}); got != c.want {
			t.Errorf("%q: %q; want %q", c.written, got, c.want)
		}
	}
}
