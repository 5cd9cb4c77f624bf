package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// echo answers with what it was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if strings.HasSuffix(r.URL.Path, "/fail") {
		w.WriteHeader(http.StatusTeapot)
	}
	fmt.Fprintf(w, "%s %s?%s %s %s %s %q", r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Get("Content-Type"), r.Header.Get("Ce-Type"), r.Header.Get("X-A"), body)
}

func TestInvoke(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.json")
	if err := os.WriteFile(file, []byte("[1]"), 0o600); err != nil {
		t.Fatal(err)
	}
	const base = "/ofn/v1/namespaces/default/functions/hello/invoke"
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "GET " + base + `/?    ""`},
		{[]string{"a/b?x=1"}, "GET " + base + `/a/b?x=1    ""`},
		{[]string{"-d", `{"a":1}`}, "POST " + base + `/? application/json   "{\"a\":1}"`},
		{[]string{"-d", `text`, "-X", "put", "-H", "X-A: b"}, "PUT " + base + `/? text/plain; charset=utf-8  b "text"`},
		{[]string{"-d", `@` + file}, "POST " + base + `/? application/json   "[1]"`},
		{[]string{"-d", `@-`}, "POST " + base + `/? application/octet-stream   "input"`},
		{[]string{"--file", file, "-H", "Content-Type: text/csv"}, "POST " + base + `/? text/csv   "[1]"`},
		{[]string{"--cloudevent", "--type", "t1", "-d", "{}"}, "POST " + base + `/? application/json t1  "{}"`},
		{[]string{"--path", "a/b?x=1"}, "GET " + base + `/a/b?x=1    ""`},
		{[]string{"--json"}, "POST " + base + `/? application/json   "null"`},
		{[]string{"--json", "-d", "[1]"}, "POST " + base + `/? application/json   "[1]"`},
	} {
		f := withHello(t)
		f.extra = http.HandlerFunc(echo)
		out, errs, err := f.runWith(t, "input", append([]string{"invoke", "hello"}, c.args...)...)
		if err != nil || out != c.want {
			t.Errorf("%v: %v %s\ngot  %s\nwant %s", c.args, err, errs, out, c.want)
		}
	}
}

func TestInvokeAtAPath(t *testing.T) {
	f := withHello(t)
	f.extra = http.HandlerFunc(echo)
	for _, name := range []string{"hello/a/b", "fn/hello/a/b", "function/hello/a/b"} {
		if out, errs, err := f.run(t, "invoke", name); err != nil || !strings.Contains(out, "/hello/invoke/a/b?") {
			t.Errorf("%s: %v %s %s", name, err, out, errs)
		}
	}
	for _, c := range []struct{ args, want string }{
		{"invoke hello/a b", "the path is given twice, as a and b"},
		{"invoke hello/a --path b", "the path is given twice"},
		{"invoke hello --json -d {", "the body is not JSON"},
	} {
		if _, _, err := f.run(t, strings.Fields(c.args)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.args, err)
		}
	}
}

// The id of a failure leads to the log.
func TestInvokeTellsTheErrorID(t *testing.T) {
	f := withHello(t)
	f.extra = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-OpenFunction-Error-Id", "0123456789abcdef")
		w.WriteHeader(http.StatusInternalServerError)
	})
	_, errs, err := f.run(t, "invoke", "hello")
	if !errors.Is(err, ExitCode(1)) || !strings.Contains(errs, "id 0123456789abcdef: `ofn logs hello`") {
		t.Errorf("%v\n%s", err, errs)
	}
}

func TestInvokeOfAFailure(t *testing.T) {
	f := withHello(t)
	f.extra = http.HandlerFunc(echo)
	out, errs, err := f.run(t, "invoke", "hello", "fail", "-i")
	if !errors.Is(err, ExitCode(1)) || !strings.HasPrefix(out, "GET ") || !strings.Contains(errs, "HTTP/1.1 418") || !strings.Contains(errs, "hello answered 418") {
		t.Errorf("%v\n%s\n%s", err, out, errs)
	}
}

func TestInvokeOfWhatIsNotReady(t *testing.T) {
	f := newFakeAPI(t)
	f.extra = http.HandlerFunc(echo)
	f.put(t, "apiVersion: core.openfunction.io/v1beta2\nkind: Function\nmetadata: {name: slow}\nspec: {image: x}\nstatus: {conditions: [{type: Ready, status: Unknown, reason: Building}]}\n")
	_, errs, err := f.run(t, "invoke", "slow", "fail")
	if !errors.Is(err, ExitCode(1)) || !strings.Contains(errs, "it is not ready (Building); follow it with `ofn get slow -w`") {
		t.Errorf("%v\n%s", err, errs)
	}
}

func TestInvokeOnAClusterUsesTheAddress(t *testing.T) {
	f := newFakeAPI(t)
	f.version = "v1.33.0"
	f.extra = http.HandlerFunc(echo)
	// Names below localhost are this machine, whatever its resolver knows.
	for _, base := range []string{f.URL, strings.Replace(f.URL, "127.0.0.1", "hello.default.localhost", 1)} {
		f.put(t, strings.ReplaceAll(hello, "http://hello.default.localhost:8080/", base+"/ofn/base/"))
		out, errs, err := f.run(t, "invoke", "hello", "/x")
		if err != nil || !strings.HasPrefix(out, "GET /ofn/base/x?") {
			t.Errorf("%s: %v\n%s\n%s", base, err, out, errs)
		}
	}
}
