package conformance

import (
	"io"
	"strings"
	"testing"
)

// secret is the cause of the failures of fixtures, which no client may see.
const secret = "the secret cause"

// failures is section 3 of the contract.
func (s *suite) failures(t *testing.T) {
	t.Run("Crash", func(t *testing.T) {
		p := s.ready(t, "httpRaise")
		first := p.crash(t, request{method: "POST", path: "/some/path?q", body: "x"}, "POST", "/some/path")
		second := p.crash(t, request{}, "GET", "/") // the process lives on
		if first == second {
			t.Errorf("two failures have the id %s", first)
		}
	})
	t.Run("Late", s.late)
	t.Run("Exit", s.exits)
}

// crash sends a request whose call crashes, checks answer and log line, and returns the error id.
func (p *process) crash(t *testing.T, q request, method, path string) string {
	t.Helper()
	a := p.do(t, q)
	a.check(t, failure("crash"))
	if a.header.Get("X-Leak") != "" || strings.Contains(a.body, secret) {
		t.Errorf("the answer shows what the function had set, or why it failed: %v %s", a.header, a.body)
	}
	id := a.header.Get(errorIDHeader)
	e := p.stderr.entry(t, "id", id)
	e.check(t, map[string]any{"level": "ERROR", "msg": "function crashed", "function": p.function, "method": method, "path": path})
	if !strings.Contains(e.text("error"), secret) {
		t.Errorf("error is %q, want the cause", e.text("error"))
	}
	if !strings.Contains(e.text("stack"), "\n") {
		t.Errorf("stack is %q, want several lines", e.text("stack"))
	}
	return id
}

// late: an answer that had begun is broken off.
func (s *suite) late(t *testing.T) {
	if !s.Features.WritesAnswer {
		t.Skip("http functions of this framework return their answer")
	}
	p := s.ready(t, "httpRaiseLate")
	res, err := p.client.Do(request{}.make(t.Context(), t))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("the answer %q seems whole", body)
	}
	p.stderr.entry(t, "msg", "function crashed").check(t, map[string]any{"level": "ERROR", "function": p.function})
	p.do(t, request{path: "/_ofn/health"}).check(t, own(200, "ok"))
}

// exits: a function that ends the process ends it.
func (s *suite) exits(t *testing.T) {
	p := s.ready(t, "httpExit")
	res, err := p.client.Do(request{}.make(t.Context(), t))
	if err == nil {
		_ = res.Body.Close()
		t.Errorf("status %d, want no answer", res.StatusCode)
	}
	if code := p.exit(t); code == 0 {
		t.Error("the process ended with code 0")
	}
}
