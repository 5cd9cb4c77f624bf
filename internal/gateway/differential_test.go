package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/activator"
)

// reference is net/http with its reverse proxy, set up to do what the gateway does.
func reference(t *testing.T, c copyOf) string {
	t.Helper()
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL = &url.URL{Scheme: "http", Host: "copy", Path: r.In.URL.Path, RawPath: r.In.URL.RawPath, RawQuery: r.In.URL.RawQuery, ForceQuery: r.In.URL.ForceQuery}
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{
			DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return c.Dial(ctx) },
			DisableCompression: true,
		},
		FlushInterval: -1,
		ErrorLog:      quiet(),
	}
	s := httptest.NewUnstartedServer(p)
	s.Config.ErrorLog = quiet()
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// seenRequest is what a copy tells of the request it got.
type seenRequest struct {
	Method, URI, Host string
	Header            http.Header
	Length            int64
	Chunked           bool
	Body              string
	Trailer           http.Header
}

var tell = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	s := seenRequest{r.Method, r.RequestURI, r.Host, r.Header.Clone(), r.ContentLength, len(r.TransferEncoding) > 0, string(body), r.Trailer}
	for _, added := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Traceparent"} {
		s.Header.Del(added)
	}
	b, _ := json.Marshal(s)
	w.Header().Set("X-Seen", string(b))
})

// seenAnswer is what a client saw.
type seenAnswer struct {
	Interim []int
	Code    int
	Header  string
	Body    string
	Trailer string
	Whole   bool
	Closed  bool
}

func flat(h http.Header) string {
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(h)) {
		for _, v := range h[k] {
			lines = append(lines, k+": "+v)
		}
	}
	return strings.Join(lines, "\n")
}

// ask sends a raw request and reads the answer.
func ask(t *testing.T, addr, request string) seenAnswer {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(c, request)
	method, _, _ := strings.Cut(request, " ")
	r := bufio.NewReader(c)
	var a seenAnswer
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return a
		}
		if resp.StatusCode < 200 {
			a.Interim = append(a.Interim, resp.StatusCode)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Header.Del("Date")
		if resp.StatusCode >= 400 && resp.Header.Get("X-Copy") == "" {
			body, resp.Header = nil, nil // each has its own words
		}
		a.Code, a.Header, a.Body, a.Trailer = resp.StatusCode, flat(resp.Header), string(body), flat(resp.Trailer)
		a.Whole, a.Closed = err == nil, resp.Close
		return a
	}
}

// deviations are deliberate. Every other difference from net/http is a defect; and so is one listed here that is none.
var deviations = map[string]string{
	"trailer":                   "passed on; the reverse proxy announces it and loses the value",
	"both lengths":              "refused: RFC 9112 lets a proxy choose, and the wrong choice smuggles a request",
	"two equal lengths":         "refused: there is no honest sender of this",
	"bare LF":                   "refused: RFC 9112 allows it only to lenient recipients",
	"folded value":              "refused: RFC 9112 asks for it",
	"empty line first":          "ignored, as RFC 9112 asks for",
	"fragment in target":        "refused: not part of a request target",
	"chunked in HTTP/1.0":       "refused: RFC 9112 calls its framing faulty",
	"space after chunk size":    "refused: the grammar has no white space there",
	"CONNECT":                   "refused: there is no target to connect to",
	"answer: two equal lengths": "a bad answer",
	"answer: both lengths":      "a bad answer",
	"answer: 304":               "what the copy says of the content is passed on",
}

func TestRequestsAgreeWithNetHTTP(t *testing.T) {
	const h = "Host: a.example\r\n"
	const end = "Connection: close\r\n\r\n"
	cases := map[string]string{
		"plain":                  "GET /p?q=1 HTTP/1.1\r\n" + h + end,
		"with port":              "GET / HTTP/1.1\r\nHost: a.example:8080\r\n" + end,
		"post":                   "POST / HTTP/1.1\r\n" + h + "Content-Length: 3\r\n" + end + "abc",
		"empty post":             "POST / HTTP/1.1\r\n" + h + "Content-Length: 0\r\n" + end,
		"post without length":    "POST / HTTP/1.1\r\n" + h + end,
		"chunked":                "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n" + end + "3\r\nabc\r\n0\r\n\r\n",
		"chunked upper case":     "POST / HTTP/1.1\r\n" + h + "TRANSFER-ENCODING: Chunked\r\n" + end + "A\r\n0123456789\r\n0\r\n\r\n",
		"chunk extension":        "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n" + end + "3;a=\"b\"\r\nabc\r\n0\r\n\r\n",
		"trailer":                "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\nTrailer: X-T\r\n" + end + "3\r\nabc\r\n0\r\nX-T: v\r\n\r\n",
		"get with body":          "GET / HTTP/1.1\r\n" + h + "Content-Length: 3\r\n" + end + "abc",
		"delete with body":       "DELETE / HTTP/1.1\r\n" + h + "Content-Length: 3\r\n" + end + "abc",
		"own method":             "PURGE / HTTP/1.1\r\n" + h + end,
		"head":                   "HEAD / HTTP/1.1\r\n" + h + end,
		"options asterisk":       "OPTIONS * HTTP/1.1\r\n" + h + end,
		"absolute target":        "GET http://b.example/p?q HTTP/1.1\r\n" + h + end,
		"absolute without path":  "GET http://b.example HTTP/1.1\r\n" + h + end,
		"HTTP/1.0":               "GET / HTTP/1.0\r\n" + h + "\r\n",
		"escaped path":           "GET /a%2Fb%20c HTTP/1.1\r\n" + h + end,
		"dots and slashes":       "GET //a/../b/./c// HTTP/1.1\r\n" + h + end,
		"semicolon in query":     "GET /?a;b&c=%zz HTTP/1.1\r\n" + h + end,
		"empty query":            "GET /? HTTP/1.1\r\n" + h + end,
		"question marks":         "GET /??a?b HTTP/1.1\r\n" + h + end,
		"repeated header":        "GET / HTTP/1.1\r\n" + h + "X-A: 1\r\nX-A: 2\r\nCookie: a=b\r\nCookie: c=d\r\n" + end,
		"header white space":     "GET / HTTP/1.1\r\n" + h + "X-A: \t 1 2\t \r\nX-Empty:\r\n" + end,
		"header case":            "GET / HTTP/1.1\r\nhOsT: a.example\r\nx-a: 1\r\nX_B: 2\r\n" + end,
		"header not ASCII":       "GET / HTTP/1.1\r\n" + h + "X-A: \xc3\xa4\xff\r\n" + end,
		"hop by hop":             "GET / HTTP/1.1\r\n" + h + "Keep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: y\r\nX-Hop: 1\r\nX-Stay: 2\r\nConnection: X-Hop, close\r\n\r\n",
		"TE trailers":            "GET / HTTP/1.1\r\n" + h + "TE: trailers\r\n" + end,
		"TE gzip":                "GET / HTTP/1.1\r\n" + h + "TE: gzip;q=1\r\n" + end,
		"upgrade unconnected":    "GET / HTTP/1.1\r\n" + h + "Upgrade: x\r\n" + end,
		"client's forwarded":     "GET / HTTP/1.1\r\n" + h + "X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n" + end,
		"user agent":             "GET / HTTP/1.1\r\n" + h + "User-Agent: test\r\nAccept-Encoding: br\r\n" + end,
		"space before colon":     "GET / HTTP/1.1\r\n" + h + "X-A : 1\r\n" + end,
		"no host":                "GET / HTTP/1.1\r\n" + end,
		"two hosts":              "GET / HTTP/1.1\r\n" + h + h + end,
		"bad host":               "GET / HTTP/1.1\r\nHost: a b\r\n" + end,
		"two lengths":            "POST / HTTP/1.1\r\n" + h + "Content-Length: 3\r\nContent-Length: 4\r\n" + end + "abcd",
		"two equal lengths":      "POST / HTTP/1.1\r\n" + h + "Content-Length: 3\r\nContent-Length: 3\r\n" + end + "abc",
		"both lengths":           "POST / HTTP/1.1\r\n" + h + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n" + end + "3\r\nabc\r\n0\r\n\r\n",
		"bad length":             "POST / HTTP/1.1\r\n" + h + "Content-Length: +3\r\n" + end + "abc",
		"unknown encoding":       "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: gzip\r\n" + end + "abc",
		"chunked in HTTP/1.0":    "POST / HTTP/1.0\r\n" + h + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"space after chunk size": "POST / HTTP/1.1\r\n" + h + "Transfer-Encoding: chunked\r\n" + end + "3 \r\nabc\r\n0\r\n\r\n",
		"folded value":           "GET / HTTP/1.1\r\n" + h + "X-A: 1\r\n 2\r\n" + end,
		"bare LF":                "GET / HTTP/1.1\nHost: a.example\nConnection: close\n\n",
		"NUL":                    "GET / HTTP/1.1\r\n" + h + "X-A: \x00\r\n" + end,
		"bad method":             "G@T / HTTP/1.1\r\n" + h + end,
		"relative target":        "GET p HTTP/1.1\r\n" + h + end,
		"fragment in target":     "GET /a#b HTTP/1.1\r\n" + h + end,
		"bad escape":             "GET /%zz HTTP/1.1\r\n" + h + end,
		"space in target":        "GET /a b HTTP/1.1\r\n" + h + end,
		"HTTP/2.0":               "GET / HTTP/2.0\r\n" + h + end,
		"HTTP/0.9":               "GET / HTTP/0.9\r\n" + h + end,
		"no version":             "GET /\r\n\r\n",
		"empty line first":       "\r\nGET / HTTP/1.1\r\n" + h + end,
		"unknown expectation":    "GET / HTTP/1.1\r\n" + h + "Expect: x\r\n" + end,
		"CONNECT":                "CONNECT a.example:1 HTTP/1.1\r\nHost: a.example:1\r\n" + end,
	}
	c := serveCopy(t, "a", tell)
	std := reference(t, c)
	g := start(t, Options{}, everything(t, revisionOf(t, activator.Options{}, c)))
	for name, request := range cases {
		t.Run(name, func(t *testing.T) { compare(t, name, ask(t, g.addr, request), ask(t, std, request)) })
	}
}

// compare fails on a difference that is not listed, and on a listed one that is none.
func compare(t *testing.T, name string, ours, theirs seenAnswer) {
	t.Helper()
	theirs.Closed = ours.Closed // when to close is everyone's own choice
	same := fmt.Sprintf("%+v", ours) == fmt.Sprintf("%+v", theirs)
	why, deliberate := deviations[name]
	switch {
	case !same && !deliberate:
		t.Errorf("\nours     %+v\nnet/http %+v", ours, theirs)
	case same && deliberate:
		t.Errorf("no difference, although one is listed: %s", why)
	}
}

func TestAnswersAgreeWithNetHTTP(t *testing.T) {
	const x = "X-Copy: 1\r\nContent-Type: text/plain\r\n" // net/http invents a type when there is none
	cases := map[string]string{
		"length":              "HTTP/1.1 200 OK\r\n" + x + "Content-Length: 3\r\n\r\nabc",
		"empty":               "HTTP/1.1 200 OK\r\n" + x + "Content-Length: 0\r\n\r\n",
		"chunked":             "HTTP/1.1 200 OK\r\n" + x + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n",
		"trailer":             "HTTP/1.1 200 OK\r\n" + x + "Trailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: v\r\n\r\n",
		"to the end":          "HTTP/1.1 200 OK\r\n" + x + "\r\nabc",
		"HTTP/1.0":            "HTTP/1.0 200 OK\r\n" + x + "\r\nabc",
		"204":                 "HTTP/1.1 204 No Content\r\n" + x + "\r\n",
		"304":                 "HTTP/1.1 304 Not Modified\r\n" + x + "Etag: \"e\"\r\n\r\n",
		"404":                 "HTTP/1.1 404 Not Found\r\n" + x + "Content-Length: 2\r\n\r\nno",
		"500":                 "HTTP/1.1 500 Internal Server Error\r\n" + x + "Content-Length: 2\r\n\r\nno",
		"own code":            "HTTP/1.1 299 Fine\r\n" + x + "Content-Length: 0\r\n\r\n",
		"no reason":           "HTTP/1.1 200\r\n" + x + "Content-Length: 0\r\n\r\n",
		"redirect":            "HTTP/1.1 302 Found\r\n" + x + "Location: http://copy/x\r\nContent-Length: 0\r\n\r\n",
		"cookies":             "HTTP/1.1 200 OK\r\n" + x + "Set-Cookie: a=b\r\nset-cookie: c=d\r\nContent-Length: 0\r\n\r\n",
		"hop by hop":          "HTTP/1.1 200 OK\r\n" + x + "Keep-Alive: 5\r\nX-Hop: 1\r\nConnection: x-hop\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
		"close":               "HTTP/1.1 200 OK\r\n" + x + "Connection: close\r\nContent-Length: 3\r\n\r\nabc",
		"early hints":         "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n" + x + "Content-Length: 0\r\n\r\n",
		"white space":         "HTTP/1.1 200 OK\r\n" + x + "X-A: \t b c \t\r\nX-Empty:\r\nContent-Length: 0\r\n\r\n",
		"short":               "HTTP/1.1 200 OK\r\n" + x + "Content-Length: 5\r\n\r\nabc",
		"bad chunk":           "HTTP/1.1 200 OK\r\n" + x + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
		"not HTTP":            "SSH-2.0-x\r\n\r\n",
		"two lengths":         "HTTP/1.1 200 OK\r\n" + x + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
		"two equal lengths":   "HTTP/1.1 200 OK\r\n" + x + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"both lengths":        "HTTP/1.1 200 OK\r\n" + x + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"HEAD with length":    "HTTP/1.1 200 OK\r\n" + x + "Content-Length: 3\r\n\r\n",
		"HEAD with chunks":    "HTTP/1.1 200 OK\r\n" + x + "Transfer-Encoding: chunked\r\n\r\n",
		"unasked 101":         "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
		"closed at once":      "",
		"header without name": "HTTP/1.1 200 OK\r\n: x\r\n\r\n",
	}
	var answer atomic.Pointer[string]
	c := rawCopy(t, "a", func(_ string, _ *bufio.Reader, c net.Conn) { io.WriteString(c, *answer.Load()) })
	std := reference(t, c)
	g := start(t, Options{}, everything(t, revisionOf(t, activator.Options{}, c)))
	for name, text := range cases {
		t.Run(name, func(t *testing.T) {
			answer.Store(&text)
			method := "GET"
			if strings.HasPrefix(name, "HEAD") {
				method = "HEAD"
			}
			request := method + " / HTTP/1.1\r\nHost: a.example\r\n\r\n"
			compare(t, "answer: "+name, ask(t, g.addr, request), ask(t, std, request))
		})
	}
}
