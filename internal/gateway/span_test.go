package gateway

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/openfunction/ofn/internal/activator"
)

// spans is a Tracer that hands on what it gets.
type spans chan *Span

func (s spans) Request(span *Span) { s <- span }

// TestSpans: what is sampled, and what brings no trace, becomes a span, below which the function's own are; what its caller does not
// keep stays as it is.
func TestSpans(t *testing.T) {
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	copyA := serveCopy(t, "a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, r.Header["Traceparent"])
	}))
	for name, tt := range map[string]struct {
		parents []string
		root    bool // of a new trace
		none    bool // no span
	}{
		"sampled":     {parents: []string{"00-" + trace + "-" + parent + "-01"}},
		"other flags": {parents: []string{"00-" + trace + "-" + parent + "-03"}},
		"not sampled": {parents: []string{"00-" + trace + "-" + parent + "-02"}, none: true},
		"no trace":    {root: true},
		"not valid":   {parents: []string{"nonsense"}, root: true},
	} {
		for _, h2 := range []bool{false, true} {
			kept := make(spans, 1)
			g := start(t, Options{Tracer: kept}, everything(t, revisionOf(t, activator.Options{}, copyA)))
			protocols := new(http.Protocols)
			protocols.SetHTTP1(!h2)
			protocols.SetUnencryptedHTTP2(h2)
			tr := &http.Transport{Protocols: protocols}
			r, _ := http.NewRequest("GET", g.url("/path?query"), nil)
			r.Header = http.Header{"Traceparent": tt.parents}
			resp, err := (&http.Client{Transport: tr}).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			tr.CloseIdleConnections()
			if tt.none {
				if string(body) != fmt.Sprint(tt.parents) {
					t.Errorf("%s, HTTP/2 %v: the function got %s", name, h2, body)
				}
				select {
				case s := <-kept:
					t.Errorf("%s, HTTP/2 %v: %+v", name, h2, s)
				default:
				}
				continue
			}
			s := <-kept
			if want := "[00-" + hex.EncodeToString(s.Trace[:]) + "-" + hex.EncodeToString(s.ID[:]) + "-01]"; string(body) != want {
				t.Errorf("%s, HTTP/2 %v: the function got %s, want %s", name, h2, body, want)
			}
			if got := hex.EncodeToString(s.Trace[:]) == trace && hex.EncodeToString(s.Parent[:]) == parent; got == tt.root {
				t.Errorf("%s, HTTP/2 %v: %+v", name, h2, s)
			}
			if s.Code != http.StatusTeapot || s.Method != "GET" || s.Path != "/path" || s.Took <= 0 || s.Revision == "" || s.Started.IsZero() {
				t.Errorf("%s, HTTP/2 %v: %+v", name, h2, s)
			}
		}
	}
}

// TestSpanCost: without a tracer a request costs no allocation more.
func TestSpanCost(t *testing.T) {
	g := New(Options{})
	if n := testing.AllocsPerRun(100, func() {
		if g.span("", "GET", "host", "/") != nil {
			t.Error("a span without a tracer")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkSpan is what tracing costs a request in the gateway, without and with it.
func BenchmarkSpan(b *testing.B) {
	for name, o := range map[string]Options{"off": {}, "on": {Tracer: dropped{}}} {
		b.Run(name, func(b *testing.B) {
			g, to := New(o), &backend{}
			b.ReportAllocs()
			for b.Loop() {
				if s := g.span("", "GET", "host", "/"); s != nil {
					g.end(s, to, s.Started, 0)
				}
			}
		})
	}
}

type dropped struct{}

func (dropped) Request(*Span) {}
