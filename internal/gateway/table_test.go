package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/activator"
)

// namedRule makes a rule whose backend is a revision of that name.
func namedRule(t testing.TB, name string, matches ...Match) Rule {
	t.Helper()
	r := activator.New(activator.Options{Namespace: "n", Name: name})
	t.Cleanup(r.Close)
	return Rule{Matches: matches, Backends: []Backend{{Revision: r, Weight: 1}}}
}

func path(kind MatchType, v string) Match { return Match{Path: PathMatch{kind, v}} }

func TestPrecedence(t *testing.T) {
	withHeader := func(m Match, n int) Match {
		for _, name := range []string{"X-One", "X-Two"}[:n] {
			m.Headers = append(m.Headers, ValueMatch{Name: name, Value: "1"})
		}
		return m
	}
	withQuery := func(m Match) Match {
		m.Query = []ValueMatch{{Name: "q", Value: "1"}}
		return m
	}
	table := tableOf(t,
		Route{Hosts: []string{"*"}, Rules: []Rule{namedRule(t, "any")}},
		Route{Hosts: []string{"*.example"}, Rules: []Rule{namedRule(t, "below"), namedRule(t, "below-only", path(Exact, "/only"))}},
		Route{Hosts: []string{"*.b.example"}, Rules: []Rule{namedRule(t, "deeper")}},
		Route{Hosts: []string{"a.example"}, Rules: []Rule{
			namedRule(t, "prefix", path(PathPrefix, "/p")),
			namedRule(t, "longer", path(PathPrefix, "/p/long/")),
			namedRule(t, "exact", path(Exact, "/p/long")),
			namedRule(t, "regexp", path(RegularExpression, "/r/[0-9]+")),
			namedRule(t, "regexp-prefix", path(PathPrefix, "/r")),
			namedRule(t, "method", Match{Path: PathMatch{PathPrefix, "/p"}, Method: "PUT"}),
			namedRule(t, "one-header", withHeader(path(PathPrefix, "/p"), 1)),
			namedRule(t, "two-headers", withHeader(path(PathPrefix, "/p"), 2)),
			namedRule(t, "query", withQuery(path(PathPrefix, "/p"))),
			namedRule(t, "second", path(PathPrefix, "/p")),
		}},
	)
	tests := []struct {
		host, target, method, headers, want string
	}{
		{"a.example", "/p", "GET", "", "prefix"},
		{"A.Example.:8080", "/p", "GET", "", "prefix"},
		{"a.example", "/p/x", "GET", "", "prefix"},
		{"a.example", "/px", "GET", "", "below"},
		{"a.example", "/p/long", "GET", "", "exact"},
		{"a.example", "/p/long/x", "GET", "", "longer"},
		{"a.example", "/p/lon%67", "GET", "", "exact"},
		{"a.example", "/r/12", "GET", "", "regexp"},
		{"a.example", "/r/12x", "GET", "", "regexp-prefix"},
		{"a.example", "/p", "PUT", "", "method"},
		{"a.example", "/p", "GET", "X-One: 1\r\n", "one-header"},
		{"a.example", "/p", "GET", "x-one: 1\r\nx-two: 1\r\n", "two-headers"},
		{"a.example", "/p", "GET", "X-One: 2\r\n", "prefix"},
		{"a.example", "/p?q=1", "GET", "", "query"},
		{"a.example", "/p?q=1", "GET", "X-One: 1\r\n", "one-header"},
		{"a.example", "/only", "GET", "", "below-only"},
		{"x.example", "/", "GET", "", "below"},
		{"x.y.example", "/", "GET", "", "below"},
		{"x.b.example", "/", "GET", "", "deeper"},
		{"b.example", "/", "GET", "", "below"},
		{"example", "/", "GET", "", "any"},
		{"[::1]:80", "/", "GET", "", "any"},
		{"", "/", "GET", "", "any"},
	}
	for _, tt := range tests {
		t.Run(tt.host+tt.target+" "+tt.method+tt.headers, func(t *testing.T) {
			version := "1.1"
			if tt.host == "" {
				version = "1.0"
			}
			raw := tt.method + " " + tt.target + " HTTP/" + version + "\r\n" + tt.headers
			if tt.host != "" {
				raw += "Host: " + tt.host + "\r\n"
			}
			q, _, _, err := parseAll([]byte(raw+"\r\n"), 0)
			if err != nil {
				t.Fatal(err)
			}
			e, p := table.find(&asked{str(q.host), str(q.path), str(q.query), str(q.method), &q.head})
			if p != nil || e.rule.backends[0].label != "n/"+tt.want {
				t.Errorf("got %+v, %v; want %s", e, p, tt.want)
			}
		})
	}
}

func TestWeights(t *testing.T) {
	revs := []*activator.Revision{activator.New(activator.Options{Name: "a"}), activator.New(activator.Options{Name: "b"}), activator.New(activator.Options{Name: "c"})}
	table := tableOf(t, Route{Hosts: []string{"*"}, Rules: []Rule{{Backends: []Backend{
		{Revision: revs[0], Weight: 75}, {Revision: revs[1], Weight: 25}, {Revision: revs[2], Weight: 0}}}}})
	got := map[string]int{}
	for range 10000 {
		e, _ := table.find(&asked{host: "x", path: "/"})
		got[e.rule.pick().label]++
	}
	if got["/a"] < 7200 || got["/a"] > 7800 || got["/c"] != 0 || got["/a"]+got["/b"] != 10000 {
		t.Errorf("got %v", got)
	}
}

func TestTableRefuses(t *testing.T) {
	rev := activator.New(activator.Options{})
	ok := []Backend{{Revision: rev, Weight: 1}}
	tests := map[string]Route{
		"wildcard inside":      {Hosts: []string{"a.*.example"}, Rules: []Rule{{Backends: ok}}},
		"partial wildcard":     {Hosts: []string{"*a.example"}, Rules: []Rule{{Backends: ok}}},
		"empty host":           {Hosts: []string{""}, Rules: []Rule{{Backends: ok}}},
		"bad expression":       {Hosts: []string{"*"}, Rules: []Rule{{Backends: ok, Matches: []Match{path(RegularExpression, "(")}}}},
		"unknown type":         {Hosts: []string{"*"}, Rules: []Rule{{Backends: ok, Matches: []Match{path("Glob", "*")}}}},
		"negative weight":      {Hosts: []string{"*"}, Rules: []Rule{{Backends: []Backend{{Revision: rev, Weight: -1}}}}},
		"no revision":          {Hosts: []string{"*"}, Rules: []Rule{{Backends: []Backend{{Weight: 1}}}}},
		"header with line end": {Hosts: []string{"*"}, Rules: []Rule{{Backends: ok, Filters: Filters{Request: HeaderFilter{Set: []Header{{"A", "b\r\nC: d"}}}}}}},
		"header of framing":    {Hosts: []string{"*"}, Rules: []Rule{{Backends: ok, Filters: Filters{Response: HeaderFilter{Add: []Header{{"Content-Length", "1"}}}}}}},
		"redirect code":        {Hosts: []string{"*"}, Rules: []Rule{{Filters: Filters{Redirect: &Redirect{Code: 200}}}}},
		"redirect path":        {Hosts: []string{"*"}, Rules: []Rule{{Filters: Filters{Redirect: &Redirect{Path: &PathModifier{Value: "/a\r\nX: y"}}}}}},
		"rewrite host":         {Hosts: []string{"*"}, Rules: []Rule{{Backends: ok, Filters: Filters{Rewrite: &Rewrite{Hostname: "a b"}}}}},
	}
	for name, r := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := NewTable([]Route{r}); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// TestFilters checks that both sides, the hop by hand and net/http, change the same.
func TestFilters(t *testing.T) {
	rev := revisionOf(t, activator.Options{}, serveCopy(t, "a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Remove", "1")
		w.Header().Set("X-Set", "theirs")
		w.Header().Set("X-Add", "theirs")
		io.WriteString(w, strings.Join([]string{r.Host, r.RequestURI, r.Header.Get("X-Remove"),
			strings.Join(r.Header.Values("X-Set"), ","), strings.Join(r.Header.Values("X-Add"), ",")}, " "))
	})))
	change := HeaderFilter{Set: []Header{{"X-Set", "ours"}}, Add: []Header{{"X-Add", "ours"}}, Remove: []string{"x-remove"}}
	b := []Backend{{Revision: rev, Weight: 1}}
	g := start(t, Options{}, tableOf(t, Route{Hosts: []string{"*"}, Rules: []Rule{
		{Matches: []Match{path(PathPrefix, "/headers")}, Filters: Filters{Request: change, Response: change}, Backends: b},
		{Matches: []Match{path(PathPrefix, "/prefix")}, Backends: b,
			Filters: Filters{Rewrite: &Rewrite{Hostname: "new.example", Path: &PathModifier{ReplacePrefix: true, Value: "/"}}}},
		{Matches: []Match{path(PathPrefix, "/full")}, Backends: b,
			Filters: Filters{Rewrite: &Rewrite{Path: &PathModifier{Value: "/whole"}}}},
		{Matches: []Match{path(PathPrefix, "/moved")},
			Filters: Filters{Redirect: &Redirect{Scheme: "https", Hostname: "new.example", Port: 8443, Code: 301, Path: &PathModifier{ReplacePrefix: true, Value: "/to"}}}},
		{Matches: []Match{path(Exact, "/secure")}, Filters: Filters{Redirect: &Redirect{Scheme: "https"}}},
	}}))
	for _, h2 := range []bool{false, true} {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(!h2)
		protocols.SetUnencryptedHTTP2(h2)
		client := &http.Client{
			Transport:     &http.Transport{Protocols: protocols},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		get := func(target string) (*http.Response, string) {
			req, _ := http.NewRequest("GET", g.url(target), nil)
			req.Host = "old.example:81"
			for _, n := range []string{"X-Remove", "X-Set", "X-Add"} {
				req.Header.Set(n, "client")
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			return resp, string(body)
		}
		for target, want := range map[string]string{
			"/headers?q":    "old.example:81 /headers?q  ours client,ours",
			"/prefix/a%2Fb": "new.example /a%2Fb client client client",
			"/prefix":       "new.example / client client client",
			"/%70refix/x":   "new.example /x client client client",
			"/full/x?q=1":   "old.example:81 /whole?q=1 client client client",
		} {
			resp, body := get(target)
			if body != want {
				t.Errorf("http2 %v %s: got %q, want %q", h2, target, body, want)
			}
			if target == "/headers?q" && (resp.Header.Get("X-Remove") != "" || resp.Header.Get("X-Set") != "ours" || len(resp.Header.Values("X-Add")) != 2) {
				t.Errorf("http2 %v: answer %v", h2, resp.Header)
			}
		}
		for target, want := range map[string]string{
			"/moved/x%20y?q": "https://new.example:8443/to/x%20y?q",
			"/secure":        "https://old.example/secure",
		} {
			if resp, _ := get(target); resp.Header.Get("Location") != want || resp.StatusCode/100 != 3 {
				t.Errorf("http2 %v %s: %d %q, want %q", h2, target, resp.StatusCode, resp.Header.Get("Location"), want)
			}
		}
		client.CloseIdleConnections()
	}
}

func TestNoBackend(t *testing.T) {
	g := start(t, Options{}, tableOf(t, Route{Hosts: []string{"*"}, Rules: []Rule{{}}}))
	resp, err := http.Get(g.url("/"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("got %d %v", resp.StatusCode, resp.Header)
	}
}

// TestFindAllocatesNothing keeps routing off the heap.
func TestFindAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	table := tableOf(t, Route{Hosts: []string{"a.example", "*.b.example"}, Rules: []Rule{
		namedRule(t, "x", path(PathPrefix, "/x")), namedRule(t, "y", Match{Headers: []ValueMatch{{Name: "X-A", Value: "1"}}})}})
	q, _, _, err := parseAll([]byte("GET /y HTTP/1.1\r\nHost: Z.B.example:80\r\nX-A: 1\r\n\r\n"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		a := asked{str(q.host), str(q.path), str(q.query), str(q.method), &q.head}
		if _, p := table.find(&a); p != nil {
			t.Fatal(p)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
