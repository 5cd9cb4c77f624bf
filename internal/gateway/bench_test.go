package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/openfunction/ofn/internal/activator"
)

// BenchmarkSmall is one connection that sends one request after the other; client and copy are in the figure.
func BenchmarkSmall(b *testing.B) {
	copy := serveCopy(b, "a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "Hello, World!") }))
	g := start(b, Options{}, everything(b, revisionOf(b, activator.Options{}, copy)))
	c := g.dial(b)
	r := bufio.NewReader(c)
	b.ReportAllocs()
	for b.Loop() {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: bench\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
	}
}

// BenchmarkLarge is the throughput of large answers.
func BenchmarkLarge(b *testing.B) {
	const size = 64 << 20
	block := make([]byte, 256<<10)
	copy := serveCopy(b, "a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		for range size / len(block) {
			w.Write(block)
		}
	}))
	g := start(b, Options{}, everything(b, revisionOf(b, activator.Options{}, copy)))
	b.SetBytes(size)
	for b.Loop() {
		resp, err := http.Get(g.url("/"))
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, block[:len(block):len(block)]); n != size || err != nil {
			b.Fatal(n, err)
		}
		resp.Body.Close()
	}
}
