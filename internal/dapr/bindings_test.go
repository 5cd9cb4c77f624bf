package dapr_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/test/servers"
)

// output is a function with an output binding named "out".
type output struct{ *api }

func withOutput(t *testing.T, typ string, metadata ...string) output {
	t.Helper()
	p := newPlatform(t)
	c := component("out", typ, metadata...)
	c.InitTimeout = patience
	p.component(c)
	p.ready(event.KindComponent, "out")
	return output{p.serve(name("fn"))}
}

// do invokes an operation; data is JSON, metadata are pairs.
func (o output) do(operation, data string, metadata ...string) string {
	o.t.Helper()
	return o.must("POST", "/v1.0/bindings/out", call(operation, data, metadata...))
}

// refuses invokes an operation that fails, and is the message.
func (o output) refuses(operation, data string, metadata ...string) string {
	o.t.Helper()
	return o.fails("POST", "/v1.0/bindings/out", call(operation, data, metadata...), http.StatusInternalServerError, "ERR_INVOKE_OUTPUT_BINDING")
}

func call(operation, data string, metadata ...string) string {
	meta := map[string]string{}
	for i := 0; i < len(metadata); i += 2 {
		meta[metadata[i]] = metadata[i+1]
	}
	req := map[string]any{"operation": operation, "metadata": meta}
	if data != "" {
		req["data"] = json.RawMessage(data)
	}
	text, err := json.Marshal(req)
	if err != nil {
		panic(err) // data of the test is no JSON
	}
	return string(text)
}

func TestMail(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a mail server")
	}
	s := servers.SMTP(t, servers.Password("secret"))
	host, port, _ := strings.Cut(s.Addr, ":")
	metadata := []string{"host", host, "port", port, "user", s.User, "emailFrom", "me@example.com", "emailTo", "you@example.com", "subject", "Hello"}
	out := withOutput(t, "bindings.smtp", append(metadata, "password", s.Password)...)
	came := s.Came()
	out.do("create", `"<b>hi</b>"`, "emailCC", "them@example.com", "subject", "Greetings")
	<-came
	m := s.Mails()[0]
	if m.From != "me@example.com" || strings.Join(m.To, " ") != "you@example.com them@example.com" {
		t.Errorf("from %s to %s", m.From, m.To)
	}
	for _, want := range []string{"Subject: Greetings", "text/html", "<b>hi</b>"} {
		if !strings.Contains(string(m.Data), want) {
			t.Errorf("no %q in\n%s", want, m.Data)
		}
	}
	if says := withOutput(t, "bindings.smtp", append(metadata, "password", "wrong")...).refuses("create", `"x"`); strings.Contains(says, "wrong") && !strings.Contains(says, "wrong user") {
		t.Errorf("it tells the password: %s", says)
	}
	if n := len(s.Mails()); n != 1 {
		t.Errorf("%d mails", n)
	}
}

func TestObjects(t *testing.T) {
	if testing.Short() {
		t.Skip("starts an object store")
	}
	s := servers.S3(t)
	out := withOutput(t, "bindings.aws.s3", "endpoint", s.URL, "bucket", "things", "region", "us-east-1", "accessKey", s.Key, "secretKey", s.Secret, "forcePathStyle", "true")
	if said := out.do("create", `{"n":1}`, "key", "a/b.json"); !strings.Contains(said, "a/b.json") {
		t.Errorf("create says %s", said)
	}
	if got := out.do("get", "", "key", "a/b.json"); got != `{"n":1}` {
		t.Errorf("get gives %q", got)
	}
	if got := out.do("list", `{"prefix":"a/"}`); !strings.Contains(got, "a/b.json") {
		t.Errorf("list gives %s", got)
	}
	out.do("delete", "", "key", "a/b.json")
	out.refuses("get", "", "key", "a/b.json")
}

func TestRequests(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/root/broken" {
			w.WriteHeader(http.StatusTeapot)
		}
		_, _ = fmt.Fprintf(w, "%s %s %s %s", r.Method, r.URL.Path, r.Header.Get("X-Mine"), body)
	}))
	t.Cleanup(web.Close)
	out := withOutput(t, "bindings.http", "url", web.URL+"/root")
	if got := out.do("post", `{"n":1}`, "path", "/sub", "X-Mine", "yes"); got != `POST /root/sub yes {"n":1}` {
		t.Errorf("post: %q", got)
	}
	if got := out.do("get", ""); got != "GET /root  " {
		t.Errorf("get: %q", got)
	}
	out.refuses("delete", "", "path", "/broken")
	if got := out.do("delete", "", "path", "/broken", "errorIfNot2XX", "false"); !strings.HasPrefix(got, "DELETE /root/broken") {
		t.Errorf("an answer that is to be no error: %q", got)
	}
}

func TestKeys(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real Redis")
	}
	out := withOutput(t, "bindings.redis", "redisHost", pool.Get(t, servers.Redis).Addr)
	out.do("create", `"v"`, "key", "bound")
	if got := out.do("get", "", "key", "bound"); got != `"v"` {
		t.Errorf("get: %q", got)
	}
	out.do("delete", "", "key", "bound")
	if got := out.do("get", "", "key", "bound"); got != "" {
		t.Errorf("it was not deleted: %q", got)
	}
	out.do("increment", "", "key", "count")
	out.do("increment", "", "key", "count")
	if got := out.do("get", "", "key", "count"); got != "2" {
		t.Errorf("after two increments: %q", got)
	}
}

func TestStatements(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real databases")
	}
	for typ, c := range map[string]struct {
		metadata       func(t *testing.T) []string
		params, insert string
	}{
		"bindings.postgresql": {func(t *testing.T) []string { return []string{"connectionString", pool.Get(t, servers.PostgreSQL).URL} },
			"params", "INSERT INTO bound VALUES ($1, $2)"},
		"bindings.mysql": {func(t *testing.T) []string {
			return []string{"url", pool.Get(t, servers.MariaDB).URL + "?allowNativePasswords=true"}
		},
			"params", "INSERT INTO bound VALUES (?, ?)"},
	} {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			out := withOutput(t, typ, c.metadata(t)...)
			out.do("exec", "", "sql", "CREATE TABLE bound (id INT, name VARCHAR(100))")
			_, _, header := out.http("POST", "/v1.0/bindings/out", call("exec", "", "sql", c.insert, c.params, `[1, "it's"]`))
			if n := header.Get("metadata.rows-affected"); n != "1" {
				t.Errorf("%s rows affected", n)
			}
			if got := out.do("query", "", "sql", "SELECT id, name FROM bound"); !strings.Contains(got, "it's") {
				t.Errorf("query: %s", got)
			}
			out.refuses("exec", "", "sql", "DROP TABLE nowhere")
		})
	}
}

func TestFiles(t *testing.T) {
	out := withOutput(t, "bindings.localstorage", "rootPath", "/things")
	out.do("create", `"hello"`, "fileName", "a/b.txt")
	if got := out.do("get", "", "fileName", "a/b.txt"); got != "hello" && got != `"hello"` {
		t.Errorf("get: %q", got)
	}
	if got := out.do("list", "", "fileName", "a"); !strings.Contains(got, "b.txt") {
		t.Errorf("list: %s", got)
	}
	for _, outside := range []string{"../../../../etc/passwd", "/etc/passwd"} {
		if code, body, _ := out.http("POST", "/v1.0/bindings/out", call("get", "", "fileName", outside)); code == http.StatusOK {
			t.Errorf("%s is read: %s", outside, body)
		}
	}
	out.do("delete", "", "fileName", "a/b.txt")
	out.refuses("get", "", "fileName", "a/b.txt")
}
