package calls

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestHeadersOfARequest(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	r := httptest.NewRequest("PUT", "http://f.ns/a%20b?q=1", nil)
	for name, value := range map[string]string{HeaderDelay: "1m30s", HeaderMaxAge: "60", HeaderAttempts: "4", HeaderRetryOn: "418, 5XX", HeaderRetryDelay: "2s",
		HeaderRetryMaxDelay: "1h", HeaderTimeout: "1500", HeaderOnSuccess: "function:after/x/y", HeaderOnFailure: "topic:mine/failures", HeaderKey: "k",
		"Prefer": "respond-async", "Connection": "X-Hop", "X-Hop": "1", "X-Own": "stays"} {
		r.Header.Set(name, value)
	}
	c, err := FromRequest(r, Name{"ns", "f"}, now)
	if err != nil {
		t.Fatal(err)
	}
	if c.Host != "f.ns" || c.Method != "PUT" || c.Path != "/a%20b?q=1" || !c.NotBefore.Equal(now.Add(90*time.Second)) || c.MaxAge != time.Minute ||
		c.Policy.Attempts != 4 || c.Policy.Retry.String() != "418, 5xx" || c.Policy.Initial != 2*time.Second || c.Policy.Max != time.Hour || c.Deadline != 1500*time.Millisecond ||
		c.OnSuccess.String() != "function:ns/after/x/y" || c.OnFailure.String() != "topic:mine/failures" || c.Key != "k" {
		t.Errorf("%+v %s %s", c, c.OnSuccess, c.OnFailure)
	}
	if len(c.Header) != 2 || c.Header.Get("X-Own") != "stays" || c.Header.Get(HeaderKey) != "k" {
		t.Errorf("the call keeps %v", c.Header)
	}
}

func TestBadHeadersAreToldByName(t *testing.T) {
	for name, values := range map[string][]string{
		HeaderDelay:         {"-1s", "soon", "99999999h"},
		HeaderNotBefore:     {"tomorrow", "2099-01-01T00:00:00Z"},
		HeaderMaxAge:        {"-60"},
		HeaderAttempts:      {"0", "101", "many"},
		HeaderRetryOn:       {"200", "9xx", "x", "2xx", ","},
		HeaderRetryDelay:    {"1"[:0] + "x"},
		HeaderRetryMaxDelay: {"1e3"},
		HeaderTimeout:       {"0", "1s"},
		HeaderOnSuccess:     {"function:", "function:Bad_Name", "topic:a/b c", "ftp://x", "https://", "https://user:pw@example.org/", "f"},
		HeaderOnFailure:     {"topic:*", "topic:a/>"},
	} {
		for _, v := range values {
			r := httptest.NewRequest("GET", "http://f.ns/", nil)
			r.Header.Set(name, v)
			_, err := FromRequest(r, Name{"ns", "f"}, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
			if !errors.Is(err, ErrInvalid) || name != HeaderNotBefore && !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %s: %v", name, v, err)
			}
		}
	}
	r := httptest.NewRequest("GET", "http://f.ns/", nil)
	r.Header[HeaderDelay] = []string{"1s", "2s"}
	if _, err := FromRequest(r, Name{"ns", "f"}, time.Now()); !errors.Is(err, ErrInvalid) {
		t.Errorf("two delays: %v", err)
	}
}

// What is accepted can be run, and reads back as what it was.
func FuzzHeaders(f *testing.F) {
	f.Add(HeaderDelay, "1m", "/a?b")
	f.Add(HeaderOnSuccess, "function:a/b", "/")
	f.Add(HeaderOnFailure, "https://example.org/x", "/%zz")
	f.Add(HeaderRetryOn, "404,5xx", "*")
	f.Fuzz(func(t *testing.T, name, value, path string) {
		r := httptest.NewRequest("POST", "http://f.ns/", nil)
		r.Header = http.Header{http.CanonicalHeaderKey(name): {value}}
		r.URL.Opaque = path
		c, err := FromRequest(r, Name{"ns", "f"}, time.Unix(1e9, 0))
		if err != nil {
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrTooLarge) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		for _, d := range []*Destination{c.OnSuccess, c.OnFailure} {
			if d == nil {
				continue
			}
			again, err := ParseDestination(d.String(), "ns")
			if err != nil || again.String() != d.String() {
				t.Errorf("%q becomes %q: %v", d, again, err)
			}
		}
		if _, err := encode((&Calls{}).newRecord(&c, time.Unix(1e9, 0))); err != nil {
			t.Error(err)
		}
		h, body, err := unframe(frame(c.Header, []byte("body")))
		if err != nil || string(body) != "body" || len(h) > len(c.Header) {
			t.Errorf("%q %q %v", h, body, err)
		}
	})
}

func FuzzUnframe(f *testing.F) {
	f.Add([]byte("A: b\r\n\r\nbody"))
	f.Add([]byte("\r\n"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _, _ = unframe(data) })
}
