package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
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

func TestUpgrade(t *testing.T) {
	m := &recorder{}
	g := single(t, Options{Metrics: m}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo" || r.Header.Get("Connection") != "Upgrade" {
			http.Error(w, "no upgrade", 400)
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nwelcome\n")
		io.Copy(c, rw)
		io.WriteString(c, "bye\n")
	}))
	c := g.dial(t)
	io.WriteString(c, "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\n\r\nfirst\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "echo" || resp.Header.Get("Connection") != "Upgrade" {
		t.Fatalf("got %d %v", resp.StatusCode, resp.Header)
	}
	expect := func(want string) {
		t.Helper()
		if line, err := r.ReadString('\n'); err != nil || line != want {
			t.Fatalf("got %q, %v; want %q", line, err, want)
		}
	}
	expect("welcome\n")
	expect("first\n")
	io.WriteString(c, "second\n")
	expect("second\n")
	c.(*net.TCPConn).CloseWrite()
	expect("bye\n")
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	waitFor(t, "the metric", func() bool { return m.last() == "default/rev 101" })
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

func TestEventsAreFlushedAtOnce(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		for _, declared := range []bool{false, true} {
			t.Run(fmt.Sprintf("http2 %v declared %v", h2, declared), func(t *testing.T) { flushedAtOnce(t, h2, declared) })
		}
	}
}

func flushedAtOnce(t *testing.T, h2, declared bool) {
	next := make(chan struct{})
	g := single(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if declared {
			w.Header().Set("Content-Length", "50")
		}
		for i := range 5 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			http.NewResponseController(w).Flush()
			<-next
		}
		io.WriteString(w, "end\n\n")
	}))
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2)
	protocols.SetUnencryptedHTTP2(h2)
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(g.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	for i := range 5 {
		line, err := r.ReadString('\n')
		if want := fmt.Sprintf("data: %d\n", i); err != nil || line != want {
			t.Fatalf("got %q, %v; want %q", line, err, want)
		}
		r.ReadString('\n')
		next <- struct{}{}
	}
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "end\n\n" {
		t.Errorf("rest %q, %v", rest, err)
	}
}

func TestTrailersBothWays(t *testing.T) {
	g := single(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Out")
		io.Copy(w, r.Body)
		w.Header().Set("X-Out", r.Trailer.Get("X-In"))
		w.Header().Set(http.TrailerPrefix+"X-Late", "yes")
	}))
	req, _ := http.NewRequest("POST", g.url("/"), io.MultiReader(strings.NewReader("body")))
	req.Trailer = http.Header{"X-In": {"there and back"}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "body" || resp.Trailer.Get("X-Out") != "there and back" || resp.Trailer.Get("X-Late") != "yes" {
		t.Errorf("got %q, %v, %v", body, err, resp.Trailer)
	}
}

func TestFullDuplex(t *testing.T) {
	g := single(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		rc.EnableFullDuplex()
		b := bufio.NewReader(r.Body)
		for {
			line, err := b.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(w, "got "+line)
			rc.Flush()
		}
	}))
	c := g.dial(t)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	r := bufio.NewReader(c)
	var lines *bufio.Reader
	for i := range 5 {
		fmt.Fprintf(c, "2\r\n%d\n\r\n", i)
		if lines == nil {
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			lines = bufio.NewReader(resp.Body)
		}
		if line, err := lines.ReadString('\n'); err != nil || line != fmt.Sprintf("got %d\n", i) {
			t.Fatalf("got %q, %v", line, err)
		}
	}
	io.WriteString(c, "0\r\n\r\n")
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("rest %q, %v", rest, err)
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

// TestLargeBodies streams more than could be held, and looks at the memory.
func TestLargeBodies(t *testing.T) {
	size := int64(1 << 30)
	if testing.Short() || raceEnabled {
		size = 64 << 20
	}
	g := single(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(size))
		io.Copy(w, io.LimitReader(zero{}, size))
	}))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	resp, err := http.Post(g.url("/"), "application/octet-stream", io.LimitReader(zero{}, size))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if want := fmt.Sprint(size, nil); string(body) != want {
		t.Errorf("sent: %q, want %q", body, want)
	}
	if resp, err = http.Get(g.url("/")); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if err != nil || n != size {
		t.Errorf("received %d, %v", n, err)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.Sys) - int64(before.Sys); grown > 48<<20 {
		t.Errorf("memory grew by %d MB", grown>>20)
	}
}

// TestClientVanishes checks that the copy is told, whatever the client was doing.
func TestClientVanishes(t *testing.T) {
	for name, request := range map[string]string{
		"waiting for an answer": "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n",
		"reading a stream":      "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
		"sending a body":        "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc",
		"having sent a body":    "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		"on a net/http path":    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x0c\x01\x05\x00\x00\x00\x01\x82\x86\x41\x01a\x04\x05/wait",
	} {
		t.Run(name, func(t *testing.T) {
			in, gone := make(chan struct{}), make(chan struct{})
			m := &recorder{}
			g := single(t, Options{Metrics: m}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(in)
				switch r.URL.Path {
				case "/stream":
					for r.Context().Err() == nil {
						if _, err := w.Write(make([]byte, 10000)); err != nil {
							break
						}
					}
				case "/read":
					io.Copy(io.Discard, r.Body)
				default:
					io.Copy(io.Discard, r.Body) // net/http looks for the client only after that
					<-r.Context().Done()
				}
				close(gone)
			}))
			c := g.dial(t)
			io.WriteString(c, request)
			<-in
			c.Close()
			select {
			case <-gone:
			case <-time.After(5 * time.Second):
				t.Error("the copy was not told")
			}
			waitFor(t, "the metric", func() bool { return m.last() != "" })
			if got := m.last(); name != "reading a stream" && got != "default/rev 499" {
				t.Errorf("metric %q", got)
			}
		})
	}
}

// TestNeverEndingAnswer is cut by the timeout.
func TestNeverEndingAnswer(t *testing.T) {
	rev := revisionOf(t, activator.Options{Timeout: 300 * time.Millisecond}, serveCopy(t, "a",
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				io.WriteString(w, "more ")
				http.NewResponseController(w).Flush()
			}
		})))
	g := start(t, Options{}, everything(t, rev))
	resp, err := http.Get(g.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("a cut answer looks complete")
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

func TestHTTP2(t *testing.T) {
	for _, h2c := range []bool{false, true} {
		rev := revisionOf(t, activator.Options{H2C: h2c}, serveCopy(t, "a", http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				w.Header().Set("Trailer", "X-End")
				fmt.Fprintf(w, "%d %s %s %s", r.ProtoMajor, r.Host, r.RequestURI, body)
				w.Header().Set("X-End", "done")
			})))
		g := start(t, Options{}, everything(t, rev))
		for _, major := range []int{1, 2} {
			protocols := new(http.Protocols)
			protocols.SetHTTP1(major == 1)
			protocols.SetUnencryptedHTTP2(major == 2)
			tr := &http.Transport{Protocols: protocols}
			for range 3 {
				resp, err := (&http.Client{Transport: tr}).Post(g.url("/p%2Fq?x=;"), "text/plain", bytes.NewReader([]byte("body")))
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				want := fmt.Sprintf("%d %s /p%%2Fq?x=; body", map[bool]int{false: 1, true: 2}[h2c], g.addr)
				if err != nil || string(body) != want || resp.ProtoMajor != major || resp.Trailer.Get("X-End") != "done" {
					t.Errorf("h2c %v, client %d: %q, %v, %v; want %q", h2c, major, body, err, resp.Trailer, want)
				}
			}
			tr.CloseIdleConnections()
		}
	}
}

func TestUnmatchedHandler(t *testing.T) {
	g := start(t, Options{Unmatched: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "platform "+r.URL.Path)
	})}, &Table{})
	resp, err := http.Get(g.url("/healthz"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "platform /healthz" {
		t.Errorf("got %q", body)
	}
}
