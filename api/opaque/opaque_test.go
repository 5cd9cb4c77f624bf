package opaque_test

import (
	"encoding/json"
	"testing"

	"github.com/openfunction/ofn/api/opaque"
)

func TestObjectIsCanonical(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{`{"b": 1, "a": [ {"d":1,"c":2} ]}`, `{"a":[{"c":2,"d":1}],"b":1}`},
		{`{"n": 12345678901234567890, "f": 1.0, "e": 1e2}`, `{"e":1e2,"f":1.0,"n":12345678901234567890}`},
		{`{}`, `{}`},
		{`null`, `{}`},
		{` {"a":null} `, `{"a":null}`},
	} {
		var o opaque.Object
		if err := json.Unmarshal([]byte(test.in), &o); err != nil {
			t.Errorf("%s: %v", test.in, err)
			continue
		}
		if got, err := json.Marshal(o); err != nil || string(got) != test.want {
			t.Errorf("%s: %s, %v, want %s", test.in, got, err, test.want)
		}
	}
}

func TestObjectRefusesOtherValues(t *testing.T) {
	for _, in := range []string{`[]`, `"x"`, `1`, `true`} {
		var o opaque.Object
		if err := json.Unmarshal([]byte(in), &o); err == nil {
			t.Errorf("%s was accepted as %s", in, o)
		}
	}
	var o opaque.Object
	for _, in := range []string{``, `{`, `{} {}`, `{"a":}`} {
		if err := o.UnmarshalJSON([]byte(in)); err == nil {
			t.Errorf("%q was accepted", in)
		}
	}
}

func TestDecode(t *testing.T) {
	o, err := opaque.Of(map[string]any{"name": "n", "Name": "other", "more": 1})
	if err != nil {
		t.Fatal(err)
	}
	var into struct {
		Name string `json:"name"`
	}
	unknown, err := o.Decode(&into)
	if err != nil || len(unknown) != 2 || into.Name != "n" {
		t.Errorf("%+v, unknown %v, %v", into, unknown, err)
	}
	var wrong struct {
		Name int `json:"name"`
	}
	if _, err := o.Decode(&wrong); err == nil {
		t.Error("a string was read as a number")
	}
}

func TestWith(t *testing.T) {
	var o opaque.Object
	if o.Has("a") || !o.IsEmpty() {
		t.Error("the empty object has fields")
	}
	changed, err := o.With("a", map[string]int{"b": 1})
	if err != nil || changed.String() != `{"a":{"b":1}}` || !changed.Has("a") {
		t.Errorf("%s, %v", changed, err)
	}
	if !o.IsEmpty() {
		t.Error("With changed its receiver")
	}
}

func TestValue(t *testing.T) {
	for in, want := range map[string]string{`"x"`: "x", `1`: "1", `true`: "true", `1.50`: "1.50", `null`: "", `""`: "", `"1"`: "1"} {
		var v opaque.Value
		if err := json.Unmarshal([]byte(in), &v); err != nil || v.String() != want {
			t.Errorf("%s: %q, %v, want %q", in, v.String(), err, want)
		}
	}
	type holder struct {
		V opaque.Value `json:"v,omitzero"`
	}
	for in, want := range map[string]string{`{}`: `{}`, `{"v":""}`: `{"v":""}`, `{"v":7}`: `{"v":7}`, `{"v":null}`: `{}`} {
		var h holder
		if err := json.Unmarshal([]byte(in), &h); err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(h); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v, want %s", in, got, err, want)
		}
	}
	if opaque.Text("a\"b").String() != "a\"b" {
		t.Error("Text does not keep its text")
	}
}

func FuzzObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,2.50,"x",null,{"b":true}]}`, `null`, `[`, `{"a":1e999}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var first, second opaque.Object
		if first.UnmarshalJSON(data) != nil {
			return
		}
		written, err := first.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if err := second.UnmarshalJSON(written); err != nil || first != second {
			t.Fatalf("%q is written as %q and read as %q: %v", data, written, second.String(), err)
		}
	})
}
