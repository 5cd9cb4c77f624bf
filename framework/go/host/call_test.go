package host

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestRequestID(t *testing.T) {
	const trace = "0af7651916cd43dd8448eb211c80319c"
	for name, tt := range map[string]struct{ id, traceparent, want string }{
		"given":         {"abc", "", "abc"},
		"trace":         {"", "00-" + trace + "-b7ad6b7169203331-01", trace},
		"given, trace":  {"abc", "00-" + trace + "-b7ad6b7169203331-01", "abc"},
		"invalid":       {"a b", "", ""},
		"invalid trace": {"", "00-" + strings.ToUpper(trace) + "-b7ad6b7169203331-01", ""},
		"short trace":   {"", "00-" + trace, ""},
		"none":          {"", "", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if tt.id != "" {
			r.Header.Set(RequestIDHeader, tt.id)
		}
		if tt.traceparent != "" {
			r.Header.Set("Traceparent", tt.traceparent)
		}
		r, _ = accept(r)
		got := RequestID(r)
		if tt.want != "" && got != tt.want || len(got) == 0 {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
		if again := RequestID(r); again != got {
			t.Errorf("%s: once %q, then %q", name, got, again)
		}
	}
}

// The deadline of a call ends with it, so that no timer outlives the answer.
func TestDeadline(t *testing.T) {
	var seen []error
	client, stop := start(t, func(w http.ResponseWriter, r *http.Request) {
		if _, ok := r.Context().Deadline(); ok {
			<-r.Context().Done()
		}
		seen = append(seen, r.Context().Err())
	}, Config{})
	get(t, client, "/", TimeoutHeader, "20")
	get(t, client, "/", TimeoutHeader, "-20")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 2 || seen[0] == nil || seen[1] != nil {
		t.Errorf("the calls ended with %v", seen)
	}
}

func TestLogger(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	client, stop := start(t, func(w http.ResponseWriter, r *http.Request) {
		Logger(r).Info("one")
		r = Serving(w, r, "other")
		Logger(r).Info("two")
		ContextLogger(WithRequest(r.Context(), r)).Info("three")
		ContextLogger(r.Context()).Info("four")
	}, Config{Log: log, Function: "f"})
	res, _ := get(t, client, "/", RequestIDHeader, "r1")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := res.Header.Get(FunctionHeader); got != "other" {
		t.Errorf("%s: %q", FunctionHeader, got)
	}
	const want = `level=INFO msg=one function=f request_id=r1
level=INFO msg=two function=other request_id=r1
level=INFO msg=three function=other request_id=r1
level=INFO msg=four function=other
`
	if text.String() != want {
		t.Errorf("log:\n%swant:\n%s", &text, want)
	}
}

// A panic of one of several functions is told as its own.
func TestPanicOfServing(t *testing.T) {
	var text bytes.Buffer
	client, stop := start(t, func(w http.ResponseWriter, r *http.Request) {
		Serving(w, r, "bad")
		panic("why")
	}, Config{Log: slog.New(slog.NewJSONHandler(&text, nil)), Function: "good"})
	res, _ := get(t, client, "/")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if res.Header.Get(FunctionHeader) != "bad" || !strings.Contains(text.String(), `"function":"bad"`) {
		t.Errorf("header %v, log %s", res.Header, &text)
	}
}

func BenchmarkWrap(b *testing.B) {
	h := Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }), nil)
	r := httptest.NewRequest(http.MethodGet, "/hello", nil)
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	w := discard{http.Header{}}
	for name, timeout := range map[string]time.Duration{"plain": 0, "deadline": time.Second} {
		b.Run(name, func(b *testing.B) {
			r := r.Clone(b.Context())
			if timeout > 0 {
				r.Header.Set(TimeoutHeader, "1000")
			}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}
