package engine

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
)

func TestPercent(t *testing.T) {
	for raw, want := range map[string]string{
		"":          "",
		"plain":     "plain",
		"a%20b":     "a b",
		"%C3%A9%e9": "%C3%A9%e9", // not UTF-8 as a whole
		"%c3%a9":    "é",
		"100%":      "100%",
		"%zz%2":     "%zz%2",
		"%2525":     "%25",
		"a+b":       "a+b",
	} {
		if got := percentDecoded(raw); got != want {
			t.Errorf("percentDecoded(%q) = %q, want %q", raw, got, want)
		}
	}
	if got := percentEncoded("a b\"%é~\x7f\t"); got != "a%20b%22%25%C3%A9~%7F%09" {
		t.Errorf("percentEncoded: %q", got)
	}
}

func TestModeOf(t *testing.T) {
	version := []string{"1.0"}
	for name, tt := range map[string]struct {
		h    http.Header
		want mode
	}{
		"nothing":           {http.Header{}, noMode},
		"binary":            {http.Header{"Ce-Specversion": version}, binaryMode},
		"structured":        {http.Header{"Content-Type": {"application/cloudevents+json; charset=utf-8"}}, structuredMode},
		"structured wins":   {http.Header{"Content-Type": {"Application/CloudEvents+JSON"}, "Ce-Specversion": version}, structuredMode},
		"broken parameters": {http.Header{"Content-Type": {"application/cloudevents-batch+json; ="}}, batchMode},
		"another format":    {http.Header{"Content-Type": {"application/cloudevents+avro"}, "Ce-Specversion": version}, unknownMode},
		"plain":             {http.Header{"Content-Type": {"application/json"}}, noMode},
	} {
		if got := modeOf(tt.h); got != tt.want {
			t.Errorf("%s: mode %d, want %d", name, got, tt.want)
		}
	}
}

// An extension keeps the type that it has in JSON.
func TestExtensions(t *testing.T) {
	d, err := parseDraft([]byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","n":7,"big":12345678901,"b":true,"s":"7"}`))
	if err != nil {
		t.Fatal(err)
	}
	e, no := d.event("it")
	if no != nil {
		t.Fatal(no.text)
	}
	for name, want := range map[string]any{"n": int32(7), "big": "12345678901", "b": true, "s": "7"} {
		if got := e.Extensions()[name]; got != want {
			t.Errorf("%s is %#v, want %#v", name, got, want)
		}
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add(uint8(structuredMode), []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1},"x":[1]}`), "", "")
	f.Add(uint8(batchMode), []byte(`[{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"AA=="}]`), "", "")
	f.Add(uint8(binaryMode), []byte("data"), "text/plain", "a%20%FF")
	f.Add(uint8(noMode), []byte(`{"context":{"eventId":"1","timestamp":"2020-01-02T03:04:05Z","eventType":"google.storage.object.delete","resource":"b/objects/o#1"},"data":{}}`), "application/json", "")
	f.Fuzz(func(t *testing.T, m uint8, body []byte, contentType, attribute string) {
		h := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {attribute}, "Ce-Source": {"/s"}, "Ce-Type": {"t"}, "Ce-Own": {attribute}}
		if contentType != "" {
			h.Set("Content-Type", contentType)
		}
		events, no := readEvents(mode(m%5), h, body)
		if no != nil {
			if no.code < 400 || no.text == "" || strings.ContainsAny(detailOf(no), "\r\n") {
				t.Errorf("refused with %d %q", no.code, no.text)
			}
			return
		}
		checkEvents(t, events)
	})
}

// detailOf is the part of a refusal that the framework wrote: what is quoted from the request may hold anything, escaped.
func detailOf(no *refusal) string {
	if strings.Contains(no.text, "invalid attribute") {
		return "" // names of attributes are told as they are
	}
	return no.text
}

// checkEvents: what was accepted has what every event has, and can be sent on.
func checkEvents(t *testing.T, events []event.Event) {
	t.Helper()
	var replies []*event.Event
	for i := range events {
		e := &events[i]
		if e.ID() == "" || e.Source() == "" || e.Type() == "" || e.SpecVersion() != "1.0" {
			t.Errorf("accepted %v", e)
		}
		replies = append(replies, e)
	}
	var again []map[string]any
	text := batchJSON(replies)
	if err := json.Unmarshal(text, &again); err != nil || len(again) != len(events) {
		t.Errorf("as JSON %q: %v", text, err)
	}
}

func FuzzPercent(f *testing.F) {
	f.Add("a b%20é")
	f.Add("\xff%")
	f.Fuzz(func(t *testing.T, text string) {
		encoded := percentEncoded(text)
		for _, c := range []byte(encoded) {
			if c <= ' ' || c >= 0x7F || c == '"' {
				t.Errorf("%q has the byte %x", encoded, c)
			}
		}
		if got := percentDecoded(encoded); utf8.ValidString(text) && got != text {
			t.Errorf("%q came back as %q", text, got)
		}
	})
}
