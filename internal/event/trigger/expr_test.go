package trigger

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/event/cloudevent"
)

func sample() cloudevent.Event {
	return cloudevent.Event{
		ID: "1", Source: "/shop", Type: "order.placed", Subject: "order/7", DataContentType: "application/json",
		Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Extensions: map[string]string{"tenant": "acme", "partitionkey": "p"},
		Data: []byte(`{"amount": 120.5, "count": 3, "items": [{"sku": "x"}, {"sku": "y"}], "flag": true, "name": "O'Hara"}`),
	}
}

func TestConditions(t *testing.T) {
	hot := func(names ...string) func(string) bool {
		return func(in string) bool {
			for _, n := range names {
				if n == in {
					return true
				}
			}
			return false
		}
	}
	for _, c := range []struct {
		condition string
		inputs    func(string) bool
		want      bool
		fails     string
	}{
		{"", hot(), true, ""},
		{"a", hot("a"), true, ""},
		{"a && b", hot("a"), false, ""},
		{"a && b", hot("a", "b"), true, ""},
		{"a || b", hot("b"), true, ""},
		{"!a", hot("b"), true, ""},
		{"(a || b) && !(a && b)", hot("a", "b"), false, ""},
		{"true", hot(), true, ""},
		{"a && data.amount > 100", hot("a"), true, ""},
		{"data.amount > 200", hot(), false, ""},
		{"data.count == 3", hot(), true, ""},
		{"data.flag", hot(), true, ""},
		{"data.items.exists(i, i.sku == 'y')", hot(), true, ""},
		{"event.type == 'order.placed' && event.tenant.startsWith('ac')", hot(), true, ""},
		{"has(event.dataschema)", hot(), false, ""},
		{"has(event.subject) && event.subject.matches('^order/[0-9]+$')", hot(), true, ""},
		{"event.time < timestamp('2027-01-01T00:00:00Z')", hot(), true, ""},
		{"data.?gone.orValue(0) > 1", hot(), false, ""},
		{"data.gone > 1", hot(), false, "no such key: gone"},
		{"event.gone == ''", hot(), false, "no such key: gone"},
		{"data.name", hot(), false, "neither true nor false"},
		{"data.items.all(a, data.items.all(b, data.items.all(c, a.sku.size() + b.sku.size() + c.sku.size() > 0)))", hot(), true, ""},
	} {
		cond, err := Compile([]string{"a", "b"}, c.condition)
		if err != nil {
			t.Errorf("%s: %v", c.condition, err)
			continue
		}
		got, err := cond.Holds(NewView(sample()), c.inputs)
		switch {
		case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
			t.Errorf("%s: %v, want an error with %q", c.condition, err, c.fails)
		case c.fails == "" && err != nil:
			t.Errorf("%s: %v", c.condition, err)
		case got != c.want:
			t.Errorf("%s is %v", c.condition, got)
		}
	}
}

func TestConditionsThatAreRefused(t *testing.T) {
	for condition, want := range map[string]string{
		"a && c":                             "there is no c; known are the inputs a, b, and event and data",
		"a &&":                               "column 5",
		"a && 'x'":                           "column 6: expected type 'bool'",
		"1 + 1":                              "of type int: it must be true or false",
		"*":                                  "column 1",
		strings.Repeat("(", 5000):            "limit",
		strings.Repeat("[", 200):             "recursion",
		"a " + strings.Repeat("&& a ", 2000): "limit",
	} {
		_, err := Compile([]string{"b", "a"}, condition)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", condition, err, want)
			continue
		}
		if strings.Contains(err.Error(), "\n") || len(err.Error()) > 600 {
			t.Errorf("%.40s: an error nobody reads: %q", condition, err)
		}
	}
	if _, err := Compile([]string{"data"}, "data"); err == nil || !strings.Contains(err.Error(), `"data"`) {
		t.Errorf("an input called data: %v", err)
	}
}

func TestConditionsThatCostTooMuchFail(t *testing.T) {
	list := "[" + strings.TrimSuffix(strings.Repeat("1,", 300), ",") + "]"
	e := cloudevent.Event{ID: "1", Source: "/s", Type: "t", Data: []byte(list)}
	cond, err := Compile(nil, "data.all(a, data.all(b, data.all(c, a + b + c > 0.0)))")
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if _, err := cond.Holds(NewView(e), nil); err == nil || !strings.Contains(err.Error(), "cost limit") {
		t.Errorf("27 million steps: %v after %s", err, time.Since(begin))
	}
}

func TestInputsThatAreNamed(t *testing.T) {
	cond, err := Compile([]string{"a", "b", "c"}, "c || (a && data.a == 1)")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(cond.Inputs(), " "); got != "a c" {
		t.Errorf("inputs %q", got)
	}
}

func TestDataOfAllKinds(t *testing.T) {
	for _, c := range []struct{ contentType, data, condition string }{
		{"application/json", `{"a":1}`, "data.a == 1"},
		{"application/vnd.x+json; charset=utf-8", `[1]`, "data[0] == 1"},
		{"", `{"a":1}`, "data.a == 1"},
		{"", `plain`, "data == 'plain'"},
		{"application/json", `{broken`, "data == '{broken'"},
		{"text/plain", `{"a":1}`, `data == '{"a":1}'`},
		{"application/octet-stream", "\xff\x00", `data == b'\xff\x00'`},
		{"", "", "data == null"},
	} {
		cond, err := Compile(nil, c.condition)
		if err != nil {
			t.Fatal(err)
		}
		e := cloudevent.Event{ID: "1", Source: "/s", Type: "t", DataContentType: c.contentType, Data: []byte(c.data)}
		if ok, err := cond.Holds(NewView(e), nil); err != nil || !ok {
			t.Errorf("%s %q: %s: %v %v", c.contentType, c.data, c.condition, ok, err)
		}
	}
}

func TestTransform(t *testing.T) {
	for name, c := range map[string]struct{ spec, data, contentType, other string }{
		"data":       {`{"data": "{'total': data.amount * 2.0, 'skus': data.items.map(i, i.sku)}"}`, `{"skus":["x","y"],"total":241}`, "application/json", ""},
		"text":       {`{"data": "event.id + '!'", "contentType": "text/plain"}`, "1!", "text/plain", ""},
		"json":       {`{"json": {"text": "order ${event.subject} of ${data.amount}", "n": "${data.count}", "all": ["${data.items}", 1, null], "raw": "$${x}"}}`, `{"all":[[{"sku":"x"},{"sku":"y"}],1,null],"n":3,"raw":"${x}","text":"order order/7 of 120.5"}`, "application/json", ""},
		"template":   {`{"template": "Hi ${data.name}: ${ {'a': '}'}.a }"}`, "Hi O'Hara: }", "text/plain", ""},
		"attributes": {`{"attributes": {"type": "event.type + '.v2'", "amount": "data.amount", "time": "'2030-01-01T00:00:00Z'"}}`, string(sample().Data), "application/json", "order.placed.v2 120.5"},
	} {
		tr, err := CompileTransform(json.RawMessage(c.spec))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		out, err := tr.Apply(NewView(sample()))
		if err != nil || string(out.Data) != c.data || out.DataContentType != c.contentType || out.ID != "1" {
			t.Errorf("%s: %s %s %v", name, out.Data, out.DataContentType, err)
		}
		if c.other != "" && out.Type+" "+out.Extensions["amount"] != c.other {
			t.Errorf("%s: %+v", name, out)
		}
	}
	for spec, want := range map[string]string{
		`{"data": "a"}`:                         "transform.data",
		`{"data": "1", "template": "x"}`:        "one of",
		`{"json": {"a": {"b": ["${x}"]}}}`:      "transform.json.a.b[0]",
		`{"template": "${data"}`:                "not closed",
		`{"attributes": {"Bad": "1"}}`:          "Bad",
		`{"attributes": {"data": "1"}}`:         "data",
		`{"dat": "1"}`:                          "dat",
		`{"attributes": {"type": "event.x +"}}`: "transform.attributes.type",
	} {
		if _, err := CompileTransform(json.RawMessage(spec)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", spec, err)
		}
	}
	for _, none := range []string{"", "null"} {
		if tr, err := CompileTransform(json.RawMessage(none)); tr != nil || err != nil {
			t.Errorf("%q: %v %v", none, tr, err)
		}
	}
	tr, err := CompileTransform(json.RawMessage(`{"attributes": {"type": "''"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Apply(NewView(sample())); err == nil {
		t.Error("an event without a type was made")
	}
}

func TestKeys(t *testing.T) {
	for text, want := range map[string]string{"": "", "data.name": "O'Hara", "data.count": "3", "[event.tenant, event.type]": `["acme","order.placed"]`} {
		k, err := CompileKey(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Of(NewView(sample())); err != nil || got != want {
			t.Errorf("%s: %q %v", text, got, err)
		}
	}
	if _, err := CompileKey("a"); err == nil {
		t.Error("a key of an input")
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{"a && b", "data.x > 1", "[1,2].all(x, x > 0)", "event.time", "${", "'\\u00'", "a ? b : a", "{'a': 1}.a == 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cond, err := Compile([]string{"a", "b"}, text)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a line: %q", err)
			}
			return
		}
		_, _ = cond.Holds(NewView(sample()), func(string) bool { return true })
	})
}

func FuzzTransform(f *testing.F) {
	f.Add(`{"template": "a ${data.x} $${"}`)
	f.Add(`{"json": {"a": "${event.id}"}}`)
	f.Fuzz(func(t *testing.T, spec string) {
		tr, err := CompileTransform(json.RawMessage(spec))
		if err != nil || tr == nil {
			return
		}
		if out, err := tr.Apply(NewView(sample())); err == nil && out.Validate() != nil {
			t.Errorf("made an event that is none: %+v", out)
		}
	})
}
