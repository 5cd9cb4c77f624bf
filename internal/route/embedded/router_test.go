package embedded_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/gateway"
	"github.com/openfunction/ofn/internal/route"
	"github.com/openfunction/ofn/internal/route/embedded"
)

// platform is a gateway on loopback, its router, and revisions that answer "<name> <method> <host> <path>" with the header X as
// they got it.
type platform struct {
	t      *testing.T
	r      *embedded.Router
	swaps  int
	url    string
	g      *gateway.Gateway
	mu     sync.Mutex
	known  map[string]*activator.Revision
	client *http.Client
}

// Swap implements embedded.Swapper.
func (p *platform) Swap(t *gateway.Table) { p.swaps++; p.g.Swap(t) } // one at a time, under the lock of the router

func newPlatform(t *testing.T) *platform {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{t: t, g: gateway.New(gateway.Options{DrainTimeout: time.Second}), url: "http://" + l.Addr().String(), known: map[string]*activator.Revision{}}
	p.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	p.r = embedded.New(p, func(namespace, name string) *activator.Revision {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.known[namespace+"/"+name]
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.g.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-ended })
	return p
}

// target is a copy behind a unix socket.
type target struct{ id, path string }

func (c target) ID() string { return c.id }

func (c target) Dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", c.path)
}

// revise brings in a revision of the namespace "ns".
func (p *platform) revise(name string) *activator.Revision {
	p.t.Helper()
	path := filepath.Join(p.t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		p.t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Got", strings.Join(r.Header.Values("X"), ","))
		fmt.Fprintf(w, "%s %s %s %s", name, r.Method, r.Host, r.URL.RequestURI())
	})}
	var wg sync.WaitGroup
	wg.Go(func() { s.Serve(l) })
	rev := activator.New(activator.Options{Namespace: "ns", Name: name})
	rev.Add(target{name, path})
	p.t.Cleanup(func() { rev.Close(); s.Close(); wg.Wait() })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known["ns/"+name] = rev
	return rev
}

func (p *platform) forget(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, "ns/"+name)
}

// get asks for host and path and returns the answer.
func (p *platform) get(host, path string) (*http.Response, string) {
	p.t.Helper()
	r, err := http.NewRequest(http.MethodGet, p.url+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Host = host
	r.Header["X"] = []string{"client"}
	answer, err := p.client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer, string(body)
}

func (p *platform) want(host, path string, code int, body string) {
	p.t.Helper()
	answer, got := p.get(host, path)
	if answer.StatusCode != code || body != "" && got != body {
		p.t.Errorf("%s%s answers %d %q, want %d %q", host, path, answer.StatusCode, got, code, body)
	}
}

func (p *platform) set(r route.Route) {
	p.t.Helper()
	if err := p.r.Set(r); err != nil {
		p.t.Fatal(err)
	}
}

// to is a route of the function to one revision.
func to(fn, revision string, hosts ...string) route.Route {
	return route.Route{Key: route.Key{Namespace: "ns", Name: fn}, Hosts: hosts, Backends: []route.Backend{{Revision: revision, Weight: 1}}}
}

func TestSetAndDelete(t *testing.T) {
	p := newPlatform(t)
	p.revise("a-1")
	p.revise("a-2")
	p.want("a.org", "/", 404, "")
	p.set(to("a", "a-1", "a.org", "*.wild.org"))
	p.want("a.org", "/x?y=1", 200, "a-1 GET a.org /x?y=1")
	p.want("b.wild.org", "/", 200, "a-1 GET b.wild.org /")
	p.set(to("a", "a-2", "a.org"))
	p.want("a.org", "/", 200, "a-2 GET a.org /")
	p.want("b.wild.org", "/", 404, "")
	swaps := p.swaps
	p.set(to("a", "a-2", "a.org"))
	if p.swaps != swaps {
		t.Error("the same route makes another table")
	}
	for range 2 {
		if err := p.r.Delete(route.Key{Namespace: "ns", Name: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	p.want("a.org", "/", 404, "")
	if p.swaps != swaps+1 {
		t.Errorf("%d tables for one deletion", p.swaps-swaps)
	}
}

// A route may come before its revisions, and a revision may be replaced by another of its name.
func TestRevisionsComeLate(t *testing.T) {
	p := newPlatform(t)
	r := to("a", "a-1", "a.org")
	r.Tags = []route.Tag{{Name: "next", Revision: "a-2", Hosts: []string{"next-a.org"}}}
	p.set(r)
	p.want("a.org", "/", 503, "")
	p.revise("a-1")
	p.want("a.org", "/", 503, "")
	refresh := func() {
		t.Helper()
		if err := p.r.Refresh(); err != nil {
			t.Fatal(err)
		}
	}
	refresh()
	p.want("a.org", "/", 200, "a-1 GET a.org /")
	p.want("next-a.org", "/", 503, "")
	p.revise("a-2")
	refresh()
	p.want("next-a.org", "/", 200, "a-2 GET next-a.org /")
	swaps := p.swaps
	refresh()
	if p.swaps != swaps {
		t.Error("nothing has changed and there is another table")
	}
	p.revise("a-1")
	p.set(r) // notices what Refresh would
	if p.swaps != swaps+1 {
		t.Error("the table still has the revision before")
	}
	p.forget("a-2")
	refresh()
	p.want("next-a.org", "/", 503, "")
	p.want("a.org", "/", 200, "a-1 GET a.org /")
}

func TestRefused(t *testing.T) {
	p := newPlatform(t)
	p.revise("a-1")
	bad := to("a", "a-1", "a.org")
	bad.Rules = []route.Rule{{Matches: []route.Match{{Path: route.PathMatch{Type: "RegularExpression", Value: "("}}}}}
	if err := p.r.Set(bad); err == nil || !strings.Contains(err.Error(), "route of ns/a: ") {
		t.Errorf("error is %v", err)
	}
	if p.swaps != 0 {
		t.Error("a refused route is in effect")
	}
	p.set(to("a", "a-1", "a.org"))
	if err := p.r.Set(bad); err == nil {
		t.Error("no error")
	}
	p.want("a.org", "/", 200, "a-1 GET a.org /")
	p.set(to("b", "a-1", "b.org")) // the others go on
	p.want("b.org", "/", 200, "a-1 GET b.org /")
	p.want("a.org", "/", 200, "a-1 GET a.org /")
}

// Where two functions claim a host the first by name has it, whatever the order they came in.
func TestDeterministic(t *testing.T) {
	for _, order := range [][]string{{"a", "b"}, {"b", "a"}} {
		p := newPlatform(t)
		for _, fn := range order {
			p.revise(fn + "-1")
			p.set(to(fn, fn+"-1", "shared.org"))
		}
		p.want("shared.org", "/", 200, "a-1 GET shared.org /")
	}
}

func TestWeights(t *testing.T) {
	p := newPlatform(t)
	p.revise("a-1")
	p.revise("a-2")
	r := to("a", "a-1", "a.org")
	r.Backends = []route.Backend{{Revision: "a-1", Weight: 1}, {Revision: "a-2", Weight: 1}, {Revision: "a-3", Weight: 98}} // the last is not there
	p.set(r)
	seen := map[string]int{}
	for range 64 {
		_, body := p.get("a.org", "/")
		seen[strings.Fields(body)[0]]++
	}
	if seen["a-1"] == 0 || seen["a-2"] == 0 || len(seen) != 2 {
		t.Errorf("requests went to %v", seen)
	}
}

func TestRules(t *testing.T) {
	p := newPlatform(t)
	p.revise("a-1")
	prefix := func(path string) []route.Match {
		return []route.Match{{Path: route.PathMatch{Type: "PathPrefix", Value: path}}}
	}
	r := to("a", "a-1", "a.org")
	r.Rules = []route.Rule{
		{Matches: []route.Match{{Path: route.PathMatch{Type: "Exact", Value: "/exact"}, Method: "GET", Headers: []route.ValueMatch{{Type: "Exact", Name: "x", Value: "client"}},
			Query: []route.ValueMatch{{Type: "RegularExpression", Name: "q", Value: "[0-9]+"}}}}},
		{Matches: prefix("/set"), Filters: []route.Filter{{RequestHeaders: &route.HeaderFilter{Set: []route.Header{{Name: "X", Value: "set"}}}},
			{RequestHeaders: &route.HeaderFilter{Add: []route.Header{{Name: "X", Value: "added"}}}}}},
		{Matches: prefix("/remove"), Filters: []route.Filter{{RequestHeaders: &route.HeaderFilter{Remove: []string{"X"}}}, {ResponseHeaders: &route.HeaderFilter{Set: []route.Header{{Name: "Got", Value: "hidden"}}}}}},
		{Matches: prefix("/rewrite"), Filters: []route.Filter{{Rewrite: &route.Rewrite{Hostname: "inner", Path: &route.PathModifier{Type: "ReplacePrefixMatch", Value: "/new"}}}}},
		{Matches: prefix("/full"), Filters: []route.Filter{{Rewrite: &route.Rewrite{Path: &route.PathModifier{Type: "ReplaceFullPath", Value: "/whole"}}}}},
		{Matches: prefix("/redirect"), Filters: []route.Filter{{Redirect: &route.Redirect{Scheme: "https", Hostname: "h.org", Port: 444, Status: 308, Path: &route.PathModifier{Type: "ReplaceFullPath", Value: "/there"}}}}},
	}
	p.set(r)
	p.want("a.org", "/exact?q=12", 200, "a-1 GET a.org /exact?q=12")
	p.want("a.org", "/exact?q=x", 404, "")
	p.want("a.org", "/other", 404, "")
	p.want("a.org", "/rewrite/a", 200, "a-1 GET inner /new/a")
	p.want("a.org", "/full/a", 200, "a-1 GET a.org /whole")
	for path, want := range map[string]string{"/set": "set,added", "/remove": "hidden"} {
		if answer, _ := p.get("a.org", path); answer.Header.Get("Got") != want {
			t.Errorf("%s: X is %q, want %q", path, answer.Header.Get("Got"), want)
		}
	}
	if answer, _ := p.get("a.org", "/redirect/x"); answer.StatusCode != 308 || answer.Header.Get("Location") != "https://h.org:444/there" {
		t.Errorf("redirect is %d to %q", answer.StatusCode, answer.Header.Get("Location"))
	}
}

// Routes and revisions change while requests are made: none may fail, and the race detector may find nothing.
func TestChangesUnderLoad(t *testing.T) {
	p := newPlatform(t)
	p.revise("a-1")
	p.revise("a-2")
	p.set(to("a", "a-1", "a.org"))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				var err error
				switch i {
				case 0:
					err = p.r.Set(to("a", fmt.Sprintf("a-%d", 1+n%2), "a.org"))
				case 1:
					err = p.r.Set(to("b", "a-1", fmt.Sprintf("b%d.org", n%7)))
				case 2:
					err = p.r.Refresh()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 100 {
		if answer, body := p.get("a.org", "/"); answer.StatusCode != 200 {
			t.Errorf("answers %d %q", answer.StatusCode, body)
		}
	}
	close(stop)
	wg.Wait()
}
