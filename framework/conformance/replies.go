package conformance

import (
	"encoding/json"
	"strings"
	"testing"
)

// replies is the part of section 5 about events that functions return.
func (s *suite) replies(t *testing.T) {
	t.Run("Echo", s.replyEcho)
	t.Run("Make", s.replyMake)
}

func (s *suite) replyEcho(t *testing.T) {
	p := s.ready(t, "eventEcho")
	ce := func(more ...string) []string {
		return append([]string{"Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "/s", "Ce-Type", "t"}, more...)
	}
	post := func(header []string, body string) request { return request{method: "POST", header: header, body: body} }
	structuredEvent := func(more string) request { return post(structured, "{"+whole+more+"}") }
	p.all(t, []exchange{
		{"binary", post(binary("Content-Type", "application/json"), `{"a": 1}`), want{body: `{"a": 1}`, header: ce("Content-Type", "application/json")}},
		{
			"binary bytes", post(binary("Content-Type", "application/octet-stream"), everyByte()),
			want{body: everyByte(), header: ce("Content-Type", "application/octet-stream")},
		},
		{"binary without data", post(binary(), ""), want{header: ce()}},
		{"extension", post(binary("Ce-Own1", "x"), ""), want{header: ce("Ce-Own1", "x")}},
		{"encoded", post(binary("ce-subject", `a%20%22%C3%A9%25~`), ""), want{header: ce("Ce-Subject", `a%20%22%C3%A9%25~`)}},
		{"beyond ASCII", post(binary("ce-subject", "é ✓"), ""), want{header: ce("Ce-Subject", "%C3%A9%20%E2%9C%93")}},
		{"lone percent", post(binary("ce-subject", "100%"), ""), want{header: ce("Ce-Subject", "100%25")}},
		{"not UTF-8 when decoded", post(binary("ce-subject", "%FF"), ""), want{header: ce("Ce-Subject", "%25FF")}},
		{"time", post(binary("ce-time", "2020-01-02T03:04:05Z"), ""), want{header: ce("Ce-Time", "2020-01-02T03:04:05Z")}},
		{
			"datacontenttype is Content-Type", post(binary("Content-Type", "text/plain", "ce-datacontenttype", "image/png"), "x"),
			want{body: "x", header: ce("Content-Type", "text/plain", "Ce-Datacontenttype", "")},
		},
		{
			"structured", structuredEvent(`,"datacontenttype":"application/json","subject":"s","dataschema":"/d","data":{"b":1,"a":[true,null,"<é>"]}`),
			want{body: `{"b":1,"a":[true,null,"<é>"]}`, header: ce("Content-Type", "application/json", "Ce-Subject", "s", "Ce-Dataschema", "/d")},
		},
		{"structured number", structuredEvent(`,"datacontenttype":"application/json","data":1.5`), want{body: "1.5", header: ce()}},
		{"structured JSON string", structuredEvent(`,"datacontenttype":"application/x+json","data":"x"`), want{body: `"x"`, header: ce()}},
		{
			"structured text", structuredEvent(`,"datacontenttype":"text/plain","data":"é\n"`),
			want{body: "é\n", header: ce("Content-Type", "text/plain")},
		},
		{
			"structured bytes", structuredEvent(`,"datacontenttype":"image/x-own","data_base64":"/wA="`),
			want{body: "\xff\x00", header: ce("Content-Type", "image/x-own")},
		},
		{"structured JSON without content type", structuredEvent(`,"data":{"a":1}`), want{body: `{"a":1}`, header: ce("Content-Type", "application/json")}},
		{"structured without data", structuredEvent(""), want{header: ce()}},
		{"structured extensions", structuredEvent(`,"num":7,"flag":true,"text":"x y"`), want{header: ce("Ce-Num", "7", "Ce-Flag", "true", "Ce-Text", "x%20y")}},
	})
	t.Run("batch", func(t *testing.T) {
		a := p.do(t, request{method: "POST", header: batched, body: `[{"specversion":"1.0","type":"t","source":"/s","id":"1","zz":"z","aa":"é","datacontenttype":"application/json","data":{"b":1,"a":"<"}},` +
			`{` + whole + `,"datacontenttype":"text/plain","data":"x"},{` + whole + `,"datacontenttype":"image/x-own","data_base64":"/wA="}]`})
		a.check(t, want{header: batched, body: `[{"specversion":"1.0","id":"1","source":"/s","type":"t","aa":"é","datacontenttype":"application/json","zz":"z","data":{"b":1,"a":"<"}},` +
			`{` + whole + `,"datacontenttype":"text/plain","data":"x"},{` + whole + `,"datacontenttype":"image/x-own","data_base64":"/wA="}]`})
	})
}

func (s *suite) replyMake(t *testing.T) {
	p := s.ready(t, "eventMake")
	const data = `{"z":1,"a":"<é>"}`
	p.do(t, request{method: "POST", header: binary("ce-id", "77")}).check(t, want{body: data, header: []string{
		"Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Id", "77", "Ce-Type", "made",
		"Ce-Source", "/made", "Ce-Subject", "%C3%A9%20%25%22", "Ce-Note", "a%20b",
	}})
	p.do(t, request{method: "POST", header: batched, body: "[{" + whole + "}]"}).check(t, want{header: batched, body: `[{"specversion":"1.0","id":"1","source":"/made",` +
		`"type":"made","datacontenttype":"application/json","note":"a b","subject":"é %\"","data":` + data + `}]`})
}

// legacy is the last part of section 5.
func (s *suite) legacy(t *testing.T) {
	if !s.Features.Legacy {
		p := s.ready(t, "eventVoid")
		p.do(t, legacyRequest(`{"context":{"eventId":"1","timestamp":"2020-01-02T03:04:05Z","eventType":"google.pubsub.topic.publish","resource":"r"},"data":{}}`)).
			check(t, own(415, notEvent))
		return
	}
	p := s.ready(t, "eventEcho")
	const head = `"eventId":"e1","timestamp":"2020-01-02T03:04:05Z","eventType":`
	ce := func(kind, source string, more ...string) []string {
		return append([]string{"Ce-Id", "e1", "Ce-Time", "2020-01-02T03:04:05Z", "Ce-Type", kind, "Ce-Source", source, "Content-Type", "application/json"}, more...)
	}
	const (
		topic    = `"resource":{"service":"pubsub.googleapis.com","name":"projects/p/topics/t","type":"x"}`
		object   = `"resource":{"service":"storage.googleapis.com","name":"projects/_/buckets/b/objects/dir/o#123"}`
		document = `"resource":"projects/p/databases/(default)/documents/c/d"`
		message  = `{"message":{"data":"aGk=","messageId":"e1","publishTime":"2020-01-02T03:04:05Z"}}`
	)
	pubsub := ce("google.cloud.pubsub.topic.v1.messagePublished", "//pubsub.googleapis.com/projects/p/topics/t", "Ce-Subject", "")
	cases := []struct {
		name, body string
		header     []string
		data       string
	}{
		{"pubsub", `{"context":{` + head + `"google.pubsub.topic.publish",` + topic + `},"data":{"data":"aGk="}}`, pubsub, message},
		{"pubsub, flat", `{` + head + `"providers/cloud.pubsub/eventTypes/topic.publish","resource":"projects/p/topics/t","data":{"data":"aGk="}}`, pubsub, message},
		{
			"storage", `{"context":{` + head + `"google.storage.object.finalize",` + object + `},"data":{"size":"1"}}`,
			ce("google.cloud.storage.object.v1.finalized", "//storage.googleapis.com/projects/_/buckets/b", "Ce-Subject", "objects/dir/o"), `{"size":"1"}`,
		},
		{
			"firestore", `{` + head + `"providers/cloud.firestore/eventTypes/document.write",` + document + `,"data":{}}`,
			ce("google.cloud.firestore.document.v1.written", "//firestore.googleapis.com/projects/p/databases/(default)", "Ce-Subject", "documents/c/d"), `{}`,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := p.do(t, legacyRequest(c.body))
			if compacted(a.body) == compacted(c.data) {
				a.body = c.data // the order of the members is free where the framework adds some
			}
			a.check(t, want{body: c.data, header: c.header})
		})
	}
	p.all(t, []exchange{
		{"unknown type", legacyRequest(`{"context":{` + head + `"what.ever","resource":"r"},"data":{}}`), invalid(`the legacy event type "what.ever" is not known here`)},
		{"no id", legacyRequest(`{"context":{"eventType":"google.pubsub.topic.publish"},"data":{}}`), invalid("the legacy event lacks eventId")},
		{"no resource", legacyRequest(`{` + head + `"google.pubsub.topic.publish","data":{}}`), invalid("the legacy event lacks resource")},
	})
}

func legacyRequest(body string) request {
	return request{method: "POST", body: body, header: []string{"Content-Type", "application/json"}}
}

// compacted is JSON with sorted keys.
func compacted(text string) string {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	out, err := json.Marshal(v)
	if err != nil {
		return text
	}
	return string(out)
}

// typed is the typed signature of section 4.
func (s *suite) typed(t *testing.T) {
	p := s.ready(t, "typed")
	header := func(kind string) []string { return []string{"Content-Type", kind} }
	post := func(kind, body string) request { return request{method: "POST", header: header(kind), body: body} }
	json := want{body: `{"greeting":"hello <é>","count":42}`, header: header("application/json")}
	const in = `{"name":"<é>","count":41}`
	wrong := invalid("the request body is not the JSON that this function takes: DETAIL")
	kind := own(415, "this function takes JSON: send the content type application/json")
	cases := []exchange{
		{"JSON", post("application/json", in), json},
		{"without content type", request{method: "POST", body: in}, json},
		{"with parameters", post("Application/JSON; charset=utf-8", in), json},
		{"of another JSON type", post("application/x-own+json", in), json},
		{"none", post("application/json", `{"name":"nobody"}`), want{status: 204}},
		{"text", post("text/plain", in), kind},
		{"form", post("application/x-www-form-urlencoded", "a=b"), kind},
		{"not JSON", post("application/json", "{"), wrong},
		{"empty", request{method: "POST"}, wrong},
		{"two values", post("application/json", in+in), wrong},
		{"of another type", post("application/json", `[]`), wrong},
		{"with a member of another type", post("application/json", `{"name":7}`), wrong},
	}
	p.all(t, cases)
	t.Run("failure", func(t *testing.T) {
		a := p.do(t, post("application/json", `{"name":"fail"}`))
		a.check(t, failure(a.header.Get(statusHeader)))
		if e := p.stderr.entry(t, "id", a.header.Get(errorIDHeader)); !strings.Contains(e.text("error"), secret) {
			t.Errorf("error is %q, want the cause", e.text("error"))
		}
	})
	t.Run("too large", func(t *testing.T) {
		s.ready(t, "typed", "OFN_MAX_BODY=10").do(t, post("application/json", in)).check(t, own(413, "the request body is larger than 10 bytes"))
	})
}
