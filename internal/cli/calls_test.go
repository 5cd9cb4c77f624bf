package cli

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// served is a machine that answers requests by method and path, and remembers them.
type served struct {
	answers map[string]string // "GET calls/x": body; "409 text" is that status
	header  map[string]http.Header

	mu    sync.Mutex
	asked []string
}

func (s *served) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/ofn/v1/namespaces/default/")
	s.mu.Lock()
	s.asked = append(s.asked, key+"?"+r.URL.RawQuery)
	s.mu.Unlock()
	body, ok := s.answers[key]
	if !ok {
		http.Error(w, "nothing here", http.StatusNotFound)
		return
	}
	for name, values := range s.header[key] {
		w.Header()[name] = values
	}
	code := http.StatusOK
	if n, _ := fmt.Sscanf(body, "%d ", &code); n == 1 {
		_, body, _ = strings.Cut(body, " ")
	}
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body)
}

func (s *served) took() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := strings.Join(s.asked, "\n")
	s.asked = nil
	return out
}

const twoCalls = `{"calls":[{"id":"a1","function":{"namespace":"default","name":"hello"},"method":"POST","path":"/x","state":"dead-lettered","reason":"the function answered 500","accepted":"2026-01-01T00:00:00Z","attempts":3,"status":500},` +
	`{"id":"b2","function":{"namespace":"default","name":"hello"},"method":"GET","path":"/","state":"succeeded","accepted":"2026-01-01T00:00:00Z","attempts":1,"status":200}]}`

const oneCall = `{"id":"a1","function":{"name":"hello"},"method":"POST","path":"/x","state":"dead-lettered","reason":"gone","accepted":"2026-01-01T00:00:00Z","attempts":1,
"history":[{"number":1,"started":"2026-01-01T00:00:00Z","ended":"2026-01-01T00:00:02Z","error":"it broke off"}],"replayable":true,"notice":{"to":"topic:a/b","sent":true}}`

func newServed() *served {
	return &served{
		answers: map[string]string{
			"GET calls": twoCalls, "GET calls/a1": oneCall, "GET calls/a1/result": "500 broken", "GET calls/b2/result": "fine", "GET calls/wait/result": "202 {}",
			"POST calls/a1/redrive": oneCall, "POST calls/b2/redrive": `409 {"message":"the call has ended: it succeeded"}`, "POST calls/a1/cancel": oneCall, "DELETE calls/a1": "204 ",
			"GET webhook-key": "whsec_abc\n", "GET calls/gone/result": `410 {"message":"it was cancelled"}`,
			"GET buses/default/events": `{"topic":"t","sequence":7,"time":"2026-01-01T00:00:00Z","header":{"ce-type":"k","ce-id":"1"},"data":"a\u001b[31mb"}` + "\n", "POST buses/default/events": `{"sequence":8}`,
			"POST buses/b/replay":   `{"events":3,"last":9,"error":"event 10: full"}`,
			"GET deadletters":       `{"deadLetters":[{"id":"d1","kind":"Trigger","from":"t","sink":"function default/f","cause":"f answered 400","attempts":1,"last":"2026-01-01T00:00:00Z"}]}`,
			"GET deadletters/d1":    `{"id":"d1","kind":"Trigger","from":"t","cause":"f answered 400","attempts":1,"event":{"id":"e","data":"payload","header":{"ce-type":"k"}}}`,
			"DELETE deadletters/d1": "204 ", "POST deadletters/d1/redrive": "409 it cannot be delivered: still broken",
			"POST functions/hello/invoke/": "202 {}",
		},
		header: map[string]http.Header{"GET calls/a1/result": {"X-Openfunction-Call-State": {"dead-lettered"}}, "GET calls/b2/result": {"X-Openfunction-Call-State": {"succeeded"}},
			"POST functions/hello/invoke/": {"X-Openfunction-Call-Id": {"b2"}}},
	}
}

func TestCommandsOfCallsAndEvents(t *testing.T) {
	for _, c := range []struct{ args, asked, out, errs string }{
		{"calls", "GET calls?limit=100", "dead-lettered", ""},
		{"calls list hello --state failed,queued --limit 5 -o wide", "GET calls?function=hello&limit=5&state=failed%2Cqueued", "POST /x", ""},
		{"calls list -o name", "", "a1\nb2\n", ""},
		{"calls list -o json", "", `"reason": "the function answered 500"`, ""},
		{"calls list -o yaml", "", "state: succeeded", ""},
		{"calls list -o xml", "", "", "is one of json, yaml, wide, name"},
		{"calls get a1", "GET calls/a1?", "Run it again with `ofn calls redrive a1`", ""},
		{"calls get a1", "", "it broke off", ""},
		{"calls get a1 -o json", "", `"replayable": true`, ""},
		{"calls get nope", "", "", "`ofn calls` lists them"},
		{"calls result b2", "GET calls/b2/result?", "fine", ""},
		{"calls result a1", "", "broken", "exit code 1"},
		{"calls result gone", "", "", "it was cancelled"},
		{"calls result wait", "", "", "--wait waits for it"},
		{"calls cancel a1", "POST calls/a1/cancel?", "call a1 cancelled", ""},
		{"calls delete a1", "DELETE calls/a1?", "call a1 deleted", ""},
		{"calls redrive a1 b2", "POST calls/a1/redrive?", "call a1 redriven", "it succeeded"},
		{"calls redrive", "", "", "--all"},
		{"calls redrive --all hello", "GET calls?function=hello&limit=1000&state=dead-lettered%2Cfailed", "call a1 redriven", "b2"},
		{"calls key", "GET webhook-key?", "whsec_abc", ""},
		{"events tail", "GET buses/default/events?follow=true", "\uFFFD[31mb", ""},
		{"events tail --all --topic a --topic b --limit 3 -o json", "GET buses/default/events?all=true&limit=3&topic=a&topic=b", `"sequence":7`, ""},
		{"events tail --since yesterday", "", "", "--since is \"yesterday\""},
		{"events publish orders --id 1 -d {}", "POST buses/default/events?id=ofn%2Fcli%2F1&topic=orders", "number 8 of topic orders", ""},
		{"events replay --bus b --sequence 7 --function f/p", "POST buses/b/replay?function=f%2Fp&sequence=7", "3 events were played again", "go on with --sequence 10"},
		{"events replay", "", "", "since"},
		{"deadletters", "GET deadletters?limit=100", "f answered 400", ""},
		{"deadletters list --kind Trigger --from t -o json", "GET deadletters?from=t&kind=Trigger&limit=100", `"cause": "f answered 400"`, ""},
		{"deadletters show d1", "GET deadletters/d1?", "payload", ""},
		{"deadletters show d1 -o data", "", "payload", ""},
		{"deadletters delete d1", "DELETE deadletters/d1?", "dead letter d1 deleted", ""},
		{"deadletters delete", "", "", "--all"},
		{"deadletters redrive --all", "POST deadletters/d1/redrive?", "", "still broken"},
		{"invoke hello --async -d {}", "POST functions/hello/invoke/?", "b2\n", ""},
		{"invoke hello --async --wait -d {}", "GET calls/b2/result?wait=30", "fine", ""},
		{"invoke hello --delay 1s", "", "", "--delay belongs to --async"},
		{"invoke hello --async --delay 1s --at 2030-01-01T00:00:00Z", "", "", "exclude each other"},
	} {
		f, s := withHello(t), newServed()
		f.extra = s
		out, _, err := f.run(t, strings.Fields(c.args)...)
		if asked := s.took(); !strings.Contains(asked, c.asked) || !strings.Contains(out, c.out) || (err == nil) != (c.errs == "") || !strings.Contains(fmt.Sprint(err), c.errs) {
			t.Errorf("%s:\nasked %s, want %s\nprinted %s, want %s\nerror %v, want %q", c.args, asked, c.asked, out, c.out, err, c.errs)
		}
	}
}

func TestAsyncHeaders(t *testing.T) {
	f := withHello(t)
	var got http.Header
	f.extra = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		w.Header().Set("X-OpenFunction-Call-Id", "x")
		w.WriteHeader(http.StatusAccepted)
	})
	args := "invoke hello --async --delay 90s --max-age 1h --retries 2 --retry-on 5xx --idempotency-key k --on-success function:a --on-failure topic:b/c"
	if _, _, err := f.run(t, strings.Fields(args)...); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"Prefer": "respond-async", "X-OpenFunction-Delay": "1m30s", "X-OpenFunction-Max-Age": "1h0m0s", "X-OpenFunction-Attempts": "3",
		"X-OpenFunction-Retry-On": "5xx", "Idempotency-Key": "k", "X-OpenFunction-On-Success": "function:a", "X-OpenFunction-On-Failure": "topic:b/c", "X-OpenFunction-Not-Before": ""} {
		if got.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Get(name), want)
		}
	}
}

// A platform that answers at once, and one that is not a machine.
func TestNoAsyncCalls(t *testing.T) {
	f := withHello(t)
	f.extra = http.HandlerFunc(echo)
	if _, _, err := f.run(t, "invoke", "hello", "--async"); err == nil || !strings.Contains(err.Error(), "takes no asynchronous calls") {
		t.Error(err)
	}
	f.version = "v1.33.0"
	for _, args := range []string{"calls", "calls get x", "events tail", "deadletters"} {
		if _, _, err := f.run(t, strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), "`ofn up`") {
			t.Errorf("%s: %v", args, err)
		}
	}
}
