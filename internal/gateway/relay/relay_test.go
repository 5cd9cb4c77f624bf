package relay_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/gateway/relay"
)

// gateway is one with a relay; what it serves is an http.Server.
type gateway struct {
	*relay.Relay
	*testing.T
	public, peers net.Listener
	identity      string
	stop          func() // ends Run and waits for it
	served        *http.Server
}

func start(t *testing.T, identity string, patience time.Duration) *gateway {
	t.Helper()
	g := &gateway{T: t, identity: identity}
	for _, l := range []*net.Listener{&g.public, &g.peers} {
		var err error
		if *l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	g.Relay = relay.New(relay.Options{Public: g.public, Peers: g.peers, Identity: identity, Patience: patience, Drain: time.Minute, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := g.Relay.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	g.stop = func() { cancel(); <-done }
	t.Cleanup(func() { g.end(); g.stop() })
	return g
}

func (g *gateway) leader() relay.Leader {
	return relay.Leader{Identity: g.identity, Address: g.peers.Addr().String()}
}

// lead has it serve; what it answers names it, its client and what it was asked.
func (g *gateway) lead(handle http.HandlerFunc) {
	var both http.Protocols
	both.SetHTTP1(true)
	both.SetUnencryptedHTTP2(true)
	g.served = &http.Server{Protocols: &both, Handler: handle, ReadHeaderTimeout: time.Minute}
	l := g.Lead()
	go func() { _ = g.served.Serve(l) }()
}

func (g *gateway) echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		g.Error(err)
	}
	w.Header().Set("X-Client", r.RemoteAddr)
	fmt.Fprintf(w, "%s %s %s %s %s %s", g.identity, r.Proto, r.Method, r.Host, r.RequestURI, body)
}

// end has it serve no longer, with its connections broken.
func (g *gateway) end() {
	if g.served != nil {
		g.served.Close()
	}
}

// caller remembers the address of its connection.
type caller struct {
	http.Client
	from string
}

func newCaller(t *testing.T, http2 bool) *caller {
	c := &caller{}
	var one http.Protocols
	one.SetHTTP1(!http2)
	one.SetUnencryptedHTTP2(http2)
	tr := &http.Transport{Protocols: &one, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			c.from = conn.LocalAddr().String()
		}
		return conn, err
	}}
	c.Transport = tr
	t.Cleanup(tr.CloseIdleConnections)
	return c
}

func (c *caller) post(to *gateway, body string) (answer, client string, err error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+to.public.Addr().String()+"/a%2Fb?x=;y", strings.NewReader(body))
	if err != nil {
		return "", "", err
	}
	req.Host = "fn.ns"
	req.GetBody = nil // it cannot be sent twice
	resp, err := c.Do(req)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, data)
	}
	return string(data), resp.Header.Get("X-Client"), err
}

func TestHandsOn(t *testing.T) {
	a, b := start(t, "a_1", time.Minute), start(t, "b_1", time.Minute)
	b.lead(b.echo)
	a.Follow(b.leader())
	for proto, c := range map[string]*caller{"HTTP/1.1": newCaller(t, false), "HTTP/2.0": newCaller(t, true)} {
		for _, to := range []*gateway{a, b, a} {
			c.CloseIdleConnections()
			got, client, err := c.post(to, "body")
			if want := "b_1 " + proto + " POST fn.ns /a%2Fb?x=;y body"; err != nil || got != want || client != c.from {
				t.Errorf("%q from %s (%v), want %q from %s", got, client, err, want, c.from)
			}
		}
	}
}

func TestUpgrade(t *testing.T) {
	a, b := start(t, "a_1", time.Minute), start(t, "b_1", time.Minute)
	b.lead(func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = c.Write([]byte(strings.ToUpper(line)))
	})
	a.Follow(b.leader())
	c, err := net.Dial("tcp", a.public.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: fn.ns\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp, err)
	}
	fmt.Fprint(c, "hello\n")
	if got, err := io.ReadAll(in); err != nil || string(got) != "HELLO\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestTakesOver has a request wait while nobody serves, whichever gateway comes to.
func TestTakesOver(t *testing.T) {
	a, b := start(t, "a_1", time.Minute), start(t, "b_1", time.Minute)
	c := newCaller(t, false)
	asked := make(chan string, 1)
	ask := func() {
		go func() {
			got, _, err := c.post(a, "body")
			asked <- fmt.Sprint(strings.Fields(got + " -")[0], err)
		}()
	}
	want := func(text string) {
		t.Helper()
		if got := <-asked; got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
	ask() // nobody is known
	a.Follow(b.leader())
	b.lead(b.echo) // known, but not serving yet
	want("b_1<nil>")
	b.end()
	ask() // it was known, and is gone; the client's connection is the former one
	a.lead(a.echo)
	a.Follow(a.leader())
	want("a_1<nil>")
}

func TestNobody(t *testing.T) {
	a, b := start(t, "a_1", 50*time.Millisecond), start(t, "b_1", time.Minute)
	b.lead(b.echo)
	c := newCaller(t, false)
	for name, leader := range map[string]relay.Leader{
		"none known": {}, "another than it was": {Identity: "b_0", Address: b.peers.Addr().String()}, "no gateway": {Identity: "b_1", Address: b.public.Addr().String()},
	} {
		a.Follow(leader)
		if got, _, err := c.post(a, "body"); err == nil || !strings.Contains(err.Error(), "503") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// TestDrain stops a gateway whose client still waits.
func TestDrain(t *testing.T) {
	a, b := start(t, "a_1", time.Minute), start(t, "b_1", time.Minute)
	came, go1 := make(chan struct{}), make(chan struct{})
	b.lead(func(w http.ResponseWriter, _ *http.Request) {
		close(came)
		<-go1
		fmt.Fprint(w, "late")
	})
	a.Follow(b.leader())
	asked := make(chan string, 1)
	go func() {
		got, _, err := newCaller(t, false).post(a, "")
		asked <- fmt.Sprint(got, err)
	}()
	<-came
	a.Leave()
	stopped := make(chan struct{})
	go func() { defer close(stopped); a.stop() }()
	for { // until nothing is taken any more
		c, err := net.Dial("tcp", a.public.Addr().String())
		if err != nil {
			break
		}
		c.Close()
	}
	select {
	case <-stopped:
		t.Error("it stopped with a request under way")
	default:
	}
	close(go1)
	if got := <-asked; got != "late<nil>" {
		t.Errorf("the answer is %q", got)
	}
	<-stopped
}

func FuzzPeers(f *testing.F) {
	f.Add([]byte("OFN-RELAY/1 b_1 127.0.0.1:80\n"))
	f.Add([]byte("OFN-RELAY/1 b_1 127.0.0.1:80\nGET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("OFN-RELAY/1 b_1 x\n"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		b := start(t, "b_1", time.Minute)
		b.lead(b.echo)
		c, err := net.Dial("tcp", b.peers.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(append(said, '\n')); err != nil {
			return
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			return
		}
		got, _ := io.ReadAll(c)
		if len(got) > 0 && !bytes.HasPrefix(said, []byte("OFN-RELAY/1 b_1 ")) {
			t.Errorf("%q is answered with %q", said, got)
		}
	})
}
