package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/activator"
)

// single starts a gateway before one copy.
func single(t testing.TB, o Options, h http.Handler) *running {
	t.Helper()
	return start(t, o, everything(t, revisionOf(t, activator.Options{}, serveCopy(t, "a", h))))
}

// waitFor polls for what another goroutine will do soon.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not in time", what)
		}
		runtime.Gosched()
	}
}

func TestExpectContinue(t *testing.T) {
	for _, accept := range []bool{true, false} {
		g := single(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !accept {
				http.Error(w, "no", http.StatusRequestEntityTooLarge)
				return
			}
			echo(w, r)
		}))
		c := g.dial(t)
		io.WriteString(c, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		r := bufio.NewReader(c)
		if accept {
			if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 100 {
				t.Fatalf("got %v, %v; want 100", resp, err)
			}
			io.WriteString(c, "hello")
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		if accept && string(body) != "POST /x 5" || !accept && (resp.StatusCode != 413 || !resp.Close) {
			t.Errorf("accept %v: got %d %q", accept, resp.StatusCode, body)
		}
	}
}

func TestEarlyHints(t *testing.T) {
	g := single(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "page")
	}))
	var hints []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, h.Get("Link")))
			return nil
		}})
	req, _ := http.NewRequestWithContext(ctx, "GET", g.url("/"), nil)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(hints) != 1 || hints[0] != "103</a.css>; rel=preload" {
		t.Errorf("got %q", hints)
	}
	c := g.dial(t)
	io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("HTTP/1.0 got %v, %v", resp, err)
	}
}

func TestHTTP10(t *testing.T) {
	g := single(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "a")
		if r.URL.Path == "/stream" {
			http.NewResponseController(w).Flush()
		}
		io.WriteString(w, "b")
	}))
	c := g.dial(t)
	r := bufio.NewReader(c)
	io.WriteString(c, "GET /known HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(resp.Body); string(body) != "ab" || resp.Header.Get("Connection") != "keep-alive" {
		t.Errorf("got %q %v", body, resp.Header)
	}
	io.WriteString(c, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	if resp, err = http.ReadResponse(r, nil); err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); string(body) != "ab" || err != nil || len(resp.TransferEncoding) > 0 {
		t.Errorf("got %q %v %v", body, err, resp.TransferEncoding)
	}
}

func TestBodilessAnswers(t *testing.T) {
	g := single(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.WriteHeader(304)
		default:
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "hello")
		}
	}))
	c := g.dial(t)
	r := bufio.NewReader(c)
	for range 2 {
		for _, tt := range []struct {
			line   string
			code   int
			length string
		}{{"HEAD /", 200, "5"}, {"GET /204", 204, ""}, {"GET /304", 304, ""}, {"GET /", 200, "5"}} {
			io.WriteString(c, tt.line+" HTTP/1.1\r\nHost: a\r\n\r\n")
			method, _, _ := strings.Cut(tt.line, " ")
			resp, err := http.ReadResponse(r, &http.Request{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			if resp.StatusCode != tt.code || resp.Header.Get("Content-Length") != tt.length {
				t.Errorf("%s: %d %v", tt.line, resp.StatusCode, resp.Header)
			}
		}
	}
}

// pages has the paths below /hooks/.
type pages struct{}

func (pages) Match(path string) bool { return strings.HasPrefix(path, "/hooks/") }

func (pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.WriteString(w, "platform "+r.URL.Path)
}

func TestUnmatchedHandler(t *testing.T) {
	g := start(t, Options{Unmatched: pages{}}, &Table{})
	for path, want := range map[string]string{"/hooks/a": "platform /hooks/a", "/healthz": "no function"} {
		resp, err := http.Get(g.url(path))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !strings.Contains(string(body), want) {
			t.Errorf("%s: got %q", path, body)
		}
	}
}
