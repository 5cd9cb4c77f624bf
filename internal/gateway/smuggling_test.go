package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/openfunction/ofn/internal/activator"
)

// TestMalformedRequests sends what has been used to make two servers disagree about where a request ends, or who it is
// for. None may reach the copy, and nothing that follows on the connection may be taken for a request.
func TestMalformedRequests(t *testing.T) {
	const h = "Host: a.example\r\n"
	long := strings.Repeat("x", 70<<10)
	tests := []struct {
		name, request string
		code          int
	}{
		{"length and chunks", "POST / HTTP/1.1\r\n" + h + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 400},
		{"chunks and length", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG", 400},
		{"two lengths", "POST / HTTP/1.1\r\n" + h + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400},
		{"two equal lengths", "POST / HTTP/1.1\r\n" + h + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
		{"list of lengths", "POST / HTTP/1.1\r\n" + h + "Content-Length: 5, 5\r\n\r\nhello", 400},
		{"signed length", "POST / HTTP/1.1\r\n" + h + "Content-Length: +5\r\n\r\nhello", 400},
		{"negative length", "POST / HTTP/1.1\r\n" + h + "Content-Length: -1\r\n\r\n", 400},
		{"hexadecimal length", "POST / HTTP/1.1\r\n" + h + "Content-Length: 0x5\r\n\r\nhello", 400},
		{"empty length", "POST / HTTP/1.1\r\n" + h + "Content-Length:\r\n\r\n", 400},
		{"endless length", "POST / HTTP/1.1\r\n" + h + "Content-Length: 99999999999999999999\r\n\r\n", 400},
		{"length with a letter", "POST / HTTP/1.1\r\n" + h + "Content-Length: 5a\r\n\r\nhello", 400},
		{"unknown encoding", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
		{"gzip, chunked", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
		{"chunked, identity", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501},
		{"chunked twice", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501},
		{"quoted chunked", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 501},
		{"chunked after vertical tab", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", 400},
		{"chunked on a folded line", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400},
		{"space before colon", "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
		{"tab before colon", "POST / HTTP/1.1\r\n" + h + "Content-Length\t: 5\r\n\r\nhello", 400},
		{"empty name", "GET / HTTP/1.1\r\n" + h + ": x\r\n\r\n", 400},
		{"no colon", "GET / HTTP/1.1\r\n" + h + "Foo\r\n\r\n", 400},
		{"space in name", "GET / HTTP/1.1\r\n" + h + "Foo Bar: x\r\n\r\n", 400},
		{"folded value", "GET / HTTP/1.1\r\n" + h + "Foo: a\r\n b\r\n\r\n", 400},
		{"folded first line", "GET / HTTP/1.1\r\n Host: a.example\r\n\r\n", 400},
		{"NUL in value", "GET / HTTP/1.1\r\n" + h + "Foo: a\x00b\r\n\r\n", 400},
		{"NUL in name", "GET / HTTP/1.1\r\n" + h + "Fo\x00o: a\r\n\r\n", 400},
		{"CR in value", "GET / HTTP/1.1\r\n" + h + "Foo: a\rb\r\n\r\n", 400},
		{"CR before CR LF", "GET / HTTP/1.1\r\n" + h + "Foo: a\r\r\n\r\n", 400},
		{"bare LF", "GET / HTTP/1.1\n" + h + "\r\n", 400},
		{"bare LF in header", "GET / HTTP/1.1\r\n" + h + "Foo: a\nBar: b\r\n\r\n", 400},
		{"bare LF at the end", "GET / HTTP/1.1\r\n" + h + "\n", 400},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"two Hosts", "GET / HTTP/1.1\r\n" + h + "Host: b.example\r\n\r\n", 400},
		{"two equal Hosts", "GET / HTTP/1.1\r\n" + h + h + "\r\n", 400},
		{"Host with user", "GET / HTTP/1.1\r\nHost: u@a.example\r\n\r\n", 400},
		{"Host with path", "GET / HTTP/1.1\r\nHost: a.example/x\r\n\r\n", 400},
		{"Host list", "GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n", 400},
		{"absolute target without Host", "GET http://a.example/ HTTP/1.1\r\n\r\n", 400},
		{"absolute target with user", "GET http://u@a.example/ HTTP/1.1\r\n" + h + "\r\n", 400},
		{"absolute target without host", "GET http:///x HTTP/1.1\r\n" + h + "\r\n", 400},
		{"other scheme", "GET ftp://a.example/ HTTP/1.1\r\n" + h + "\r\n", 400},
		{"relative target", "GET x HTTP/1.1\r\n" + h + "\r\n", 400},
		{"asterisk with GET", "GET * HTTP/1.1\r\n" + h + "\r\n", 400},
		{"space in target", "GET /a b HTTP/1.1\r\n" + h + "\r\n", 400},
		{"tab in target", "GET /a\tb HTTP/1.1\r\n" + h + "\r\n", 400},
		{"control byte in target", "GET /a\x01b HTTP/1.1\r\n" + h + "\r\n", 400},
		{"fragment in target", "GET /a#b HTTP/1.1\r\n" + h + "\r\n", 400},
		{"two spaces after method", "GET  / HTTP/1.1\r\n" + h + "\r\n", 400},
		{"space before method", " GET / HTTP/1.1\r\n" + h + "\r\n", 400},
		{"trailing space", "GET / HTTP/1.1 \r\n" + h + "\r\n", 400},
		{"method is no token", "G(T / HTTP/1.1\r\n" + h + "\r\n", 400},
		{"no version", "GET /\r\n" + h + "\r\n", 400},
		{"version 0.9", "GET / HTTP/0.9\r\n" + h + "\r\n", 505},
		{"version 2.0", "GET / HTTP/2.0\r\n" + h + "\r\n", 505},
		{"version 1.10", "GET / HTTP/1.10\r\n" + h + "\r\n", 505},
		{"version http", "GET / http/1.1\r\n" + h + "\r\n", 400},
		{"three empty lines", "\r\n\r\n\r\nGET / HTTP/1.1\r\n" + h + "\r\n", 400},
		{"CONNECT", "CONNECT a.example:80 HTTP/1.1\r\n" + h + "\r\n", 501},
		{"chunked in HTTP/1.0", "POST / HTTP/1.0\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"unknown expectation", "GET / HTTP/1.1\r\n" + h + "Expect: magic\r\n\r\n", 417},
		{"long target", "GET /" + long + " HTTP/1.1\r\n" + h + "\r\n", 414},
		{"long header", "GET / HTTP/1.1\r\n" + h + "Foo: " + long + "\r\n\r\n", 431},
		{"many headers", "GET / HTTP/1.1\r\n" + h + strings.Repeat("A: b\r\n", 300) + "\r\n", 431},
		{"not HTTP", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400},
	}
	var reached atomic.Int32
	copy := serveCopy(t, "a", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	g := start(t, Options{}, everything(t, revisionOf(t, activator.Options{}, copy)))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := g.dial(t)
			io.WriteString(c, tt.request+"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n")
			r := bufio.NewReader(c)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.code || !resp.Close || len(body) == 0 {
				t.Errorf("got %d %q, close %v; want %d", resp.StatusCode, body, resp.Close, tt.code)
			}
			if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
				t.Errorf("afterwards %q, %v", rest, err)
			}
			if n := reached.Swap(0); n != 0 {
				t.Errorf("the copy was reached %d times", n)
			}
		})
	}
}

// TestMalformedBodies sends heads that are fine, so that the copy is reached, and bodies that are not.
func TestMalformedBodies(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
	tests := map[string]string{
		"negative size":             "-1\r\n\r\n",
		"0x size":                   "0x1\r\na\r\n0\r\n\r\n",
		"space before size":         " 1\r\na\r\n0\r\n\r\n",
		"space after size":          "1 \r\na\r\n0\r\n\r\n",
		"empty size":                "\r\na\r\n0\r\n\r\n",
		"size overflow":             "fffffffffffffffff\r\na\r\n0\r\n\r\n",
		"bare LF after size":        "1\na\r\n0\r\n\r\n",
		"bare LF in extension":      "1;x\na\r\n0\r\n\r\n",
		"bare CR in extension":      "1;a\rb\r\na\r\n0\r\n\r\n",
		"NUL in extension":          "1;a\x00b\r\na\r\n0\r\n\r\n",
		"long extension":            "1;" + strings.Repeat("x", 300) + "\r\na\r\n0\r\n\r\n",
		"many extensions":           strings.Repeat("1;"+strings.Repeat("x", 200)+"\r\na\r\n", 100) + "0\r\n\r\n",
		"data longer than the size": "1\r\nabc\r\n0\r\n\r\n",
		"bare LF after data":        "1\r\na\n0\r\n\r\n",
		"trailer with a space":      "0\r\nFoo : b\r\n\r\n",
		"trailer with NUL":          "0\r\nFoo: \x00\r\n\r\n",
		"long trailer":              "0\r\nFoo: " + strings.Repeat("x", 40<<10) + "\r\n\r\n",
	}
	copy := serveCopy(t, "a", echo)
	g := start(t, Options{}, everything(t, revisionOf(t, activator.Options{}, copy)))
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			c := g.dial(t)
			io.WriteString(c, head+body+"GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n")
			r := bufio.NewReader(c)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != 400 || !resp.Close {
				t.Errorf("got %d %q, close %v", resp.StatusCode, text, resp.Close)
			}
			if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
				t.Errorf("afterwards %q, %v", rest, err)
			}
		})
	}
}

// TestMalformedAnswers lets a copy answer with what a client could take for two answers.
func TestMalformedAnswers(t *testing.T) {
	tests := map[string]string{
		"not HTTP":                 "hello\r\n\r\n",
		"HTTP/2":                   "HTTP/2.0 200 OK\r\n\r\n",
		"no status":                "HTTP/1.1 OK\r\n\r\n",
		"status of four digits":    "HTTP/1.1 2000 OK\r\n\r\n",
		"length and chunks":        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two lengths":              "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
		"bad length":               "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
		"gzip encoding":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"folded":                   "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
		"bare LF":                  "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
		"NUL":                      "HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n",
		"control byte in reason":   "HTTP/1.1 200 O\x01K\r\n\r\n",
		"unasked protocol switch":  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
		"broken off in the header": "HTTP/1.1 200 OK\r\nContent-Le",
		"too large a header":       "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 300<<10) + "\r\n\r\n",
		"endless interim answers":  strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100),
	}
	var answer atomic.Pointer[string]
	copy := rawCopy(t, "a", func(_ string, _ *bufio.Reader, c net.Conn) { io.WriteString(c, *answer.Load()) })
	g := start(t, Options{}, everything(t, revisionOf(t, activator.Options{}, copy)))
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			answer.Store(&text)
			resp, err := http.Post(g.url("/"), "text/plain", strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != 502 || !strings.Contains(string(body), "not valid HTTP") {
				t.Errorf("got %d %q", resp.StatusCode, body)
			}
		})
	}
}

// TestBrokenAnswers lets a copy break off in the middle: the client must be able to tell.
func TestBrokenAnswers(t *testing.T) {
	for name, text := range map[string]string{
		"of known length": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
		"in a chunk":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
		"between chunks":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"bad first chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"bad chunk later": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
		"before the last": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			copy := rawCopy(t, "a", func(_ string, _ *bufio.Reader, c net.Conn) { io.WriteString(c, text) })
			g := start(t, Options{}, everything(t, revisionOf(t, activator.Options{}, copy)))
			resp, err := http.Get(g.url("/"))
			if err != nil {
				return // broken off before a byte was shown
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("taken for complete: %d %q", resp.StatusCode, body)
			}
		})
	}
}

// TestPipelinedRequests answers in order, bodies included.
func TestPipelinedRequests(t *testing.T) {
	g := start(t, Options{}, everything(t, revisionOf(t, activator.Options{}, serveCopy(t, "a", echo))))
	c := g.dial(t)
	io.WriteString(c, "\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\n"+
		"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"+
		"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: v\r\n\r\n"+
		"GET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	r := bufio.NewReader(c)
	for _, want := range []string{"GET /1 0", "POST /2 3", "POST /3 5", "GET /4 0"} {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != want {
			t.Errorf("got %q, %v; want %q", body, err, want)
		}
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("afterwards %q, %v", rest, fmt.Sprint(err))
	}
}
