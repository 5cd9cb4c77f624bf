package conformance

import (
	"bytes"
	"crypto/rand"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// server is section 2 of the contract, without what it says of reserved paths and call headers.
func (s *suite) server(t *testing.T) {
	t.Run("Echo", s.echo)
	t.Run("Paths", s.paths)
	t.Run("Status", s.statuses)
	t.Run("Empty", s.empty)
	t.Run("Unicode", s.unicode)
	t.Run("Stream", s.stream)
	t.Run("Concurrent", s.concurrent)
	t.Run("Large", s.large)
	t.Run("Port", s.onPort)
}

// everyByte is a body that no decoding survives.
func everyByte() string {
	var b strings.Builder
	for i := range 256 {
		b.WriteByte(byte(i))
	}
	return b.String()
}

func (s *suite) echo(t *testing.T) {
	p := s.ready(t, "httpEcho")
	var cases []exchange
	for _, method := range []string{"DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"} {
		cases = append(cases, exchange{
			"method " + method, request{method: method, path: "/"},
			want{header: []string{"X-Method", method, "X-Query", ""}},
		})
	}
	cases = append(cases,
		exchange{
			"binary body",
			request{method: "POST", body: everyByte(), header: []string{"Content-Type", "application/octet-stream"}},
			want{body: everyByte(), header: []string{"Content-Type", "application/octet-stream"}},
		},
		exchange{
			"content type as it is",
			request{method: "POST", body: "x", header: []string{"Content-Type", `text/x-own; charset=latin1; a="b"`}},
			want{body: "x", header: []string{"Content-Type", `text/x-own; charset=latin1; a="b"`}},
		},
		exchange{
			"query as it is",
			request{path: "/?a=1&a=2&b=%20%C3%A9&c=a+b&d"},
			want{header: []string{"X-Query", "a=1&a=2&b=%20%C3%A9&c=a+b&d"}},
		},
		exchange{"header", request{header: []string{"X-In", "a, b;c"}}, want{header: []string{"X-Out", "a, b;c"}}},
		exchange{"header beyond ASCII", request{header: []string{"X-In", "grüß ✓"}}, want{header: []string{"X-Out", "grüß ✓"}}},
		exchange{"header with percent", request{header: []string{"X-In", "100%25 %zz"}}, want{header: []string{"X-Out", "100%25 %zz"}}},
		exchange{
			"another probe",
			request{path: "/p", header: []string{"K-Network-Probe", "other"}},
			want{header: []string{"X-Path", "/p"}},
		},
	)
	p.all(t, cases)
	t.Run("HEAD", func(t *testing.T) {
		p.do(t, request{method: "HEAD"}).check(t, want{header: []string{"X-Method", "HEAD"}})
	})
	t.Run("OPTIONS *", func(t *testing.T) {
		c := p.connect(t)
		c.send(t, "OPTIONS * HTTP/1.1\nHost: f\n\n")
		c.answer(t, "OPTIONS").check(t, want{header: []string{"X-Method", ""}})
	})
	t.Run("100-continue", func(t *testing.T) {
		c := p.connect(t)
		c.send(t, "POST / HTTP/1.1\nHost: f\nContent-Length: 4\nExpect: 100-continue\n\n")
		if line, err := c.in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
			t.Fatalf("%q, %v, want 100 Continue", line, err)
		}
		for line := ""; line != "\r\n"; {
			var err error
			if line, err = c.in.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		c.send(t, "body")
		c.answer(t, "POST").check(t, want{body: "body"})
	})
	t.Run("keep-alive", func(t *testing.T) {
		c := p.connect(t)
		for i := range 3 {
			path := "/" + strconv.Itoa(i)
			c.send(t, "POST "+path+" HTTP/1.1\nHost: f\nContent-Length: 1\n\nx")
			c.answer(t, "POST").check(t, want{body: "x", header: []string{"X-Path", path}})
		}
	})
	t.Run("chunked", func(t *testing.T) {
		c := p.connect(t)
		c.send(t, "POST / HTTP/1.1\nHost: f\nTransfer-Encoding: chunked\n\n2\nab\n1\nc\n0\n\n")
		c.answer(t, "POST").check(t, want{body: "abc"})
	})
}

func (s *suite) paths(t *testing.T) {
	p := s.ready(t, "httpEcho")
	for _, path := range []string{"/", "/a/b/", "/a%20b", "//two//", "/a/../b", "/./x", "/%C3%A9", "/favicon.ico", "/robots.txt", "/_other", "/a%2Fb"} {
		t.Run(path, func(t *testing.T) {
			c := p.connect(t)
			c.send(t, "GET "+path+" HTTP/1.1\nHost: f\n\n")
			a := c.answer(t, "GET")
			if a.status != http.StatusOK {
				t.Fatalf("status %d, location %q: the path must reach the function", a.status, a.header.Get("Location"))
			}
			got := a.header.Get("X-Path")
			decoded, err := url.PathUnescape(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != path && got != decoded {
				t.Errorf("the function saw the path %q", got)
			}
		})
	}
}

func (s *suite) statuses(t *testing.T) {
	p := s.ready(t, "httpStatus")
	for _, code := range []int{200, 201, 204, 299, 302, 304, 400, 404, 405, 418, 500, 503} {
		text := strconv.Itoa(code)
		w := want{status: code, body: "status " + text + "\n", header: []string{"X-Fixture", "yes", errorIDHeader, "", statusHeader, ""}}
		if code == http.StatusNoContent || code == http.StatusNotModified {
			w.body = ""
		}
		t.Run(text, func(t *testing.T) { p.do(t, request{path: "/?code=" + text}).check(t, w) })
	}
}

func (s *suite) empty(t *testing.T) {
	p := s.ready(t, "httpEmpty")
	p.all(t, []exchange{
		{"GET", request{}, want{}},
		{"POST", request{method: "POST", body: "not read"}, want{}},
		{"GET again", request{}, want{header: []string{statusHeader, "", functionHeader, ""}}},
	})
}

func (s *suite) unicode(t *testing.T) {
	s.ready(t, "httpUnicode").do(t, request{}).check(t, want{body: "héllo wörld ✓ 日本", header: []string{"Content-Type", plain}})
}

// stream: what a function flushed arrives although it still runs.
func (s *suite) stream(t *testing.T) {
	p, g := s.ready(t, "httpStream"), newGate(t)
	res, err := p.client.Do(request{path: "/?" + g.query()}.make(t.Context(), t))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	first := make([]byte, len("first\n"))
	if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != "first\n" {
		t.Fatalf("%q, %v, want the first line", first, err)
	}
	g.open(t)
	if rest, err := io.ReadAll(res.Body); err != nil || string(rest) != "second\n" {
		t.Errorf("%q, %v, want the second line", rest, err)
	}
}

// concurrent: 8 calls run at once, and the process still tells that it is well.
func (s *suite) concurrent(t *testing.T) {
	p := s.ready(t, "httpSlow", "OFN_CONCURRENCY=8")
	var calls sync.WaitGroup
	gates := make([]gate, 8)
	answers := make([]answer, len(gates))
	for i := range gates {
		gates[i] = newGate(t)
		r := request{path: "/?" + gates[i].query()}.make(t.Context(), t)
		calls.Go(func() {
			res, err := p.client.Do(r)
			if err != nil {
				return // the answer stays empty
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err == nil {
				answers[i] = answer{res.StatusCode, res.Header, string(body)}
			}
		})
	}
	for _, g := range gates {
		g.entered(t)
	}
	p.do(t, request{path: "/_ofn/health"}).check(t, own(http.StatusOK, "ok"))
	for _, g := range gates {
		g.open(t)
	}
	calls.Wait()
	for _, a := range answers {
		a.check(t, want{body: "done\n", header: []string{"Content-Type", plain}})
	}
}

// large: 100 MB go in, 8 MiB go in and out.
func (s *suite) large(t *testing.T) {
	t.Run("in", func(t *testing.T) {
		const size = 100 << 20
		p := s.ready(t, "httpSize")
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://f/", io.LimitReader(zeros{}, size))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = size
		res, err := p.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != strconv.Itoa(size)+"\n" {
			t.Errorf("%q, %v, want %d", body, err, size)
		}
	})
	t.Run("in and out", func(t *testing.T) {
		body := make([]byte, 8<<20)
		rand.Read(body) // never fails, see crypto/rand
		p := s.ready(t, "httpEcho")
		a := p.do(t, request{method: "POST", body: string(body), header: []string{"Content-Type", "image/x-own"}})
		if !bytes.Equal([]byte(a.body), body) {
			t.Errorf("status %d, %d bytes came back, other ones than were sent", a.status, len(a.body))
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// onPort: without a socket of its own the process listens on PORT, and a context names a better one.
func (s *suite) onPort(t *testing.T) {
	for name, env := range map[string][]string{
		"PORT":                    {"LISTEN_FDS="},
		"socket of somebody else": {"LISTEN_FDS=1", "LISTEN_PID=1"},
	} {
		t.Run(name, func(t *testing.T) {
			s.ready(t, "httpEmpty", env...).do(t, request{}).check(t, want{})
		})
	}
	for _, c := range []struct{ name, variable, before, after string }{
		{"FUNC_CONTEXT", "FUNC_CONTEXT", `{"name":"f","runtime":"Knative","port":"`, `"}`},
		{"FUNC_CONTEXT with a number", "FUNC_CONTEXT", `{"name":"f","runtime":"Knative","port":`, `}`},
		{"FUNC_CONTEXT_V1BETA2", "FUNC_CONTEXT_V1BETA2", `{"name":"f","triggers":{"http":{"port":`, `}}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := new(process)
			port := p.port(t)
			started := s.launch(t, "httpEmpty", "LISTEN_FDS=", "PORT=1", c.variable+"="+c.before+port+c.after)
			started.network, started.address = p.network, p.address
			started.await(t, "/_ofn/ready")
			started.do(t, request{}).check(t, want{})
		})
	}
}

// http2 is the part of section 2 that is optional.
func (s *suite) http2(t *testing.T) {
	p := s.ready(t, "httpEcho")
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	c := p.newClient(protocols)
	defer c.CloseIdleConnections()
	p.doWith(t, c, request{method: "POST", path: "/p?q", body: everyByte()}).check(t, want{
		body: everyByte(), header: []string{"X-Method", "POST", "X-Path", "/p", "X-Query", "q"},
	})
	p.doWith(t, c, request{path: "/_ofn/health"}).check(t, own(http.StatusOK, "ok"))
}
