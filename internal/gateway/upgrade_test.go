package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/openfunction/ofn/internal/activator"
)

func TestUpgrade(t *testing.T) {
	for name, tt := range map[string]struct{ h2c, second bool }{
		"HTTP/1.1 copy":                       {},
		"HTTP/2 copy":                         {h2c: true},
		"HTTP/2 copy, on a used connection":   {h2c: true, second: true},
		"HTTP/1.1 copy, on a used connection": {second: true},
	} {
		t.Run(name, func(t *testing.T) { upgrade(t, tt.h2c, tt.second) })
	}
}

func upgrade(t *testing.T, h2c, second bool) {
	m := &recorder{}
	copyA := serveCopy(t, "a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/plain" {
			return
		}
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
	g := start(t, Options{Metrics: m}, everything(t, revisionOf(t, activator.Options{H2C: h2c}, copyA)))
	c := g.dial(t)
	r := bufio.NewReader(c)
	if second {
		io.WriteString(c, "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
			t.Fatalf("got %v, %v", resp, err)
		}
	}
	io.WriteString(c, "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\n\r\nfirst\n")
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
