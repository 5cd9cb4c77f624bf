package worker

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCGIResponse(t *testing.T) {
	for name, c := range map[string]struct {
		out, body, typ, location string
		code                     int
		fails                    bool
	}{
		"nothing":              {code: 200},
		"plain":                {out: "hello", code: 200, body: "hello"},
		"plain lines":          {out: "hello\n\nworld\n", code: 200, body: "hello\n\nworld\n"},
		"looks like a header":  {out: "note: this is no header\n\nas there is no type\n", code: 200, body: "note: this is no header\n\nas there is no type\n"},
		"type":                 {out: "Content-Type: text/x\n\nbody", code: 200, typ: "text/x", body: "body"},
		"carriage returns":     {out: "content-type: text/x\r\nStatus: 404 Not Found\r\n\r\nbody\r\n", code: 404, typ: "text/x", body: "body\r\n"},
		"status only":          {out: "Status: 204\n\n", code: 204},
		"location":             {out: "Location: /there\n\n", code: 302, location: "/there"},
		"no empty line":        {out: "Content-Type: text/x\n", code: 200, body: "Content-Type: text/x\n"},
		"json":                 {out: "{\"a\": 1}\n\n", code: 200, body: "{\"a\": 1}\n\n"},
		"a long line":          {out: "Content-Type: " + strings.Repeat("x", maxHead), code: 200, body: "Content-Type: " + strings.Repeat("x", maxHead)},
		"status is not a code": {out: "Status: fine\n\n", fails: true},
	} {
		for _, step := range []int{1, 7, 1 << 20} {
			w := httptest.NewRecorder()
			r := &cgiResponse{to: w}
			err := inSteps(r, c.out, step)
			if err == nil {
				err = r.finish()
			}
			if (err != nil) != c.fails {
				t.Errorf("%s by %d: %v", name, step, err)
			}
			if c.fails {
				continue
			}
			body := w.Body.String()
			if w.Code != c.code || body != c.body || c.typ != "" && w.Header().Get("Content-Type") != c.typ || w.Header().Get("Location") != c.location || w.Header().Get("Status") != "" {
				t.Errorf("%s by %d: %d %v %.100q", name, step, w.Code, w.Header(), body)
			}
		}
	}
}

func inSteps(w io.Writer, s string, step int) error {
	for len(s) > 0 {
		n := min(step, len(s))
		if _, err := io.WriteString(w, s[:n]); err != nil {
			return err
		}
		s = s[n:]
	}
	return nil
}

// FuzzCGIResponse: whatever a program writes arrives, and in whatever pieces it comes makes no difference.
func FuzzCGIResponse(f *testing.F) {
	f.Add("Content-Type: text/x\r\nStatus: 201\r\n\r\nbody", 3)
	f.Add("plain\n\nbody", 1)
	f.Add("Status: 99\n\n", 2)
	f.Fuzz(func(t *testing.T, out string, step int) {
		if step < 1 {
			step = 1
		}
		whole, pieces := httptest.NewRecorder(), httptest.NewRecorder()
		a, b := &cgiResponse{to: whole}, &cgiResponse{to: pieces}
		errA, errB := inSteps(a, out, 1<<30), inSteps(b, out, step)
		if errA == nil {
			errA = a.finish()
		}
		if errB == nil {
			errB = b.finish()
		}
		if (errA == nil) != (errB == nil) || whole.Code != pieces.Code || whole.Body.String() != pieces.Body.String() {
			t.Fatalf("whole: %v %d %q; in pieces of %d: %v %d %q", errA, whole.Code, whole.Body, step, errB, pieces.Code, pieces.Body)
		}
		if errA == nil && !strings.HasSuffix(out, whole.Body.String()) {
			t.Fatalf("%q became %q", out, whole.Body)
		}
	})
}

func FuzzCGIEnv(f *testing.F) {
	f.Add("X-Word", "value", "/a?b")
	f.Fuzz(func(t *testing.T, name, value, path string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path = path
		r.Header[name] = []string{value}
		for _, kv := range cgiEnv(r) {
			if strings.HasPrefix(kv, "HTTP_PROXY=") && http.CanonicalHeaderKey(name) == "Proxy" {
				t.Fatalf("%q", kv)
			}
			if name != "" && !strings.ContainsAny(name, "=\x00") && strings.HasPrefix(kv, "=") {
				t.Fatalf("%q", kv)
			}
		}
	})
}
