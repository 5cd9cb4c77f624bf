package dapr_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/dapr/daprd"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/test/servers"
)

// given is a real daprd. The comparison with it is only made where somebody has one: it takes many minutes to compile.
var given = flag.String("daprd", "", "path of a daprd that the API is compared with")

// question is asked of both, in order. Times that pass between questions are the caller's.
type question struct{ method, path, body string }

// answer is what is compared: code, kind and meaning of the body.
type answer struct {
	code   int
	kind   string
	tagged bool
	body   any
}

// deliberate are the questions to which other answers are meant to be given, and why.
var deliberate = map[question]string{
	{"POST", "/v1.0/publish/topics/", `{}`}:     "what is missing is said, where daprd takes an address that it does not know for a call of another application",
	{"PATCH", "/v1.0/state/store", ""}:          "a method that an address does not know is said to be one, for the same reason",
	{"POST", "/v1.0-alpha1/lock/nowhere", `{}`}: "locks are not offered at all",
}

// stateQuestions are those to a state store.
func stateQuestions(store string) []question {
	at := "/v1.0/state/" + store
	return []question{
		{"GET", at + "/none", ""},
		{"POST", at, `[{"key":"a","value":{"x":1}},{"key":"b","value":"text"},{"key":"n","value":null}]`},
		{"GET", at + "/a", ""}, {"GET", at + "/b", ""}, {"GET", at + "/n", ""},
		{"POST", at, `[{"key":"a","value":2,"etag":"77777","options":{"concurrency":"first-write"}}]`},
		{"DELETE", at + "/none", ""},
		{"POST", at + "/bulk", `{"keys":["a","none"]}`},
		{"POST", at + "/bulk", `{`},
		{"POST", at + "/transaction", `{"operations":[{"operation":"upsert","request":{"key":"c","value":3}},{"operation":"delete","request":{"key":"b"}}]}`},
		{"GET", at + "/b", ""}, {"GET", at + "/c", ""},
		{"POST", at + "/transaction", `{"operations":[{"operation":"burn","request":{"key":"c"}}]}`},
		{"POST", at + "/transaction", `{"operations":[]}`},
		{"POST", at, `[{"value":1}]`}, {"POST", at, `{}`}, {"POST", at, `not json`}, {"POST", at, `[]`},
		{"GET", at + "/a%7C%7Cb", ""},
		{"POST", at, `[{"key":"t","value":1,"metadata":{"ttlInSeconds":"1000"}}]`}, {"GET", at + "/t", ""},
		{"POST", at, `[{"key":"t","value":1,"metadata":{"ttlInSeconds":"soon"}}]`},
		{"PUT", at, `[{"key":"p","value":1}]`}, {"GET", at + "/p", ""},
		{"DELETE", at + "/a", ""}, {"GET", at + "/a", ""},
	}
}

// otherQuestions are those to the rest.
func otherQuestions() []question {
	return []question{
		{"GET", "/v1.0/state/nowhere/a", ""}, {"POST", "/v1.0/state/nowhere", `[{"key":"a","value":1}]`}, {"POST", "/v1.0/state/nowhere/transaction", `{"operations":[]}`},
		{"POST", "/v1.0/publish/nowhere/t", `{}`}, {"POST", "/v1.0/publish/topics/t", `{"a":1}`}, {"POST", "/v1.0/publish/topics/", `{}`},
		{"POST", "/v1.0/publish/topics/t?metadata.rawPayload=true", `x`}, {"POST", "/v1.0-alpha1/publish/bulk/topics/t", `[{"entryId":"1","event":"a","contentType":"text/plain"}]`},
		{"POST", "/v1.0-alpha1/publish/bulk/topics/t", `[]`}, {"POST", "/v1.0-alpha1/publish/bulk/topics/t", `not json`}, {"POST", "/v1.0-alpha1/publish/bulk/nowhere/t", `[]`},
		{"POST", "/v1.0/bindings/nowhere", `{"operation":"create"}`}, {"POST", "/v1.0/bindings/cache", `{"operation":"create","data":"v","metadata":{"key":"k"}}`},
		{"POST", "/v1.0/bindings/cache", `{"operation":"get","metadata":{"key":"k"}}`}, {"POST", "/v1.0/bindings/cache", `{"operation":"burn"}`}, {"POST", "/v1.0/bindings/cache", `not json`},
		{"POST", "/v1.0/bindings/cache", `{}`},
		{"GET", "/v1.0/secrets/nowhere/a", ""}, {"GET", "/v1.0/secrets/env/OFN_NOTHING", ""}, {"GET", "/v1.0/secrets/nowhere/bulk", ""},
		{"GET", "/v1.0/configuration/nowhere", ""}, {"GET", "/v1.0-alpha1/configuration/nowhere", ""},
		{"GET", "/v1.0/healthz", ""}, {"GET", "/v1.0/healthz/outbound", ""},
		{"GET", "/v1.0/nothing", ""}, {"GET", "/", ""}, {"PATCH", "/v1.0/state/store", ""},
		{"POST", "/v1.0-alpha1/state/sqlite/query", `{}`}, {"POST", "/v1.0-alpha1/lock/nowhere", `{}`},
	}
}

func TestAgainstDaprd(t *testing.T) {
	if *given == "" {
		t.Skip("compares the API with a real daprd: -daprd PATH")
	}
	redis := servers.Redis(t)
	world := func(db, sqlite string) []event.Component {
		return []event.Component{
			component("memory", "state.in-memory"), component("sqlite", "state.sqlite", "connectionString", sqlite),
			component("redis", "state.redis", "redisHost", redis.Addr, "redisDB", db), component("topics", "pubsub.redis", "redisHost", redis.Addr, "redisDB", "0"),
			component("cache", "bindings.redis", "redisHost", redis.Addr, "redisDB", db), component("env", "secretstores.local.env"),
		}
	}
	p := newPlatform(t)
	for _, c := range world("1", "state.db") {
		p.component(c)
		p.ready(event.KindComponent, c.Name.Name)
	}
	ours, theirs := p.serve(name("fn")), startDaprd(t, world("2", filepath.Join(t.TempDir(), "state.db")))
	var all []question
	for _, store := range []string{"memory", "sqlite", "redis"} {
		all = append(all, stateQuestions(store)...)
	}
	for _, q := range append(all, otherQuestions()...) {
		code, body, header := ours.http(q.method, q.path, q.body)
		us, them := read(code, body, header), theirs.ask(t, q)
		if why, meant := deliberate[q]; !reflect.DeepEqual(us, them) && !meant {
			t.Errorf("%s %s %s\n  daprd: %+v\n  ofn:   %+v", q.method, q.path, q.body, them, us)
		} else if meant && reflect.DeepEqual(us, them) {
			t.Errorf("%s %s %s: the same answer, although %s", q.method, q.path, q.body, why)
		}
	}
}

// read makes answers comparable: entity tags are each store's own, and the texts of errors each implementation's.
func read(code int, body string, header http.Header) answer {
	a := answer{code: code, tagged: header.Get("ETag") != ""}
	a.kind, _, _ = strings.Cut(header.Get("Content-Type"), ";")
	if err := json.Unmarshal([]byte(body), &a.body); err != nil {
		a.body = body
	}
	a.body = bare(a.body)
	return a
}

// bare takes out what differs between any two stores and texts.
func bare(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range []string{"etag", "message", "description", "ttlExpireTime"} {
			if v[key] != nil {
				v[key] = "..."
			}
		}
		for _, inner := range v {
			bare(inner)
		}
		return v
	case []any:
		for _, inner := range v {
			bare(inner)
		}
	}
	return v
}

// real is a daprd.
type real struct{ address string }

// startDaprd starts it with components, written as they are for copies of functions, and ends it with the test.
func startDaprd(t *testing.T, components []event.Component) real {
	t.Helper()
	dir := t.TempDir()
	files, err := daprd.Files(event.App{}, components)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if err := os.WriteFile(filepath.Join(dir, file), files[file], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var said bytes.Buffer
	ports := []string{port(t), port(t), port(t)}
	cmd := exec.Command(*given, "--app-id", "fn-ns", "--resources-path", dir, "--enable-metrics=false", "--dapr-listen-addresses", "127.0.0.1",
		"--dapr-http-port", ports[0], "--dapr-grpc-port", ports[1], "--dapr-internal-grpc-port", ports[2], "--dapr-internal-grpc-listen-address", "127.0.0.1")
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("daprd said:\n%s", said.String())
		}
	})
	r := real{"http://127.0.0.1:" + ports[0]}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		resp, err := http.Get(r.address + "/v1.0/healthz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode < 300 {
				return r
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("daprd is not ready: %v", err)
		}
	}
}

func port(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func (r real) ask(t *testing.T, q question) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), q.method, r.address+q.path, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	if q.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(fmt.Errorf("asking daprd: %w", err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return read(resp.StatusCode, string(body), resp.Header)
}
