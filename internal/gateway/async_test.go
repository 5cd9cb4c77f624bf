package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/activator"
)

// taker is an Async that tells what it was asked.
type taker struct{}

func (taker) Accept(w http.ResponseWriter, r *http.Request, namespace, function string) {
	body, _ := io.ReadAll(r.Body)
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, "accept %s/%s %s %s%s %s", namespace, function, r.Method, r.Host, r.URL.RequestURI(), body)
}

func (taker) Call(w http.ResponseWriter, r *http.Request, namespace, function string) {
	fmt.Fprintf(w, "call %s/%s %s %s", namespace, function, r.Method, r.URL.Path)
}

func (taker) Host(namespace, function string) string { return function + "." + namespace + ".svc" }

func TestAsync(t *testing.T) {
	rev := revisionOf(t, activator.Options{}, serveCopy(t, "a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "function %s %s", r.URL.Path, r.Header.Get("Prefer"))
	})))
	to := []Backend{{Revision: rev, Weight: 1}}
	table := tableOf(t,
		Route{Hosts: []string{"f.example", "f.ns.svc"}, Namespace: "ns", Function: "f", Rules: []Rule{{Backends: to},
			{Matches: []Match{{Path: PathMatch{Value: "/moved"}}}, Filters: Filters{Redirect: &Redirect{Hostname: "else.example"}}}}},
		Route{Hosts: []string{"g.default.svc"}, Namespace: "default", Function: "g", Rules: []Rule{{}}},
		Route{Hosts: []string{"plain.example"}, Rules: []Rule{{Backends: to}}},
	)
	with, without := start(t, Options{Async: taker{}}, table), start(t, Options{}, table)
	for name, tc := range map[string]struct {
		method, host, path, prefer string
		code                       int
		want                       string
	}{
		"preferred":                      {"POST", "f.example", "/a%20b?q=1", "respond-async", 202, "accept ns/f POST f.example/a%20b?q=1 body"},
		"among other preferences":        {"GET", "f.example", "/", `return=minimal, Respond-Async; x="y", wait=10`, 202, "accept ns/f GET f.example/ "},
		"another preference":             {"GET", "f.example", "/", "return=minimal", 200, "function / return=minimal"},
		"like one":                       {"GET", "f.example", "/", "respond-async-not", 200, "function / respond-async-not"},
		"a redirect is answered":         {"GET", "f.example", "/moved", "respond-async", 302, ""},
		"a reserved path":                {"GET", "f.example", "/_ofn/x", "respond-async", 404, "not found"},
		"of no function":                 {"GET", "plain.example", "/", "respond-async", 200, "function / respond-async"},
		"by name":                        {"POST", "127.0.0.1", "/async/ns/f/x/y%2Fz?q", "", 202, "accept ns/f POST f.ns.svc/x/y%2Fz?q body"},
		"by name, no path":               {"GET", "127.0.0.1", "/async/ns/f", "", 202, "accept ns/f GET f.ns.svc/ "},
		"by name in default":             {"GET", "127.0.0.1", "/async/g", "", 202, "accept default/g GET g.default.svc/ "},
		"by name in default with slash":  {"GET", "127.0.0.1", "/async/g/", "", 202, "accept default/g GET g.default.svc/ "},
		"an unknown name":                {"GET", "127.0.0.1", "/async/ns/unknown", "", 404, "no function"},
		"a name with a path inside":      {"GET", "127.0.0.1", "/async/ns%2Ff/x", "", 400, "malformed"},
		"a reserved path by name":        {"GET", "127.0.0.1", "/async/ns/f/_ofn/x", "", 404, "not found"},
		"no name":                        {"GET", "127.0.0.1", "/async/", "", 404, "no function"},
		"a function's own async path":    {"GET", "f.example", "/async/ns/f", "", 200, "function /async/ns/f "},
		"a call under its function":      {"GET", "f.example", "/_ofn/calls/x", "", 200, "call ns/f GET /_ofn/calls/x"},
		"a call under no function":       {"DELETE", "127.0.0.1", "/_ofn/calls/x/result", "", 200, "call / DELETE /_ofn/calls/x/result"},
		"a call under one without name":  {"GET", "plain.example", "/_ofn/calls/x", "", 404, "not found"},
		"other reserved paths stay ours": {"GET", "f.example", "/_ofn/callsx", "", 404, "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, client := range []*http.Client{{CheckRedirect: stay}, http2Client(t)} {
				client.CheckRedirect = stay
				code, body := askAsync(t, client, with, tc.method, tc.host, tc.path, tc.prefer)
				if code != tc.code || !strings.HasPrefix(body, tc.want) {
					t.Errorf("h2c %v: got %d %q, want %d %q", client.Transport != nil, code, body, tc.code, tc.want)
				}
				if code, body := askAsync(t, client, without, tc.method, tc.host, tc.path, tc.prefer); strings.HasPrefix(body, "accept") || strings.HasPrefix(body, "call") {
					t.Errorf("without Async: %d %q", code, body)
				}
			}
		})
	}
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func askAsync(t *testing.T, client *http.Client, g *running, method, host, path, prefer string) (int, string) {
	t.Helper()
	var body io.Reader
	if method == "POST" {
		body = strings.NewReader("body")
	}
	r, err := http.NewRequest(method, g.url(path), body)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	if prefer != "" {
		r.Header.Set("Prefer", prefer)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// A connection goes on after an asynchronous request, with those that are waited for and those that are not.
func TestAsyncOnAConnectionThatIsKept(t *testing.T) {
	rev := revisionOf(t, activator.Options{}, serveCopy(t, "a", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "function") })))
	g := start(t, Options{Async: taker{}}, tableOf(t, Route{Hosts: []string{"*"}, Namespace: "ns", Function: "f", Rules: []Rule{{Backends: []Backend{{Revision: rev, Weight: 1}}}}}))
	c := g.dial(t)
	r := bufio.NewReader(c)
	for _, prefer := range []string{"", "Prefer: respond-async\r\n", "", "Prefer: wait=1\r\nPrefer: respond-async\r\n"} {
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\n%sContent-Length: 4\r\n\r\nbody", prefer)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if want := map[bool]string{true: "accept ns/f POST x/ body", false: "function"}[prefer != ""]; err != nil || string(body) != want {
			t.Errorf("%q: got %q %v, want %q", prefer, body, err, want)
		}
	}
}
