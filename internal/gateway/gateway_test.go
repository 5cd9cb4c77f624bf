package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/activator"
)

// echo answers with what it was asked.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("X-Seen-Host", r.Host)
	fmt.Fprintf(w, "%s %s %d", r.Method, r.RequestURI, len(body))
})

func TestForwardsBodies(t *testing.T) {
	g := start(t, Options{}, everything(t, revisionOf(t, activator.Options{}, serveCopy(t, "a", echo))))
	for _, n := range []int{0, 1, 13, 4000, 5000, 33000, 70000, 1 << 20} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d bytes chunked %v", n, chunked), func(t *testing.T) {
				var body io.Reader = bytes.NewReader(make([]byte, n))
				if chunked {
					body = io.MultiReader(body)
				}
				resp, err := http.Post(g.url("/p?q=1"), "text/plain", body)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				if want := fmt.Sprintf("POST /p?q=1 %d", n); err != nil || string(got) != want {
					t.Errorf("got %q, %v; want %q", got, err, want)
				}
			})
		}
	}
}

func TestForwardsAnswers(t *testing.T) {
	sizes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n, declared int
		fmt.Sscanf(r.URL.Path, "/%d/%d", &n, &declared)
		if declared == 1 {
			w.Header().Set("Content-Length", fmt.Sprint(n))
		}
		io.Copy(w, io.LimitReader(zero{}, int64(n)))
	})
	g := start(t, Options{}, everything(t, revisionOf(t, activator.Options{}, serveCopy(t, "a", sizes))))
	for _, n := range []int{0, 1, 13, 4000, 5000, 33000, 70000, 300000, 5 << 20} {
		for declared := range 2 {
			resp, err := http.Get(g.url(fmt.Sprintf("/%d/%d", n, declared)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || len(got) != n {
				t.Errorf("%d bytes, declared %d: got %d, %v", n, declared, len(got), err)
			}
		}
	}
}

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestUnknownHost(t *testing.T) {
	rev := revisionOf(t, activator.Options{}, serveCopy(t, "a", echo))
	m := &recorder{}
	g := start(t, Options{Metrics: m}, tableOf(t, Route{Hosts: []string{"known.example"},
		Rules: []Rule{{Backends: []Backend{{Revision: rev, Weight: 1}}}}}))
	resp, err := http.Get(g.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 404 || !strings.Contains(string(body), "no function is served under this host") {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
	if len(m.refused) != 1 || m.refused[0] != "no-route 404" {
		t.Errorf("metrics: %v", m.refused)
	}
}
