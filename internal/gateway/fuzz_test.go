package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// parseAll parses a request as a connection does, from a reader that gives a few bytes at a time.
func parseAll(data []byte, step int) (*request, *buffer, io.Reader, error) {
	src := io.Reader(bytes.NewReader(data))
	if step == 1 {
		src = iotest.OneByteReader(src)
	}
	q, in := &request{}, &buffer{b: make([]byte, 64)}
	for {
		done, err := q.more(in.bytes())
		if err != nil {
			return q, in, src, err
		}
		if done {
			return q, in, src, q.interpret()
		}
		if err := in.fill(src, 64<<10); err != nil {
			return q, in, src, err
		}
	}
}

// FuzzRequest compares with net/http. Whatever is accepted here must be accepted there and mean the same; what is refused
// here may be accepted there, because this parser is the stricter one.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /x?y=z HTTP/1.1\r\nHost: a:80\r\nContent-Length: 3\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n3;e=1\r\nabc\r\n0\r\nT: v\r\n\r\n",
		"GET http://b.example/p HTTP/1.1\r\nHost: a\r\n\r\n",
		"OPTIONS * HTTP/1.0\r\nConnection: keep-alive, Upgrade\r\nUpgrade: x\r\n\r\n",
		"\r\nGET / HTTP/1.1\r\nHost: a\r\nFoo:\tbar \r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		q, in, src, err := parseAll(data, 0)
		q1, in1, src1, err1 := parseAll(data, 1)
		if (err == nil) != (err1 == nil) {
			t.Fatalf("depends on how the bytes arrive: %v, %v", err, err1)
		}
		if err != nil {
			return
		}
		std, stdErr := http.ReadRequest(bufio.NewReader(bytes.NewReader(bytes.TrimPrefix(data, crlf))))
		if stdErr != nil {
			if toleratedTarget(q) {
				return
			}
			t.Fatalf("net/http refuses: %v", stdErr)
		}
		compareRequests(t, q, std)
		in.skip(len(q.raw))
		in1.skip(len(q1.raw))
		body, bodyErr := readBody(in, src, q.length)
		body1, bodyErr1 := readBody(in1, src1, q1.length)
		if !bytes.Equal(body, body1) || (bodyErr == nil) != (bodyErr1 == nil) {
			t.Fatalf("body depends on how the bytes arrive: %q %v, %q %v", body, bodyErr, body1, bodyErr1)
		}
		if bodyErr != nil {
			return
		}
		stdBody, stdErr := io.ReadAll(std.Body)
		if stdErr != nil || !bytes.Equal(body, stdBody) {
			t.Fatalf("body %q, net/http %q, %v", body, stdBody, stdErr)
		}
	})
}

// toleratedTarget tells the targets that are passed on as they are, although net/http cannot parse them as a URL: a bad
// percent escape is the function's to judge, and the host was checked by its own rules.
func toleratedTarget(q *request) bool {
	return bytes.IndexByte(q.path, '%') >= 0 || bytes.IndexByte(q.host, '%') >= 0 || bytes.ContainsAny(q.host, "[]:")
}

func compareRequests(t *testing.T, q *request, std *http.Request) {
	if str(q.method) != std.Method || str(q.host) != std.Host || q.minor != std.ProtoMinor {
		t.Fatalf("method, host, version: %q %q %d, net/http %q %q %d", q.method, q.host, q.minor, std.Method, std.Host, std.ProtoMinor)
	}
	if !strings.HasSuffix(std.RequestURI, str(q.path)+map[bool]string{true: "?"}[q.hasQuery]+str(q.query)) {
		t.Fatalf("target %q ? %q, net/http %q", q.path, q.query, std.RequestURI)
	}
	if length := std.ContentLength; length != q.length {
		t.Fatalf("length %d, net/http %d", q.length, length)
	}
	n := 0
	for _, v := range std.Header {
		n += len(v)
	}
	ours := 0
	for i := range q.fields {
		switch q.fields[i].id {
		case hHost, hTransferEncoding:
		default:
			ours++
		}
	}
	if _, ok := q.lookup("trailer"); !ok && n != ours {
		t.Fatalf("%d header lines, net/http %d: %v", ours, n, std.Header)
	}
	for name, values := range std.Header {
		if v, ok := q.lookup(strings.ToLower(name)); !ok || v != values[0] {
			t.Fatalf("%s: %q %v, net/http %q", name, v, ok, values)
		}
	}
}

func readBody(in *buffer, src io.Reader, length int64) ([]byte, error) {
	var b body
	b.begin(in, src, length)
	var all []byte
	p := make([]byte, 100)
	for len(all) < 1<<20 {
		n, err := b.read(p)
		all = append(all, p[:n]...)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// FuzzAnswer compares what is accepted from a copy with net/http.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 404 \r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\nto the end",
		"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p response
		done, err := p.more(data)
		if err != nil || !done || p.interpret(false) != nil || p.code < 200 {
			return
		}
		std, stdErr := http.ReadResponse(bufio.NewReader(bytes.NewReader(bytes.TrimPrefix(data, crlf))), nil)
		if stdErr != nil {
			t.Fatalf("net/http refuses: %v", stdErr)
		}
		if std.StatusCode != p.code {
			t.Fatalf("status %d, net/http %d", p.code, std.StatusCode)
		}
		in := &buffer{b: data, r: len(p.raw), w: len(data)}
		body, err := readBody(in, strings.NewReader(""), p.length)
		if err != nil {
			return
		}
		stdBody, stdErr := io.ReadAll(std.Body)
		if stdErr != nil || !bytes.Equal(body, stdBody) {
			t.Fatalf("body %q, net/http %q, %v", body, stdBody, stdErr)
		}
	})
}
