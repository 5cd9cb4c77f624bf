package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/activator"
)

// TestTimeouts lets each side be slow in turn.
func TestTimeouts(t *testing.T) {
	const short = 120 * time.Millisecond
	block := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	tests := []struct {
		name    string
		options Options
		rev     activator.Options
		send    string
		code    int // 0 is a connection closed without an answer
	}{
		{"idle", Options{IdleTimeout: short}, activator.Options{}, "", 0},
		{"slow head", Options{HeaderTimeout: short}, activator.Options{}, "GET / HTTP/1.1\r\nHost:", 408},
		{"slow body", Options{StallTimeout: short}, activator.Options{}, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", 408},
		{"gateway's timeout", Options{RequestTimeout: short}, activator.Options{}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 504},
		{"revision's timeout", Options{}, activator.Options{Timeout: short}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 504},
		{"timeout with a body", Options{}, activator.Options{Timeout: short}, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 504},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := start(t, tt.options, everything(t, revisionOf(t, tt.rev, serveCopy(t, "a", block))))
			c := g.dial(t)
			io.WriteString(c, tt.send)
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if tt.code == 0 {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("got %v, %v; want a closed connection", resp, err)
				}
				return
			}
			if err != nil || resp.StatusCode != tt.code || !resp.Close {
				t.Errorf("got %v, %v; want %d", resp, err, tt.code)
			}
		})
	}
}

// TestSlowReader does not take an answer larger than all buffers.
func TestSlowReader(t *testing.T) {
	told := make(chan struct{})
	g := single(t, Options{StallTimeout: 150 * time.Millisecond}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(told)
		io.Copy(w, io.LimitReader(zero{}, 256<<20))
	}))
	io.WriteString(g.dial(t), "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	select {
	case <-told:
	case <-time.After(8 * time.Second):
		t.Error("the copy still writes")
	}
}

// TestNoSlot checks what the caller is told when no copy takes the request.
func TestNoSlot(t *testing.T) {
	tests := []struct {
		name  string
		setUp func(*activator.Revision)
		limit time.Duration
		code  int
		retry string
		text  string
	}{
		{"failed", func(r *activator.Revision) { r.Fail(errors.New("image not found")) }, 0, 503, "5", "image not found"},
		{"removed", func(r *activator.Revision) { r.Close() }, 0, 503, "1", "removed"},
		{"timeout", func(*activator.Revision) {}, 100 * time.Millisecond, 504, "", "in time"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rev := revisionOf(t, activator.Options{Timeout: tt.limit})
			tt.setUp(rev)
			m := &recorder{}
			g := start(t, Options{Metrics: m}, everything(t, rev))
			resp, err := http.Get(g.url("/"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.code || resp.Header.Get("Retry-After") != tt.retry || !strings.Contains(string(body), tt.text) {
				t.Errorf("got %d %v %q", resp.StatusCode, resp.Header, body)
			}
			waitFor(t, "the metric", func() bool { return m.last() == fmt.Sprint("default/rev ", tt.code) })
		})
	}
}

func TestQueueFull(t *testing.T) {
	rev := revisionOf(t, activator.Options{QueueDepth: 1})
	g := start(t, Options{}, everything(t, rev))
	first := g.dial(t)
	io.WriteString(first, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	waitFor(t, "a waiting request", func() bool { return rev.Stats(time.Now()).Waiting == 1 })
	resp, err := http.Get(g.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("got %d %v", resp.StatusCode, resp.Header)
	}
	first.Close()
	waitFor(t, "the vanished request to leave", func() bool { return rev.Stats(time.Now()).Waiting == 0 })
}

func TestWaitsForTheFirstCopy(t *testing.T) {
	m := &recorder{}
	rev := activator.New(activator.Options{Namespace: "n", Name: "r"})
	defer rev.Close()
	copy := serveCopy(t, "a", echo)
	rev.Update(activator.Options{Namespace: "n", Name: "r", OnWait: func(int) { rev.Add(copy) }})
	g := start(t, Options{Metrics: m}, everything(t, rev))
	for range 2 {
		resp, err := http.Get(g.url("/"))
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		resp.Body.Close()
	}
	waitFor(t, "the metrics", func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.requests) == 2 })
	if m.cold != 1 {
		t.Errorf("%d cold starts", m.cold)
	}
}

// TestDeadCopy has one copy that nobody listens for and one that breaks every connection before it answers.
func TestDeadCopy(t *testing.T) {
	var broken atomic.Int32
	copies := []activator.Target{
		copyOf{"dead", t.TempDir() + "/nothing"},
		rawCopy(t, "breaks", func(string, *bufio.Reader, net.Conn) { broken.Add(1) }),
	}
	good := serveCopy(t, "good", echo)
	for _, h2 := range []bool{false, true} {
		for _, bad := range copies {
			rev := revisionOf(t, activator.Options{Concurrency: 1}, bad, good)
			g := start(t, Options{}, everything(t, rev))
			protocols := new(http.Protocols)
			protocols.SetHTTP1(!h2)
			protocols.SetUnencryptedHTTP2(h2)
			client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
			resp, err := client.Post(g.url("/"), "", strings.NewReader("abc"))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			// Nothing was sent to the dead one; what the other did with a POST nobody knows.
			if want := map[string]int{"dead": 200, "breaks": 502}[bad.ID()]; resp.StatusCode != want {
				t.Errorf("http2 %v, %s: POST got %d, want %d", h2, bad.ID(), resp.StatusCode, want)
			}
			if h2 {
				continue
			}
			broken.Store(0)
			if resp, err = client.Get(g.url("/")); err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if bad.ID() == "breaks" && (resp.StatusCode != 502 || broken.Load() != 2) {
				t.Errorf("GET got %d after %d attempts", resp.StatusCode, broken.Load())
			}
			client.CloseIdleConnections()
		}
	}
}

// TestDeadCopyIsReplaced: it takes a while until the end of a copy is known. A request waits for its successor.
func TestDeadCopyIsReplaced(t *testing.T) {
	rev := revisionOf(t, activator.Options{}, copyOf{"dead", t.TempDir() + "/nothing"})
	good := serveCopy(t, "good", echo)
	g := start(t, Options{}, everything(t, rev))
	replaced := time.AfterFunc(700*time.Millisecond, func() { // what it takes on a busy machine
		rev.Remove("dead")
		rev.Add(good)
	})
	defer replaced.Stop()
	resp, err := http.Post(g.url("/"), "", strings.NewReader("abc"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("got %s", resp.Status)
	}
}

// TestStaleConnections lets a copy close each connection after its answer without saying so.
func TestStaleConnections(t *testing.T) {
	copy := rawCopy(t, "a", func(_ string, _ *bufio.Reader, c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	g := start(t, Options{}, everything(t, revisionOf(t, activator.Options{}, copy)))
	for i := range 50 {
		method := []string{"GET", "POST"}[i%2]
		req, _ := http.NewRequest(method, g.url("/"), nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if method == "GET" && string(body) != "ok" {
			t.Fatalf("request %d: %s %q", i, resp.Status, body)
		}
		if method == "POST" && resp.StatusCode != 200 && resp.StatusCode != 502 {
			t.Fatalf("request %d: %s %q", i, resp.Status, body)
		}
	}
}

func TestTooManyConnections(t *testing.T) {
	m := &recorder{}
	g := start(t, Options{MaxConnections: 2, Metrics: m}, everything(t, revisionOf(t, activator.Options{}, serveCopy(t, "a", echo))))
	held := []net.Conn{g.dial(t), g.dial(t)}
	for _, c := range held {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(g.dial(t)), nil)
	if err != nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the third got %v, %v", resp, err)
	}
	held[0].Close()
	waitFor(t, "room for another", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.open == 1
	})
	if resp, err := http.Get(g.url("/")); err != nil || resp.StatusCode != 200 {
		t.Errorf("afterwards %v, %v", resp, err)
	}
}

// TestDrain stops the gateway while requests are inside; all of them must end well.
func TestDrain(t *testing.T) {
	const n = 20
	var inside sync.WaitGroup
	inside.Add(2 * n)
	release := make(chan struct{})
	g := single(t, Options{DrainTimeout: 10 * time.Second}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inside.Done()
		<-release
		io.WriteString(w, "done")
	}))
	var wg sync.WaitGroup
	for _, h2 := range []bool{false, true} {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(!h2)
		protocols.SetUnencryptedHTTP2(h2)
		client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
		for range n {
			wg.Go(func() {
				resp, err := client.Get(g.url("/"))
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				if body, err := io.ReadAll(resp.Body); string(body) != "done" || err != nil {
					t.Errorf("http2 %v: %q, %v", h2, body, err)
				}
			})
		}
	}
	idle := g.dial(t)
	inside.Wait()
	g.stop()
	if _, err := idle.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("an idle connection: %v", err)
	}
	close(release)
	wg.Wait()
	if err := <-g.done; err != nil {
		t.Error(err)
	}
	g.done <- nil
	if _, err := net.Dial("tcp", g.addr); err == nil {
		t.Error("still listening")
	}
}

// TestDrainGivesUp breaks requests that do not end.
func TestDrainGivesUp(t *testing.T) {
	in := make(chan struct{}, 2)
	g := single(t, Options{DrainTimeout: 100 * time.Millisecond}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in <- struct{}{}
		<-r.Context().Done()
	}))
	c := g.dial(t)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-in
	g.stop()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != 503 {
		t.Errorf("got %v, %v", resp, err)
	}
	<-g.done
	g.done <- nil
}

// TestSwapUnderLoad moves the traffic between revisions whose copies come and go, as updates do. No request may fail.
func TestSwapUnderLoad(t *testing.T) {
	answer := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			io.WriteString(w, name)
		})
	}
	revs := make([]*activator.Revision, 4)
	copies := make([]copyOf, len(revs))
	tables := make([]*Table, len(revs))
	for i := range revs {
		copies[i] = serveCopy(t, fmt.Sprint("copy", i), answer(fmt.Sprint(i)))
		revs[i] = revisionOf(t, activator.Options{Concurrency: 5}, copies[i])
		tables[i] = everything(t, revs[i])
	}
	g := start(t, Options{}, tables[0])
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	var total atomic.Int64
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	for i := range 16 {
		wg.Go(func() {
			for ctx.Err() == nil {
				resp, err := client.Post(g.url("/"), "", strings.NewReader(strings.Repeat("x", i*1000)))
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 {
					t.Errorf("got %s", resp.Status)
					return
				}
				total.Add(1)
			}
		})
	}
	for round := 1; round <= 60; round++ {
		next, old := round%len(revs), (round-1)%len(revs)
		g.Swap(tables[next])
		before := total.Load()
		waitFor(t, "requests on the new revision", func() bool { return total.Load() > before+20 || t.Failed() })
		if err := revs[old].Drain(t.Context(), copies[old].id); err != nil {
			t.Fatal(err)
		}
		revs[old].Add(copies[old])
	}
	cancel()
	wg.Wait()
	t.Logf("%d requests", total.Load())
}
