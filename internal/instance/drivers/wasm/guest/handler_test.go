package guest

import (
	"net/http"
	"testing"
)

func TestParseHead(t *testing.T) {
	for in, want := range map[string]int{
		"200": 200, "404 Not Found\r\n": 404, "HTTP/1.1 201 Created\r\nX-A: 1\r\n\r\n": 201, "200 OK\nX-A: 1\nX-A: 2": 200,
		"": 0, "fine": 0, "99": 0, "600": 0, "101 Switching": 0, "200\r\nno colon": 0, "200\r\n: x": 0,
	} {
		code, h, err := ParseHead([]byte(in))
		if code != want || (err != nil) != (want == 0) {
			t.Errorf("%q: %d %v %v, want %d", in, code, h, err, want)
		}
	}
	if _, h, _ := ParseHead([]byte("200 OK\nx-a: 1\nX-A: 2")); len(h.Values("X-A")) != 2 {
		t.Errorf("header %v", h)
	}
	if _, _, err := ParseHead(make([]byte, maxHead+1)); err == nil {
		t.Error("a head of any size is taken")
	}
}

func FuzzParseHead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"))
	f.Add([]byte("404"))
	f.Fuzz(func(t *testing.T, p []byte) {
		code, h, err := ParseHead(p)
		if err != nil {
			return
		}
		if code < 200 || code > 599 {
			t.Fatalf("code %d", code)
		}
		for k := range h {
			if k == "" || http.CanonicalHeaderKey(k) != k && h.Get(k) != "" {
				t.Fatalf("header %q", h)
			}
		}
	})
}
