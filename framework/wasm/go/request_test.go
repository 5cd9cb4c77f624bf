package wasmfn

import (
	"bufio"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

const someHead = "POST /a%20b?c=d HTTP/1.1\r\nHost: example.com:8080\r\nContent-Length: 12\r\nContent-Type: text/plain\r\nEmpty: \r\nX-Two: 1\r\nX-Two: a: b\r\n\r\n"

// TestParse: a head as the platform gives it is read as net/http reads it.
func TestParse(t *testing.T) {
	many := "GET / HTTP/1.1\r\nHost: h\r\n"
	for i := range 40 {
		many += "X-" + string(rune('A'+i%26)) + strings.Repeat("x", i/26) + ": " + strings.Repeat("v", i) + "\r\n"
	}
	for name, head := range map[string]string{
		"post": someHead, "get": "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "query": "GET /a-b/c.d_e~F9?x=%20&y HTTP/1.1\r\nHost: h\r\n\r\n",
		"empty query": "GET /a? HTTP/1.1\r\nHost: h\r\n\r\n", "two slashes": "GET //a//b HTTP/1.1\r\nHost: h\r\n\r\n", "number sign": "GET /a?b#c HTTP/1.1\r\nHost: h\r\n\r\n",
		"two queries": "GET /a?b?c HTTP/1.1\r\nHost: h\r\n\r\n", "unicode": "GET /ä?ö HTTP/1.1\r\nHost: h\r\n\r\n", "options": "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
		"connect": "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "proxy": "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
		"unknown length": "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "many": many + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parse([]byte(head))
			if err != nil {
				t.Fatal(err)
			}
			want, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
			if err != nil {
				t.Fatal(err)
			}
			want.TransferEncoding, want.Body = nil, nil
			if !reflect.DeepEqual(got.URL, want.URL) || !reflect.DeepEqual(got.Header, want.Header) || got.Host != want.Host || got.Method != want.Method ||
				got.ContentLength != want.ContentLength || got.RequestURI != want.RequestURI || got.Proto != want.Proto {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(someHead))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.1\r\nA\r\n\r\n"))
	f.Fuzz(func(t *testing.T, head []byte) {
		r, err := parse(head)
		if err == nil && (r.URL == nil || r.Method == "" && !strings.HasPrefix(string(head), " ") || r.ContentLength < -1) {
			t.Fatalf("%q is read as %+v", head, r)
		}
	})
}
