package gateway

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/activator"
)

func TestTimeLeft(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		deadline time.Duration // 0 is none
		client   string
		want     int64
	}{
		{0, "", 0},
		{0, "250", 250},
		{time.Second, "", 1000},
		{time.Second, "250", 250},
		{time.Second, "5000", 1000},
		{-time.Second, "", 1},
		{time.Second, "0", 1000},
		{time.Second, "-5", 1000},
		{time.Second, "+5", 1000},
		{time.Second, "5ms", 1000},
		{time.Second, "1000000000000", 1000},
	} {
		deadline := time.Time{}
		if c.deadline != 0 {
			deadline = now.Add(c.deadline)
		}
		if got := timeLeft(deadline, now, parseTimeout([]byte(c.client))); got != c.want {
			t.Errorf("%v left, the client says %q: got %d, want %d", c.deadline, c.client, got, c.want)
		}
	}
}

// What frameworks are told, what they tell, and what is theirs alone, over both protocols on both sides.
func TestContract(t *testing.T) {
	framework := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-OpenFunction-Function", "orders")
		fmt.Fprintf(w, "%s %s", r.URL.Path, strings.Join(r.Header.Values("X-OpenFunction-Timeout-Ms"), ","))
	})
	for _, h2c := range []bool{false, true} {
		for _, client := range []*http.Client{new(http.Client), http2Client(t)} {
			t.Run(fmt.Sprintf("copy h2c %v client h2c %v", h2c, client.Transport != nil), func(t *testing.T) {
				m := &recorder{}
				rev := revisionOf(t, activator.Options{H2C: h2c, Timeout: 20 * time.Second}, serveCopy(t, "a", framework))
				strip := Rule{
					Matches:  []Match{{Path: PathMatch{Value: "/fn"}}},
					Filters:  Filters{Rewrite: &Rewrite{Path: &PathModifier{ReplacePrefix: true, Value: "/"}}},
					Backends: []Backend{{Revision: rev, Weight: 1}},
				}
				plain := Rule{Backends: []Backend{{Revision: rev, Weight: 1}}}
				g := start(t, Options{Metrics: m}, tableOf(t, Route{Hosts: []string{"*"}, Rules: []Rule{strip, plain}}))
				for path, want := range map[string]int{"/x": 200, "/_ofnx": 200, "/_ofn/health": 404, "/%5fofn/specialise": 404, "/fn/_ofn/health": 404, "/fn/x": 200} {
					if resp, body := askOver(t, client, g.url(path), ""); resp.StatusCode != want || resp.Header.Get("X-OpenFunction-Function") != "" {
						t.Errorf("%s: %d %s %v", path, resp.StatusCode, body, resp.Header)
					}
				}
				for said, most := range map[string]int{"": 20000, "300": 300, "90000": 20000, "x": 20000} {
					_, body := askOver(t, client, g.url("/x"), said)
					got, err := strconv.Atoi(strings.TrimPrefix(body, "/x "))
					if err != nil || got > most || got < most-10000 || got < 1 {
						t.Errorf("the client says %q: the copy sees %q, want at most %d", said, body, most)
					}
				}
				g.stop() // what was answered is counted before the end
				if err := <-g.done; err != nil {
					t.Error(err)
				}
				g.done <- nil
				m.mu.Lock()
				defer m.mu.Unlock()
				if len(m.functions) != 7 || slices.ContainsFunc(m.functions, func(s string) bool { return s != "default/rev orders 200" }) {
					t.Errorf("counted %v", m.functions)
				}
			})
		}
	}
}

func http2Client(t *testing.T) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: protocols}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func askOver(t *testing.T, client *http.Client, url, timeout string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if timeout != "" {
		r.Header.Set("X-OpenFunction-Timeout-Ms", timeout)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}
