package conformance

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// multi is section 6 of the contract.
func (s *suite) multi(t *testing.T) {
	p := s.ready(t, "multi")
	of := func(name, body string) want { return want{body: body, header: []string{functionHeader, name}} }
	text := func(name, body string) want {
		return want{body: body, header: []string{functionHeader, name, "Content-Type", plain}}
	}
	none := own(404, "no function is served at this path", functionHeader, "")
	refused := func(allow string) want { return own(405, "method not allowed", "Allow", allow, functionHeader, "") }
	p.all(t, []exchange{
		{"variable", request{path: "/hello/bob"}, text("hello", "hello bob\n")},
		{"variable, decoded", request{path: "/hello/b%C3%B6b%20x"}, text("hello", "hello böb x\n")},
		{"variable that is empty", request{path: "/hello/"}, none},
		{"two segments", request{path: "/hello/a/b"}, none},
		{"trailing slash", request{path: "/hello/bob/"}, none},
		{"another method", request{method: "POST", path: "/hello/bob"}, refused("GET")},
		{"HEAD is another method", request{method: "HEAD", path: "/hello/bob"}, want{status: 405, header: []string{"Allow", "GET"}}},
		{"expression", request{path: "/12"}, text("number", "number 12\n")},
		{"expression that does not match", request{path: "/1x"}, none},
		{"root", request{path: "/"}, none},
		{"one of two methods", request{method: "PUT", path: "/save"}, text("save", "saved\n")},
		{"none of two methods", request{method: "GET", path: "/save"}, refused("POST, PUT")},
		{"load", request{path: "/load"}, text("load", "loaded\n")},
		{"event", request{method: "POST", path: "/note", header: binary()}, of("note", "")},
		{"no event", request{method: "POST", path: "/note", body: "x"}, own(415, notEvent, functionHeader, "note")},
		{"openfunction", request{method: "POST", path: "/of", body: "x", header: []string{"Content-Type", "text/plain"}}, of("of", "x")},
		{"health", request{path: "/_ofn/health"}, own(200, "ok", functionHeader, "")},
	})
	t.Run("failure", func(t *testing.T) {
		a := p.do(t, request{path: "/bad"})
		w := failure("crash")
		w.header = append(w.header, functionHeader, "bad")
		a.check(t, w)
		p.stderr.entry(t, "id", a.header.Get(errorIDHeader)).check(t, map[string]any{"function": "bad", "path": "/bad"})
	})
	t.Run("target", func(t *testing.T) {
		p := s.ready(t, "multi", "FUNCTION_TARGET=load")
		p.all(t, []exchange{
			{"its path", request{path: "/load"}, want{body: "loaded\n", header: []string{functionHeader, ""}}},
			{"root", request{path: "/"}, want{body: "loaded\n", header: []string{functionHeader, ""}}},
			{"its methods", request{method: "POST", path: "/load"}, refused("GET")},
			{"another function", request{path: "/hello/bob"}, none},
		})
	})
}

// log is section 7 of the contract; the lines of failures are checked where they happen.
func (s *suite) log(t *testing.T) {
	t.Run("Prints", func(t *testing.T) {
		p := s.ready(t, "httpPrint")
		p.do(t, request{}).check(t, want{body: "ok"})
		p.stdout.exactly(t, "plain line")
		p.stderr.exactly(t, "error line")
	})
	t.Run("Quiet", func(t *testing.T) {
		p := s.ready(t, "httpEmpty")
		p.do(t, request{}).check(t, want{})
		p.signal(t, syscall.SIGTERM)
		p.exit(t)
		if p.stdout.String()+p.stderr.String() != "" {
			t.Errorf("a life without failures wrote %q and %q", p.stdout, p.stderr)
		}
	})
	t.Run("Logger", func(t *testing.T) {
		if !s.Features.Logger {
			t.Skip("functions of this framework have no logger")
		}
		p := s.ready(t, "httpLog")
		p.do(t, request{header: []string{"X-Request-Id", "r-1", "traceparent", traceparent}}).check(t, want{body: "ok"})
		p.stderr.entry(t, "msg", "from the function").check(t, map[string]any{
			"level": "INFO", "function": p.function, "request_id": "r-1", "trace_id": trace, "answer": 42.0,
		})
		quiet := s.ready(t, "httpLog", "OFN_LOG_LEVEL=warn")
		quiet.do(t, request{}).check(t, want{body: "ok"})
		quiet.signal(t, syscall.SIGTERM)
		quiet.exit(t)
		if strings.Contains(quiet.stderr.String(), "from the function") {
			t.Error("OFN_LOG_LEVEL=warn shows a line of level info")
		}
	})
}

// startError starts a fixture that cannot start and returns the line that says why.
func (s *suite) startError(t *testing.T, fixture string, env ...string) entry {
	t.Helper()
	p := s.launch(t, fixture, env...)
	if code := p.exit(t); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	e := p.stderr.entry(t, "msg", "function server ended")
	e.check(t, map[string]any{"level": "ERROR"})
	return e
}

// start is the first part of section 10.
func (s *suite) start(t *testing.T) {
	for _, c := range []struct {
		fixture string
		names   []string // in error
		loads   bool
		inStack string
	}{
		{"missing", []string{"missing"}, false, ""},
		{"brokenImport", []string{"nowhere_to_be_found"}, true, "nowhere_to_be_found"},
		{"brokenSyntax", nil, true, "\n"},
		{"brokenKind", []string{"brokenKind"}, true, ""},
	} {
		t.Run(c.fixture, func(t *testing.T) {
			if c.loads && !s.Features.Loads {
				t.Skip("the framework meets broken code in the build")
			}
			e := s.startError(t, c.fixture)
			for _, name := range c.names {
				if !strings.Contains(e.text("error"), name) {
					t.Errorf("error is %q, want it to name %s", e.text("error"), name)
				}
			}
			if e.text("error") == "" || !strings.Contains(e.text("stack"), c.inStack) {
				t.Errorf("error is %q, stack %q", e.text("error"), e.text("stack"))
			}
		})
	}
	for _, wrong := range []string{"PORT=x", "PORT=0", "PORT=65536", "OFN_GRACE=soon", "OFN_GRACE=0s", "OFN_LOG_LEVEL=loud", "OFN_MAX_BODY=many", "OFN_MAX_BODY=0", "OFN_CONCURRENCY=-1"} {
		t.Run(wrong, func(t *testing.T) {
			e := s.startError(t, "httpEmpty", "LISTEN_FDS=", wrong)
			name, value, _ := strings.Cut(wrong, "=")
			if !strings.Contains(e.text("error"), name) || !strings.Contains(e.text("error"), value) {
				t.Errorf("error is %q, want it to name %s and %s", e.text("error"), name, value)
			}
		})
	}
}

// specialise is section 9 of the contract.
func (s *suite) specialise(t *testing.T) {
	post := func(body string) request {
		return request{method: "POST", path: "/_ofn/specialise", body: body, header: []string{"Content-Type", "application/json"}}
	}
	load := func(fixture string) request {
		source, target, signature := s.Features.Source(fixture)
		return post(`{"source":"` + source + `","target":"` + target + `","signatureType":"` + signature + `","env":{"FROM_SPECIALISE":"yes"}}`)
	}
	generic := func(t *testing.T) *process {
		p := s.launch(t, "generic", "OFN_GENERIC=1")
		p.await(t, "/_ofn/health")
		return p
	}
	t.Run("Once", func(t *testing.T) {
		p := generic(t)
		waiting := own(503, "not specialised")
		p.all(t, []exchange{
			{"call", request{path: "/x"}, own(503, "not specialised", "Retry-After", "1")},
			{"ready", request{path: "/_ofn/ready"}, waiting},
			{"probe", request{header: []string{"K-Network-Probe", "queue"}}, waiting},
			{"GET", request{path: "/_ofn/specialise"}, own(405, "method not allowed", "Allow", "POST")},
			{"not JSON", post("{"), invalid("the body is not the JSON that /_ofn/specialise takes: DETAIL")},
			{"no source", post("{}"), invalid("the body is not the JSON that /_ofn/specialise takes: DETAIL")},
			{"load", load("httpUnicode"), own(200, "ok")},
			{"ready now", request{path: "/_ofn/ready"}, own(200, "ok")},
			{"call now", request{path: "/x"}, want{body: "héllo wörld ✓ 日本"}},
			{"again", load("httpUnicode"), own(409, "already specialised")},
		})
	})
	t.Run("Broken", func(t *testing.T) {
		if !s.Features.Loads {
			t.Skip("the framework does not load code")
		}
		p := generic(t)
		a := p.do(t, load("brokenImport"))
		if a.status != http.StatusInternalServerError || !strings.Contains(a.body, "nowhere_to_be_found") {
			t.Errorf("%d %q, want the import error", a.status, a.body)
		}
		if code := p.exit(t); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		p.stderr.entry(t, "msg", "function server ended").check(t, map[string]any{"level": "ERROR"})
	})
}

// end is the second part of section 10.
func (s *suite) end(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT} {
		t.Run(name+" when idle", func(t *testing.T) {
			p := s.ready(t, "httpEmpty")
			p.do(t, request{}).check(t, want{})
			p.signal(t, signal)
			if code := p.exit(t); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
		})
	}
	t.Run("Drain", s.drain)
	t.Run("Cut", func(t *testing.T) {
		p, g := s.ready(t, "httpSlow", "OFN_GRACE=200ms"), newGate(t)
		pending := p.begin(t, request{path: "/?" + g.query()})
		g.entered(t)
		p.signal(t, syscall.SIGTERM)
		if code := p.exit(t); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		p.stderr.entry(t, "msg", "function server ended").check(t, map[string]any{"level": "ERROR"})
		if got := <-pending; got.err == nil {
			t.Errorf("the call that was cut off was answered with %d %q", got.status, got.body)
		}
	})
	t.Run("Twice", func(t *testing.T) {
		p, g := s.ready(t, "httpSlow"), newGate(t)
		pending := p.begin(t, request{path: "/?" + g.query()})
		g.entered(t)
		p.signal(t, syscall.SIGTERM)
		p.closed(t)
		p.signal(t, syscall.SIGTERM)
		if code := p.exit(t); code == 0 {
			t.Error("exit code 0, though a call was cut off")
		}
		<-pending
	})
}

// drain: a call that runs is finished, an open idle connection is closed, and new connections are not served.
func (s *suite) drain(t *testing.T) {
	p, g := s.ready(t, "httpSlow"), newGate(t)
	idle := p.connect(t)
	idle.send(t, "GET / HTTP/1.1\nHost: f\n\n")
	idle.answer(t, "GET").check(t, want{body: "done\n"})
	pending := p.begin(t, request{path: "/?" + g.query()})
	g.entered(t)
	p.signal(t, syscall.SIGTERM)
	if rest, err := io.ReadAll(idle.in); err != nil || len(rest) > 0 {
		t.Errorf("the idle connection: %q, %v, want its end", rest, err)
	}
	p.closed(t)
	g.open(t)
	got := <-pending
	if got.err != nil {
		t.Fatal("the running call: ", got.err)
	}
	got.check(t, want{body: "done\n"})
	if !got.close {
		t.Error("the answer does not say Connection: close")
	}
	if code := p.exit(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// closed waits until new connections are refused or ended, or told that the process drains.
func (p *process) closed(t *testing.T) {
	t.Helper()
	c := p.newClient(nil)
	c.Transport.(*http.Transport).DisableKeepAlives = true
	c.Timeout = 2 * time.Second // a connection that nobody accepts any more is as good as refused
	for range 2000 {
		res, err := c.Do(request{path: "/_ofn/health"}.make(t.Context(), t))
		if err != nil {
			return
		}
		_ = res.Body.Close()
		if res.StatusCode == http.StatusServiceUnavailable {
			return
		}
	}
	t.Fatal("the process still says that it is well")
}

// result is the answer to a call that runs beside the test.
type result struct {
	answer
	close bool // the server ends the connection
	err   error
}

// begin sends a request beside the test.
func (p *process) begin(t *testing.T, q request) <-chan result {
	t.Helper()
	r := q.make(t.Context(), t)
	done := make(chan result, 1)
	go func() { // ends with the call, which ends with the process or the test
		res, err := p.client.Do(r)
		if err != nil {
			done <- result{err: err}
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		done <- result{answer{res.StatusCode, res.Header, string(body)}, res.Close || slices.Contains(res.Header.Values("Connection"), "close"), err}
	}()
	return done
}
