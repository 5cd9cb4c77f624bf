package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/event"
)

func TestParsePath(t *testing.T) {
	for path, want := range map[string]route{
		"/v1.0/publish/bus/a/b":      {"v1.0", "publish", []string{"bus", "a", "b"}, "bus/a/b"},
		"/v1.0/state/s/a%2Fb":        {"v1.0", "state", []string{"s", "a/b"}, "s/a%2Fb"},
		"/v1.0-alpha1/state/s/query": {"v1.0-alpha1", "state", []string{"s", "query"}, "s/query"},
		"/v1.0/healthz":              {"v1.0", "healthz", nil, ""},
		"/v1.0/invoke/a/method//x/":  {"v1.0", "invoke", []string{"a", "method", "", "x", ""}, "a/method//x/"},
		"/":                          {},
		"/v2.0/state/s/a":            {},
		"/v1.0":                      {},
		"/v1.0/":                     {},
		"/state/v1.0":                {},
	} {
		got, ok, err := parsePath(path)
		if err != nil || ok != (want.version != "") || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v %v %v", path, got, ok, err)
		}
	}
	if _, _, err := parsePath("/v1.0/state/%zz"); err == nil {
		t.Error("a broken escape is taken")
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"/v1.0/publish/bus/a", "/v1.0/invoke/a/method/b", "/v1.0/%2e%2e/x", "//", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r, ok, err := parsePath(path)
		if err == nil && ok && (r.block == "" || strings.Contains(r.block, "/")) {
			t.Errorf("%+v", r)
		}
		_, _ = r.arg(0), r.from(1)
	})
}

// Whatever a function writes into a path, the request goes to a host of its own namespace.
func FuzzInvokeTarget(f *testing.F) {
	for _, s := range []string{"/v1.0/invoke/fn/method/a", "/v1.0/invoke/http:%2f%2fevil/method/a", "/v1.0/invoke/a@b/method/..", "/v1.0/invoke/fn.other/method/x", "/x"} {
		f.Add(s, "")
		f.Add(s, "fn")
	}
	f.Fuzz(func(t *testing.T, path, id string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || u.Host != "" {
			return
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = u
		if id != "" {
			r.Header["Dapr-App-Id"] = []string{id}
		}
		parsed, _, err := parsePath(u.EscapedPath())
		if err != nil {
			return
		}
		c := &caller{Server: &Server{o: Options{ClusterDomain: "cluster.local"}}, app: event.Name{Namespace: "ns", Name: "me"}}
		q := &request{c, nil, r, parsed}
		to, method := q.findTarget()
		if to == "" || strings.ContainsAny(to, "/:@?#[]%\\ \t\r\n.") {
			return
		}
		out, err := q.methodURL(event.Name{Namespace: "ns", Name: to}, method)
		if err != nil {
			return
		}
		if out.Host != to+".ns.svc.cluster.local" || !strings.HasPrefix(out.Path, "/") || strings.Contains(out.Path+"/", "/../") && !strings.Contains(method, "%") {
			t.Errorf("%s -> %s", path, out)
		}
	})
}

func TestCodeOf(t *testing.T) {
	for status := 300; status < 600; status++ {
		if codeOf(status) == 0 {
			t.Errorf("%d is OK", status)
		}
	}
}

func TestEventBytes(t *testing.T) {
	for _, test := range []struct {
		event, kind, want string
		bad               bool
	}{
		{`"aGk="`, "application/octet-stream", "hi", false},
		{`"%"`, "application/octet-stream", "", true},
		{`{"a":1}`, "application/json", `{"a":1}`, false},
		{`"text"`, "text/plain", "text", false},
		{`{"a":1}`, "text/plain", "", true},
		{`1`, "", "", true},
	} {
		got, err := eventBytes([]byte(test.event), test.kind)
		if string(got) != test.want || (err != nil) != test.bad {
			t.Errorf("%s as %s: %q %v", test.event, test.kind, got, err)
		}
	}
}
