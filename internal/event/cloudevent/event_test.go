package cloudevent_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/event/cloudevent"
)

func full() cloudevent.Event {
	return cloudevent.Event{
		ID: "1", Source: "/namespaces/n/eventsources/s/e", Type: "t", Subject: "Grüße \"50%\"", DataContentType: "application/json",
		DataSchema: "https://x/y", Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		Extensions: map[string]string{"partitionkey": "k 1", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		Data:       []byte(`{"a":1}`),
	}
}

func TestBinary(t *testing.T) {
	in := full()
	out, found, err := cloudevent.FromHeader(in.Header(), in.Data)
	if err != nil || !found || !reflect.DeepEqual(in, out) {
		t.Fatalf("%v %v\n in %+v\nout %+v", found, err, in, out)
	}
	if got := in.Header()["ce-subject"]; got != `Gr%C3%BC%C3%9Fe%20%2250%25%22` {
		t.Fatalf("subject %q is not escaped as the HTTP binding says", got)
	}
	for _, prefix := range []string{"Ce-", "ce_", "cloudEvents:", "cloudEvents_"} {
		h := map[string]string{prefix + "specversion": "1.0", prefix + "id": "i", prefix + "source": "/s", prefix + "type": "t", "Content-Type": "text/plain"}
		e, found, err := cloudevent.FromHeader(h, []byte("x"))
		if err != nil || !found || e.ID != "i" || e.DataContentType != "text/plain" {
			t.Fatalf("%s: %+v %v %v", prefix, e, found, err)
		}
	}
}

func TestHTTP(t *testing.T) {
	in := full()
	b, err := in.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kind, body string
		want       int
		bad        bool
	}{
		"structured":     {kind: "application/cloudevents+json; charset=utf-8", body: string(b), want: 1},
		"batch":          {kind: "application/cloudevents-batch+json", body: "[" + string(b) + "," + string(b) + "]", want: 2},
		"empty batch":    {kind: "application/cloudevents-batch+json", body: "[]"},
		"no event":       {kind: "application/json", body: "{}"},
		"old version":    {kind: "application/cloudevents+json", body: `{"specversion":"0.3","id":"1","source":"/","type":"t"}`, bad: true},
		"no id":          {kind: "application/cloudevents+json", body: `{"specversion":"1.0","source":"/","type":"t"}`, bad: true},
		"no JSON":        {kind: "application/cloudevents+json", body: `{`, bad: true},
		"broken batch":   {kind: "application/cloudevents-batch+json", body: "[" + string(b) + ",{}]", bad: true},
		"unknown format": {kind: "application/cloudevents+xml", body: "<x/>", bad: true},
		"bad time":       {kind: "application/cloudevents+json", body: `{"specversion":"1.0","id":"1","source":"/","type":"t","time":"yesterday"}`, bad: true},
	} {
		got, _, err := cloudevent.FromHTTP(http.Header{"Content-Type": {c.kind}}, []byte(c.body))
		if c.bad {
			if !errors.Is(err, cloudevent.ErrInvalid) {
				t.Errorf("%s: %v, want ErrInvalid", name, err)
			}
			continue
		}
		if err != nil || len(got) != c.want {
			t.Errorf("%s: %d events, %v", name, len(got), err)
			continue
		}
		for _, e := range got {
			if !reflect.DeepEqual(e, in) {
				t.Errorf("%s:\n in %+v\nout %+v", name, in, e)
			}
		}
	}
}

func TestBinaryRefused(t *testing.T) {
	for name, h := range map[string]http.Header{
		"version":  {"Ce-Specversion": {"2.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/"}, "Ce-Type": {"t"}},
		"no type":  {"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/"}},
		"bad name": {"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/"}, "Ce-Type": {"t"}, "Ce-A_b": {"x"}},
		"control":  {"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/"}, "Ce-Type": {"a%0Ab"}},
		"schema":   {"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/"}, "Ce-Type": {"t"}, "Ce-Dataschema": {"relative"}},
	} {
		if _, found, err := cloudevent.FromHTTP(h, nil); !found || !errors.Is(err, cloudevent.ErrInvalid) {
			t.Errorf("%s: %v %v", name, found, err)
		}
	}
}

func TestJSONForms(t *testing.T) {
	for name, c := range map[string]struct{ in, kind, data string }{
		"object":     {`"data":{"a": 1}`, "application/json", `{"a": 1}`},
		"string":     {`"datacontenttype":"text/plain","data":"hello"`, "text/plain", "hello"},
		"base64":     {`"datacontenttype":"image/png","data_base64":"AAEC"`, "image/png", "\x00\x01\x02"},
		"extensions": {`"n":42,"b":true`, "", ""},
	} {
		e, err := cloudevent.FromJSON([]byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t",` + c.in + `}`))
		if err != nil || e.DataContentType != c.kind || string(e.Data) != c.data {
			t.Errorf("%s: %+v %v", name, e, err)
			continue
		}
		if name == "extensions" && (e.Extension("n") != "42" || e.Extension("b") != "true") {
			t.Errorf("extensions: %v", e.Extensions)
		}
		b, err := e.JSON()
		if err != nil || !json.Valid(b) {
			t.Errorf("%s: %s %v", name, b, err)
			continue
		}
		if again, err := cloudevent.FromJSON(b); err != nil || string(again.Data) != string(e.Data) {
			t.Errorf("%s: %+v %v", name, again, err)
		}
	}
}

func TestFromMessage(t *testing.T) {
	structured := `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1}`
	for name, c := range map[string]struct {
		header map[string]string
		data   string
		want   bool
	}{
		"structured, told":   {map[string]string{"content-type": "application/cloudevents+json"}, structured, true},
		"structured, looks":  {nil, structured, true},
		"other content type": {map[string]string{"content-type": "application/json"}, structured, false},
		"plain":              {nil, `{"specversion":"1.0"}`, false},
		"text":               {nil, "hello", false},
		"broken binary":      {map[string]string{"ce_specversion": "1.0", "ce_id": "1"}, "x", false},
	} {
		if _, found := cloudevent.FromMessage(c.header, []byte(c.data)); found != c.want {
			t.Errorf("%s: %v", name, found)
		}
	}
}

func TestDedupeID(t *testing.T) {
	a, b := cloudevent.Event{Source: "ab", ID: "c"}, cloudevent.Event{Source: "a", ID: "bc"}
	if a.DedupeID() == b.DedupeID() {
		t.Fatal("different events have one id")
	}
}

func FuzzFromHTTP(f *testing.F) {
	f.Add("application/cloudevents+json", `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1,"x":null}`, "1.0", "a%20b")
	f.Add("application/cloudevents-batch+json", `[{}]`, "", "")
	f.Add("text/plain", "x", "1.0", "%zz")
	f.Fuzz(func(t *testing.T, kind, body, version, subject string) {
		h := http.Header{"Content-Type": {kind}, "Ce-Id": {"1"}, "Ce-Source": {"/s"}, "Ce-Type": {"t"}, "Ce-Subject": {subject}}
		if version != "" {
			h.Set("Ce-Specversion", version)
		}
		events, _, err := cloudevent.FromHTTP(h, []byte(body))
		if err != nil {
			return
		}
		for _, e := range events {
			again, found, err := cloudevent.FromHeader(e.Header(), e.Data)
			if err != nil || !found || again.DedupeID() != e.DedupeID() || again.Subject != e.Subject {
				t.Fatalf("%+v became %+v: %v", e, again, err)
			}
		}
	})
}
