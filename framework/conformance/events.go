package conformance

import (
	"net/http"
	"strings"
	"testing"
)

// binary makes the headers of an event in binary mode; more replaces and adds, an empty value takes away.
func binary(more ...string) []string {
	all := []string{"ce-specversion", "1.0", "ce-id", "1", "ce-source", "/s", "ce-type", "t"}
	for i := 0; i < len(more); i += 2 {
		at := -1
		for j := 0; j < len(all); j += 2 {
			if strings.EqualFold(all[j], more[i]) {
				at = j
			}
		}
		switch {
		case at < 0:
			all = append(all, more[i], more[i+1])
		case more[i+1] == "":
			all = append(all[:at:at], all[at+2:]...)
		default:
			all[at+1] = more[i+1]
		}
	}
	return all
}

// The content types of structured and batch mode.
var (
	structured = []string{"Content-Type", "application/cloudevents+json"}
	batched    = []string{"Content-Type", "application/cloudevents-batch+json"}
)

const whole = `"specversion":"1.0","id":"1","source":"/s","type":"t"`

// notEvent is the text of a 415.
const notEvent = "the request is not a CloudEvent: send the ce- headers, or the content type application/cloudevents+json or " +
	"application/cloudevents-batch+json"

func invalid(text string) want { return own(http.StatusBadRequest, text) }

// events is section 5 of the contract: which requests are events, and which of them are valid.
func (s *suite) events(t *testing.T) {
	p := s.ready(t, "eventVoid")
	cases := []exchange{
		{"binary", request{method: "POST", body: "{}", header: binary("Content-Type", "application/json")}, want{}},
		{"binary, PUT", request{method: "PUT", body: "{}", header: binary()}, want{}},
		{"binary, PATCH", request{method: "PATCH", body: "{}", header: binary()}, want{}},
		{"binary without data", request{method: "POST", header: binary()}, want{}},
		{"binary at a path", request{method: "POST", path: "/a/b", body: "{}", header: binary()}, want{}},
		{"structured", request{method: "POST", body: "{" + whole + "}", header: structured}, want{}},
		{
			"structured with parameters",
			request{method: "POST", body: "{" + whole + "}", header: []string{"Content-Type", "Application/CloudEvents+JSON; charset=utf-8"}},
			want{},
		},
		{"structured with ce- headers", request{method: "POST", body: "{" + whole + "}", header: append(binary("ce-id", ""), structured...)}, want{}},
		{"null attribute", request{method: "POST", body: "{" + whole + `,"subject":null,"time":null}`, header: structured}, want{}},
		{"time", request{method: "POST", header: binary("ce-time", "2020-01-02T03:04:05.678+01:00")}, want{}},
		{"header that is no attribute", request{method: "POST", header: binary("ce-my_own", "x")}, want{}},
	}
	p.all(t, append(cases, refused()...))
	p.all(t, malformed())
	t.Run("Called", func(t *testing.T) {
		p.do(t, request{method: "POST", header: binary("ce-id", "id-of-binary")}).check(t, want{})
		p.stdout.exactly(t, "id-of-binary")
		p.do(t, request{method: "POST", body: strings.Replace("{"+whole+"}", `"1"`, `"id-of-structured"`, 1), header: structured}).check(t, want{})
		p.stdout.exactly(t, "id-of-structured")
		p.do(t, request{method: "POST", header: binary("ce-id", "a%20%C3%A9%zz")}).check(t, want{})
		p.stdout.exactly(t, "a é%zz")
	})
	t.Run("TooLarge", s.tooLarge)
	t.Run("Crash", func(t *testing.T) {
		p := s.ready(t, "eventRaise")
		a := p.do(t, request{method: "POST", header: binary("ce-type", "fail")})
		if kind := a.header.Get(statusHeader); kind != "crash" && kind != "error" {
			t.Errorf("%s is %q", statusHeader, kind)
		}
		a.check(t, failure(a.header.Get(statusHeader)))
		e := p.stderr.entry(t, "id", a.header.Get(errorIDHeader))
		e.check(t, map[string]any{"level": "ERROR", "function": p.function, "method": "POST", "path": "/"})
		if !strings.Contains(e.text("error"), secret) {
			t.Errorf("error is %q, want the cause", e.text("error"))
		}
		p.do(t, request{method: "POST", header: binary()}).check(t, want{})
	})
}

// refused are requests that are no events.
func refused() []exchange {
	var cases []exchange
	for _, method := range []string{"DELETE", "GET", "OPTIONS"} {
		cases = append(cases, exchange{
			method, request{method: method, header: binary()},
			own(http.StatusMethodNotAllowed, "CloudEvents are sent with POST", "Allow", "PATCH, POST, PUT"),
		})
	}
	none := own(http.StatusUnsupportedMediaType, notEvent)
	for name, q := range map[string]request{
		"nothing":             {method: "POST"},
		"JSON":                {method: "POST", body: `{"a":1}`, header: []string{"Content-Type", "application/json"}},
		"event as plain JSON": {method: "POST", body: "{" + whole + "}", header: []string{"Content-Type", "application/json"}},
		"XML":                 {method: "POST", body: "<event/>", header: []string{"Content-Type", "application/cloudevents+xml"}},
		"XML and ce- headers": {method: "POST", body: "<event/>", header: binary("Content-Type", "application/cloudevents+xml")},
		"no specversion":      {method: "POST", header: binary("ce-specversion", "")},
		"text":                {method: "POST", body: "x", header: []string{"Content-Type", "text/plain"}},
	} {
		cases = append(cases, exchange{name, q, none})
	}
	return cases
}

// malformed are events that are not valid.
func malformed() []exchange {
	var cases []exchange
	add := func(name, text string, header []string, body string) {
		cases = append(cases, exchange{name, request{method: "POST", body: body, header: header}, invalid(text)})
	}
	lacks := func(attribute string) string { return "the CloudEvent lacks the attribute " + attribute }
	bad := func(attribute string) string { return "the CloudEvent has an invalid attribute " + attribute }
	for _, name := range []string{"id", "source", "type"} {
		add("binary without "+name, lacks(name), binary("ce-"+name, ""), "")
		add("structured without "+name, lacks(name), structured, "{"+strings.Replace(whole, `"`+name+`"`, `"other"`, 1)+"}")
		add("structured with empty "+name, lacks(name), structured, `{"`+name+`":"",`+strings.Replace(whole, `"`+name+`"`, `"other"`, 1)+"}")
	}
	add("first that lacks", lacks("id"), structured, `{"specversion":"1.0"}`)
	add("structured without anything", lacks("specversion"), structured, `{}`)
	add("binary of another version", `the CloudEvent has the specversion "0.3", but 1.0 is needed`, binary("ce-specversion", "0.3"), "")
	add("structured of another version", `the CloudEvent has the specversion "1.1", but 1.0 is needed`, structured,
		"{"+strings.Replace(whole, "1.0", "1.1", 1)+"}")
	add("version and no id", lacks("id"), binary("ce-specversion", "0.3", "ce-id", ""), "")
	add("binary with a wrong time", bad("time"), binary("ce-time", "yesterday"), "")
	add("structured with a wrong time", bad("time"), structured, "{"+whole+`,"time":"2020-13-01T00:00:00Z"}`)
	add("attribute that is an object", bad("own"), structured, "{"+whole+`,"own":{}}`)
	add("attribute that is an array", bad("own"), structured, "{"+whole+`,"own":[1]}`)
	add("name in capitals", bad("myOwn"), structured, "{"+whole+`,"myOwn":"x"}`)
	add("first by name", bad("a_a"), structured, "{"+whole+`,"z_z":1,"a_a":1}`)
	add("data twice", "the CloudEvent has invalid data", structured, "{"+whole+`,"data":1,"data_base64":"AA=="}`)
	add("not base64", "the CloudEvent has invalid data", structured, "{"+whole+`,"data_base64":"*"}`)
	add("base64 that is no string", "the CloudEvent has invalid data", structured, "{"+whole+`,"data_base64":1}`)
	for name, body := range map[string]string{"not JSON": "{", "empty": "", "array": "[]", "string": `"x"`, "null": "null", "two values": "{} {}", "not UTF-8": "{\"a\":\"\xff\"}"} {
		add(name, "the CloudEvent is not a JSON object: DETAIL", structured, body)
	}
	return cases
}

func (s *suite) tooLarge(t *testing.T) {
	p := s.ready(t, "eventVoid", "OFN_MAX_BODY=1000")
	tooLarge := own(http.StatusRequestEntityTooLarge, "the request body is larger than 1000 bytes")
	p.all(t, []exchange{
		{"fits", request{method: "POST", body: strings.Repeat("x", 1000), header: binary()}, want{}},
		{"does not fit", request{method: "POST", body: strings.Repeat("x", 1001), header: binary()}, tooLarge},
	})
	t.Run("chunked", func(t *testing.T) {
		c := p.connect(t)
		c.send(t, "POST / HTTP/1.1\nHost: f\nTransfer-Encoding: chunked\nce-specversion: 1.0\nce-id: 1\nce-source: s\nce-type: t\n\n3e9\n"+
			strings.Repeat("x", 1001)+"\n0\n\n")
		c.answer(t, "POST").check(t, tooLarge)
	})
}

// batch is the part of section 5 about several events in one request.
func (s *suite) batch(t *testing.T) {
	event := func(id, more string) string {
		return `{"specversion":"1.0","id":"` + id + `","source":"/s","type":"t"` + more + `}`
	}
	post := func(body string) request { return request{method: "POST", body: body, header: batched} }
	p := s.ready(t, "eventVoid")
	p.all(t, []exchange{
		{"empty", post("[]"), want{}},
		{"not JSON", post("["), invalid("the batch is not a JSON array of CloudEvents: DETAIL")},
		{"no array", post(event("1", "")), invalid("the batch is not a JSON array of CloudEvents: DETAIL")},
		{"no body", post(""), invalid("the batch is not a JSON array of CloudEvents: DETAIL")},
		{"null", post("null"), invalid("the batch is not a JSON array of CloudEvents: DETAIL")},
		{"element that is no object", post("[" + event("1", "") + ",7]"), invalid("CloudEvent 2 of 2 is not a JSON object: DETAIL")},
		{"element that lacks", post("[" + event("never-1", "") + `,{"specversion":"1.0"},7]`), invalid("CloudEvent 2 of 3 lacks the attribute id")},
		{"element of another version", post(`[{"specversion":"2","id":"1","source":"/s","type":"t"}]`),
			invalid(`CloudEvent 1 of 1 has the specversion "2", but 1.0 is needed`)},
		{"element with a wrong time", post("[" + event("1", `,"time":"x"`) + "]"), invalid("CloudEvent 1 of 1 has an invalid attribute time")},
		{"element with wrong data", post("[" + event("1", `,"data_base64":"*"`) + "]"), invalid("CloudEvent 1 of 1 has invalid data")},
		{"three", post("[" + event("batch-1", "") + "," + event("batch-2", "") + "," + event("batch-3", "") + "]"), want{}},
	})
	t.Run("Called", func(t *testing.T) {
		p.stdout.exactly(t, "batch-3")
		var ids []string
		for _, l := range p.stdout.lines() {
			if strings.HasPrefix(l, "batch-") || strings.HasPrefix(l, "never") {
				ids = append(ids, l)
			}
		}
		if got := strings.Join(ids, " "); got != "batch-1 batch-2 batch-3" {
			t.Errorf("handled %q, want the three in their order and none of the refused", got)
		}
	})
	t.Run("Failure", func(t *testing.T) {
		p := s.ready(t, "eventRaise")
		fail := strings.Replace(event("2", ""), `"t"`, `"fail"`, 1)
		a := p.do(t, post("["+event("before", "")+","+fail+","+event("after", "")+"]"))
		a.check(t, failure(a.header.Get(statusHeader)))
		p.stdout.exactly(t, "before")
		p.stdout.exactly(t, "after") // all are handled
	})
}
