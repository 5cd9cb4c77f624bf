package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/activator"
)

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
	endless := serveCopy(t, "a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			io.WriteString(w, "more ")
			http.NewResponseController(w).Flush()
		}
	}))
	rev := revisionOf(t, activator.Options{}, endless)
	g := start(t, Options{}, everything(t, rev))
	for limit := 300 * time.Millisecond; ; limit *= 2 { // until it begins in time
		rev.Update(activator.Options{Timeout: limit})
		resp, err := http.Get(g.url("/"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode == http.StatusGatewayTimeout && limit < 20*time.Second {
			continue
		}
		if err == nil {
			t.Error("a cut answer looks complete")
		}
		return
	}
}
