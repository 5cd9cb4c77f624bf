package conformance

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// openFunction is the openfunction signature of section 4.
func (s *suite) openFunction(t *testing.T) {
	t.Run("Echo", func(t *testing.T) {
		p := s.ready(t, "ofEcho")
		success := func(body string) want { return want{body: body, header: []string{statusHeader, "success"}} }
		text := want{body: "héllo\n", header: []string{statusHeader, "success", "Content-Type", plain}}
		p.all(t, []exchange{
			{"body", request{method: "POST", body: "héllo\n", header: []string{"Content-Type", "text/plain"}}, text},
			{"no body", request{}, success("")},
			{"CloudEvent, binary", request{method: "POST", body: "héllo\n", header: binary("Content-Type", "text/plain")}, text},
			{"CloudEvent, structured", request{method: "POST", body: "{" + whole + `,"datacontenttype":"text/plain","data":"héllo\n"}`, header: structured}, text},
			{"CloudEvent that is not valid", request{method: "POST", header: binary("ce-id", "")}, invalid("the CloudEvent lacks the attribute id")},
			{"CloudEvent that is not JSON", request{method: "POST", body: "{", header: structured}, invalid("the CloudEvent is not a JSON object: DETAIL")},
			{"at a path, PUT", request{method: "PUT", path: "/a/b", body: "x", header: []string{"Content-Type", "text/plain"}}, success("x")},
		})
	})
	t.Run("Code", func(t *testing.T) {
		p := s.ready(t, "ofCode")
		post := func(body string) request {
			return request{method: "POST", body: body, header: []string{"Content-Type", "application/json"}}
		}
		p.all(t, []exchange{
			{"0", post(`{"code":0,"data":"x"}`), want{body: "x", header: []string{statusHeader, "success", "Content-Type", plain}}},
			{"200", post(`{"code":200,"data":"x"}`), want{body: "x", header: []string{statusHeader, "success"}}},
			{"200 without data", post(`{"code":200}`), want{header: []string{statusHeader, "success"}}},
			{"201", post(`{"code":201,"data":"x"}`), want{status: 201, body: "x", header: []string{statusHeader, "success"}}},
			{"204", post(`{"code":204,"data":"x"}`), want{status: 204, header: []string{statusHeader, "success"}}},
			{"404", post(`{"code":404,"data":"x"}`), want{status: 404, body: "x", header: []string{statusHeader, "error", errorIDHeader, ""}}},
			{"500", post(`{"code":500,"data":"x"}`), want{status: 500, body: "x", header: []string{statusHeader, "error"}}},
			{"500 without data", post(`{"code":500}`), want{status: 500, header: []string{statusHeader, "error"}}},
			{"600", post(`{"code":600,"data":"x"}`), want{status: 500, body: "x", header: []string{statusHeader, "error"}}},
			{"99", post(`{"code":99,"data":"x"}`), want{status: 500, body: "x", header: []string{statusHeader, "error"}}},
		})
	})
	t.Run("Raise", func(t *testing.T) {
		s.ready(t, "ofRaise").crash(t, request{method: "POST", path: "/p", body: "x"}, "POST", "/p")
	})
	t.Run("Event", func(t *testing.T) {
		p := s.ready(t, "ofEvent")
		p.all(t, []exchange{
			{"of a CloudEvent", request{method: "POST", header: binary()}, want{body: "t 1 -\n"}},
			{"of a plain request", request{method: "POST", body: "x", header: []string{"Content-Type", "text/plain"}}, want{body: "- - -\n"}},
		})
	})
	t.Run("TooLarge", func(t *testing.T) {
		s.ready(t, "ofEcho", "OFN_MAX_BODY=10").do(t, request{method: "POST", body: "0123456789a"}).check(t, own(413, "the request body is larger than 10 bytes"))
	})
	t.Run("Context", s.contexts)
}

// contexts is what section 8 says of contexts that are wrong, and of two that belong together.
func (s *suite) contexts(t *testing.T) {
	for _, c := range []struct{ name, variable, value, names string }{
		{"not JSON", "FUNC_CONTEXT", "{", "FUNC_CONTEXT"},
		{"not JSON either", "FUNC_CONTEXT_V1BETA2", "{", "FUNC_CONTEXT_V1BETA2"},
		{"runtime", "FUNC_CONTEXT", `{"name":"f","runtime":"Other"}`, "Other"},
		{"component type", "FUNC_CONTEXT", `{"name":"f","runtime":"Async","inputs":{"in1":{"componentName":"c","componentType":"wrong.kind"}}}`, "wrong.kind"},
		{"no component name", "FUNC_CONTEXT", `{"name":"f","runtime":"Async","outputs":{"out1":{"componentType":"bindings.cron"}}}`, "out1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := s.startError(t, "ofEcho", c.variable+"="+c.value)
			if !strings.Contains(e.text("error"), c.names) {
				t.Errorf("error is %q, want it to name %s", e.text("error"), c.names)
			}
		})
	}
	t.Run("both", func(t *testing.T) {
		p := s.ready(t, "ofEcho",
			`FUNC_CONTEXT={"name":"f","runtime":"Knative","port":"1","unknown":true,"inputs":{"o":{"uri":"u","componentName":"c","componentType":"pubsub.redis"}}}`,
			`FUNC_CONTEXT_V1BETA2={"name":"g","triggers":{"http":{"port":1}},"inputs":{"o":{"componentName":"c","componentType":"pubsub.redis"}}}`)
		p.do(t, request{method: "POST", body: "x", header: []string{"Content-Type", "text/plain"}}).check(t, want{body: "x"})
	})
}

// plugins is the part of section 8 about hooks.
func (s *suite) plugins(t *testing.T) {
	for name, env := range map[string]string{
		"FUNC_CONTEXT":         `FUNC_CONTEXT={"name":"f","runtime":"Knative","prePlugins":["one","two"],"postPlugins":["two","one"]}`,
		"FUNC_CONTEXT_V1BETA2": `FUNC_CONTEXT_V1BETA2={"name":"f","triggers":{"http":{}},"preHooks":["one","two"],"postHooks":["two","one"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := s.ready(t, "ofPlugins", env)
			p.do(t, request{}).check(t, want{body: "ok"})
			p.stdout.exactly(t, "after one")
			lines := slices.DeleteFunc(p.stdout.lines(), func(l string) bool {
				return l != "function" && !strings.HasPrefix(l, "before ") && !strings.HasPrefix(l, "after ")
			})
			if got := strings.Join(lines, ", "); got != "before one, before two, function, after two, after one" {
				t.Errorf("ran %s", got)
			}
		})
	}
	t.Run("unknown", func(t *testing.T) {
		p := s.ready(t, "ofPlugins", `FUNC_CONTEXT={"name":"f","runtime":"Knative","prePlugins":["nowhere"]}`)
		p.do(t, request{}).check(t, want{body: "ok"})
		p.stderr.line(t, "a line that names the plugin", func(l string) bool {
			e, ok := parseEntry(l)
			return ok && e.text("level") == "WARN" && strings.Contains(l, "nowhere")
		})
	})
}

// send is rule 4 of section 8: what sending does that needs no Dapr runtime.
func (s *suite) send(t *testing.T) {
	const outputs = `FUNC_CONTEXT={"name":"f","runtime":"Knative","outputs":{` +
		`"first":{"uri":"t","componentName":"bus","componentType":"pubsub.redis"},` +
		`"second":{"componentName":"store","componentType":"bindings.redis","operation":"create"}}}`
	to := func(output string) request {
		return request{method: "POST", body: `{"output":"` + output + `","data":"x"}`, header: []string{"Content-Type", "application/json"}}
	}
	t.Run("trace", func(t *testing.T) { s.sentTrace(t, outputs, to) })
	p := s.ready(t, "ofSend", outputs, "TEST_MODE=on")
	sent := want{body: "sent\n", header: []string{statusHeader, "success"}}
	p.all(t, []exchange{{"topic", to("first"), sent}, {"binding", to("second"), sent}})
	t.Run("unknown output", func(t *testing.T) {
		a := p.do(t, to("nowhere"))
		a.check(t, failure(a.header.Get(statusHeader)))
		e := p.stderr.entry(t, "id", a.header.Get(errorIDHeader))
		for _, name := range []string{"nowhere", "first", "second"} {
			if !strings.Contains(e.text("error"), name) {
				t.Errorf("error is %q, want it to name %s", e.text("error"), name)
			}
		}
	})
}

// sentTrace: what is sent carries the trace of the call, whichever of Dapr's two protocols the framework speaks.
func (s *suite) sentTrace(t *testing.T, outputs string, to func(string) request) {
	got := make(chan http.Header, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") { // an empty message
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Trailer", "Grpc-Status")
			_, _ = w.Write(make([]byte, 5)) // a framework that has gone is told nothing
			w.Header().Set("Grpc-Status", "0")
		}
	}))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := s.ready(t, "ofSend", outputs, "DAPR_HOST=127.0.0.1", "DAPR_HTTP_PORT="+port, "DAPR_GRPC_PORT="+port)
	for _, output := range []string{"first", "second"} {
		r := to(output)
		trace := []string{"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate", "a=b", "Baggage", "k=v"}
		r.header = append(r.header, trace...)
		p.do(t, r).check(t, want{body: "sent\n"})
		select {
		case h := <-got:
			for i := 0; i < len(trace); i += 2 {
				if v := h.Get(trace[i]); v != trace[i+1] {
					t.Errorf("to %s: %s is %q, want %q", output, trace[i], v, trace[i+1])
				}
			}
		default:
			t.Errorf("nothing was sent to %s", output)
		}
	}
}

// subscribes compares what Dapr is told of topics, members in the order of their names.
func (p *process) subscribes(t *testing.T, list string) {
	t.Helper()
	a := p.do(t, request{path: "/dapr/subscribe"})
	var got any
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != http.StatusOK {
		t.Fatalf("%d %q: %v", a.status, a.body, err)
	}
	if compacted(a.body) != list {
		t.Errorf("subscribes to %s, want %s", a.body, list)
	}
}

// dapr is the part of section 8 about events from Dapr over HTTP.
func (s *suite) dapr(t *testing.T) {
	const inputs = `FUNC_CONTEXT={"name":"f","runtime":"Async","inputs":{` +
		`"tick":{"uri":"cron","componentName":"cron","componentType":"bindings.cron"},` +
		`"orders":{"uri":"topic-o","componentName":"bus","componentType":"pubsub.redis","metadata":{"rawPayload":"false"}}}}`
	event := func(data string) string {
		return `{` + whole + `,"datacontenttype":"text/plain","topic":"topic-o","pubsubname":"bus","data":"` + data + `"}`
	}
	toTopic := func(body string) request {
		return request{method: "POST", path: "/topic-o", body: body, header: structured}
	}
	status := func(text string) want {
		return want{body: `{"status":"` + text + `"}` + "\n", header: []string{"Content-Type", "application/json"}}
	}
	const triggers = `FUNC_CONTEXT_V1BETA2={"name":"f","triggers":{"dapr":[{"name":"bus","type":"pubsub.redis","topic":"topic-o","inputName":"orders","deadLetterTopic":"dead"}]}}`
	p := s.ready(t, "ofEcho", inputs)
	t.Run("subscribe", func(t *testing.T) {
		p.subscribes(t, `[{"metadata":{"rawPayload":"false"},"pubsubname":"bus","route":"/topic-o","topic":"topic-o"}]`)
	})
	t.Run("subscribe with dead letters", func(t *testing.T) {
		p := s.ready(t, "ofEcho", inputs, triggers)
		p.subscribes(t, `[{"deadLetterTopic":"dead","metadata":{"rawPayload":"false"},"pubsubname":"bus","route":"/topic-o","topic":"topic-o"}]`)
	})
	p.all(t, []exchange{
		{"binding is asked for", request{method: "OPTIONS", path: "/cron"}, want{}},
		{"binding", request{method: "POST", path: "/cron", body: "ping"}, want{body: "ping"}},
		{"topic", toTopic(event("x")), status("SUCCESS")},
		{"topic, unreadable", toTopic("{"), status("DROP")},
		{"plain request", request{method: "POST", path: "/other", body: "x", header: []string{"Content-Type", "text/plain"}}, want{body: "x"}},
	})
	failing := s.ready(t, "ofRetry", inputs)
	failing.all(t, []exchange{
		{"binding that fails", request{method: "POST", path: "/cron", body: "x"}, own(500, "the function failed")},
		{"topic that fails", toTopic(event("x")), status("DROP")},
		{"topic that asks for more", toTopic(event("again")), status("RETRY")},
	})
	t.Run("input", func(t *testing.T) {
		p := s.ready(t, "ofEvent", inputs)
		p.do(t, request{method: "POST", path: "/cron", body: "x"}).check(t, want{body: "- - tick\n"})
	})
}
