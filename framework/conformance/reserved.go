package conformance

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// reserved is the table of reserved paths in section 2.
func (s *suite) reserved(t *testing.T) {
	p := s.ready(t, "httpEcho")
	p.all(t, []exchange{
		{"health", request{path: "/_ofn/health"}, own(200, "ok", "X-Method", "")},
		{"health, POST", request{method: "POST", path: "/_ofn/health", body: "x"}, own(200, "ok", "X-Method", "")},
		{"health with a query", request{path: "/_ofn/health?x=1"}, own(200, "ok")},
		{"ready", request{path: "/_ofn/ready"}, own(200, "ok", "X-Method", "")},
		{
			"probe", request{path: "/any", header: []string{"K-Network-Probe", "queue"}},
			want{body: "queue", header: []string{"Content-Type", plain, "X-Method", ""}},
		},
		{"specialise", request{method: "POST", path: "/_ofn/specialise", body: "{}"}, own(404, "not found", "X-Method", "")},
		{"unknown", request{path: "/_ofn/nothing"}, own(404, "not found", "X-Method", "")},
		{"unknown below", request{path: "/_ofn/health/x"}, own(404, "not found", "X-Method", "")},
		{"alone", request{path: "/_ofn/"}, own(404, "not found", "X-Method", "")},
		{"not reserved", request{path: "/_ofn"}, want{header: []string{"X-Path", "/_ofn"}}},
		{"not reserved either", request{path: "/x/_ofn/health"}, want{header: []string{"X-Path", "/x/_ofn/health"}}},
	})
}

const (
	trace       = "0af7651916cd43dd8448eb211c80319c"
	traceparent = "00-" + trace + "-b7ad6b7169203331-01"
)

// callHeaders is the last table of section 2.
func (s *suite) callHeaders(t *testing.T) {
	t.Run("RequestID", s.requestID)
	t.Run("Deadline", s.deadline)
}

func (s *suite) requestID(t *testing.T) {
	p := s.ready(t, "httpRaise")
	long := strings.Repeat("x", 128)
	for _, c := range []struct {
		name   string
		header []string
		id     string // empty: 32 random hexadecimal digits
		trace  any
	}{
		{"given", []string{"X-Request-Id", "abc-1"}, "abc-1", nil},
		{"given beside a trace", []string{"X-Request-Id", "abc-2", "traceparent", traceparent}, "abc-2", trace},
		{"longest", []string{"X-Request-Id", long}, long, nil},
		{"too long", []string{"X-Request-Id", long + "x"}, "", nil},
		{"with a space", []string{"X-Request-Id", "a b", "traceparent", traceparent}, trace, trace},
		{"beyond ASCII", []string{"X-Request-Id", "é"}, "", nil},
		{"of the trace", []string{"traceparent", traceparent}, trace, trace},
		{"trace of zeros", []string{"traceparent", "00-00000000000000000000000000000000-b7ad6b7169203331-01"}, "", nil},
		{"span of zeros", []string{"traceparent", "00-" + trace + "-0000000000000000-01"}, "", nil},
		{"trace in capitals", []string{"traceparent", strings.ToUpper(traceparent)}, "", nil},
		{"trace of a later version", []string{"traceparent", "01-" + trace + "-b7ad6b7169203331-01-more"}, trace, trace},
		{"trace that is too long", []string{"traceparent", traceparent + "-more"}, "", nil},
		{"trace of version ff", []string{"traceparent", "ff" + traceparent[2:]}, "", nil},
		{"none", nil, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := p.do(t, request{header: c.header})
			a.check(t, failure("crash"))
			e := p.stderr.entry(t, "id", a.header.Get(errorIDHeader))
			e.check(t, map[string]any{"trace_id": c.trace})
			switch id := e.text("request_id"); {
			case c.id != "" && id != c.id:
				t.Errorf("request_id %q, want %q", id, c.id)
			case c.id == "" && (len(id) != 32 || strings.Trim(id, "0123456789abcdef") != ""):
				t.Errorf("request_id %q, want 32 hexadecimal digits", id)
			}
			if a.header.Get("X-Request-Id") != "" {
				t.Error("the request id was sent back")
			}
		})
	}
}

func (s *suite) deadline(t *testing.T) {
	if !s.Features.Deadline {
		t.Skip("http functions of this framework do not see their deadline")
	}
	p := s.ready(t, "httpDeadline")
	for value, limited := range map[string]bool{
		"60000": true, "000000060000": true, "": false, "0": false, "-5": false, "1.5": false, "1s": false, "9999999999999": false, "+5": false,
	} {
		t.Run(value, func(t *testing.T) {
			var header []string
			if value != "" {
				header = []string{"X-OpenFunction-Timeout-Ms", value}
			}
			a := p.do(t, request{header: header})
			if a.status != http.StatusOK {
				t.Fatalf("status %d", a.status)
			}
			left, err := strconv.ParseFloat(strings.TrimSuffix(a.body, "\n"), 64)
			if limited && (err != nil || left <= 0 || left > 60000) {
				t.Errorf("%q milliseconds are left, want up to 60000", a.body)
			}
			if !limited && a.body != "none\n" {
				t.Errorf("%q milliseconds are left, want none", a.body)
			}
		})
	}
}
