package conformance

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The headers of the contract that a framework sends.
const (
	errorIDHeader  = "X-OpenFunction-Error-Id"
	statusHeader   = "X-OpenFunction-Status"
	functionHeader = "X-OpenFunction-Function"
	plain          = "text/plain; charset=utf-8"
)

// request is what a case sends. The zero value is GET /.
type request struct {
	method string
	path   string
	body   string
	header []string // name, value, name, value
}

// make makes the request.
func (q request) make(ctx context.Context, t *testing.T) *http.Request {
	t.Helper()
	var body io.Reader
	if q.body != "" {
		body = strings.NewReader(q.body)
	}
	if q.path == "" {
		q.path = "/"
	}
	r, err := http.NewRequestWithContext(ctx, q.method, "http://f"+q.path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(q.header); i += 2 {
		r.Header.Add(q.header[i], q.header[i+1])
	}
	return r
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request and reads the answer to its end.
func (p *process) do(t *testing.T, q request) answer {
	t.Helper()
	return p.doWith(t, p.client, q)
}

func (p *process) doWith(t *testing.T, c *http.Client, q request) answer {
	t.Helper()
	res, err := c.Do(q.make(t.Context(), t))
	if err != nil {
		t.Fatalf("%s %s: %v", q.method, q.path, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: reading the answer: %v", q.method, q.path, err)
	}
	return answer{res.StatusCode, res.Header, string(body)}
}

// want is what a case expects.
type want struct {
	status int // 0 is 200
	// body is exact, but ID stands for the error id of the header, and DETAIL for text on the same line.
	body string
	// header lists values that must be exact: name, value. An empty value means that the header is absent.
	header []string
	// own is an answer of the framework itself: its content type and LF at the end of body are implied.
	own bool
}

func own(status int, text string, header ...string) want {
	return want{status: status, body: text + "\n", own: true, header: header}
}

// failure is the answer to a call that failed.
func failure(kind string) want {
	return own(http.StatusInternalServerError, "internal error, id ID", statusHeader, kind)
}

var errorID = regexp.MustCompile(`^[0-9a-f]{16}$`)

// check compares.
func (a answer) check(t *testing.T, w want) {
	t.Helper()
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if a.status != w.status {
		t.Errorf("status %d, want %d", a.status, w.status)
	}
	if w.own {
		w.header = append([]string{"Content-Type", plain, "X-Content-Type-Options", "nosniff"}, w.header...)
	}
	for i := 0; i < len(w.header); i += 2 {
		if got := strings.Join(a.header.Values(w.header[i]), " | "); got != w.header[i+1] {
			t.Errorf("header %s is %q, want %q", w.header[i], got, w.header[i+1])
		}
	}
	if w.own && strings.Contains(w.body, "ID") {
		id := a.header.Get(errorIDHeader)
		if !errorID.MatchString(id) {
			t.Errorf("header %s is %q, want 16 lower-case hexadecimal digits", errorIDHeader, id)
		}
		w.body = strings.Replace(w.body, "ID", id, 1)
	}
	if !sameBody(a.body, w.body) {
		t.Errorf("body %s, want %s", brief(a.body), brief(w.body))
	}
	for name := range a.header {
		if !a.allowed(name) {
			t.Errorf("the answer has the header %s: %q, which no function set", name, a.header.Get(name))
		}
	}
}

func sameBody(got, want string) bool {
	before, after, variable := strings.Cut(want, "DETAIL")
	if !variable {
		return got == want
	}
	detail, ok := strings.CutPrefix(got, before)
	if !ok {
		return false
	}
	detail, ok = strings.CutSuffix(detail, after)
	return ok && detail != "" && !strings.ContainsAny(detail, "\r\n")
}

// brief keeps failures of large bodies readable.
func brief(body string) string {
	const most = 300
	if len(body) <= most {
		return strings.ToValidUTF8(quoted(body), "?")
	}
	return quoted(body[:most]) + "…"
}

func quoted(s string) string { return "`" + strings.ReplaceAll(s, "\n", `\n`) + "`" }

// allowed tells whether a framework may send a header: those of HTTP and of the contract, and those that fixtures set.
func (answer) allowed(name string) bool {
	switch name {
	case "Date", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "Keep-Alive", "Allow", "Retry-After",
		"X-Content-Type-Options", "X-Openfunction-Error-Id", "X-Openfunction-Status", "X-Openfunction-Function",
		"X-Method", "X-Path", "X-Query", "X-Out", "X-Fixture":
		return true
	}
	return strings.HasPrefix(name, "Ce-")
}

// exchange is one case of a table.
type exchange struct {
	name string
	send request
	want want
}

// all runs cases against one process, each as a subtest.
func (p *process) all(t *testing.T, cases []exchange) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { p.do(t, c.send).check(t, c.want) })
	}
}

// raw is a connection that a test writes to by hand.
type raw struct {
	net.Conn
	in *bufio.Reader
}

// connect opens a raw connection that ends with the test.
func (p *process) connect(t *testing.T) *raw {
	t.Helper()
	c, err := p.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patient)); err != nil {
		t.Fatal(err)
	}
	return &raw{c, bufio.NewReader(c)}
}

// send writes text, whose newlines become CR LF.
func (c *raw) send(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(c, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
}

// answer reads one answer to a request of the method.
func (c *raw) answer(t *testing.T, method string) answer {
	t.Helper()
	res, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		t.Fatal("reading the answer: ", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal("reading the answer's body: ", err)
	}
	return answer{res.StatusCode, res.Header, string(body)}
}

// gate holds calls of fixtures that have one.
type gate struct {
	begun, file string
}

func newGate(t *testing.T) gate {
	t.Helper()
	dir := t.TempDir()
	return gate{filepath.Join(dir, "begun"), filepath.Join(dir, "gate")}
}

// query is how a fixture is told of the gate.
func (g gate) query() string { return "begun=" + escape(g.begun) + "&gate=" + escape(g.file) }

func escape(path string) string {
	return strings.NewReplacer("%", "%25", "&", "%26", "+", "%2B", " ", "%20", "#", "%23").Replace(path)
}

// entered waits until the call has begun.
func (g gate) entered(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patient); ; {
		if _, err := os.Stat(g.begun); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the call does not begin")
		}
		time.Sleep(time.Millisecond) // the fixture tells it through the file system
	}
}

// open lets the call go on.
func (g gate) open(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(g.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
