package lambda

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/framework/shim/host"
	"github.com/openfunction/ofn/framework/shim/shimtest"
)

// The test binary is the bootstrap when it is told to be.
func TestMain(m *testing.M) {
	if api := os.Getenv("AWS_LAMBDA_RUNTIME_API"); api != "" {
		bootstrap("http://" + api + "/2018-06-01/runtime/")
	}
	os.Exit(m.Run())
}

func bootstrap(api string) {
	post := func(path, contentType string, body io.Reader, head http.Header) int {
		req, _ := http.NewRequest(http.MethodPost, api+path, body)
		for k, v := range head {
			req.Header[k] = v
		}
		if contentType != "" {
			req.Header.Set("Content-Type", contentType)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			os.Exit(9)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	switch os.Getenv("START") {
	case "exit":
		os.Exit(4)
	case "init":
		post("init/error", "", strings.NewReader(`{"errorType":"Config","errorMessage":"no table"}`), nil)
		os.Exit(1)
	}
	for {
		resp, err := http.Get(api + "invocation/next")
		if err != nil {
			os.Exit(0)
		}
		data, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		id := resp.Header.Get("Lambda-Runtime-Aws-Request-Id")
		var e struct{ RawPath, Body string }
		_ = json.Unmarshal(data, &e)
		answer := func(text string) {
			if code := post("invocation/"+id+"/response", "application/json", strings.NewReader(text), nil); code != http.StatusAccepted {
				fmt.Fprintln(os.Stderr, "the answer got", code)
			}
		}
		stream := http.Header{"Lambda-Runtime-Function-Response-Mode": {"streaming"}}
		switch e.RawPath {
		case "/exit":
			os.Exit(3)
		case "/hang":
			time.Sleep(time.Hour)
		case "/error":
			post("invocation/"+id+"/error", "", strings.NewReader(`{"errorType":"Bad","errorMessage":"the secret cause","stackTrace":["a.go:1"]}`), nil)
		case "/full":
			answer(`{"statusCode":418,"headers":{"X-A":"b","X-N":7},"multiValueHeaders":{"x-m":["1","2"]},"cookies":["c=1","d=2"],"body":"aMOp","isBase64Encoded":true}`)
		case "/text":
			answer(`"only text"`)
		case "/object":
			answer(`{"a":1}`)
		case "/badcode":
			answer(`{"statusCode":7}`)
		case "/badbase64":
			answer(`{"statusCode":200,"body":"***","isBase64Encoded":true}`)
		case "/large":
			answer(`"` + strings.Repeat("x", 1<<20) + `"`)
		case "/stream":
			post("invocation/"+id+"/response", httpStream, strings.NewReader(`{"statusCode":201,"headers":{"X-A":"b"},"cookies":["c=1"]}`+"\x00\x00\x00\x00\x00\x00\x00\x00"+"first second"), stream)
		case "/badstream":
			post("invocation/"+id+"/response", httpStream, strings.NewReader("no prelude"), stream)
		default:
			answer(fmt.Sprintf(`{"statusCode":200,"headers":{"content-type":"text/plain"},"body":%q}`, fmt.Sprintf("%s|%s|%s|%v", data, resp.Header.Get("Lambda-Runtime-Trace-Id"),
				resp.Header.Get("Lambda-Runtime-Invoked-Function-Arn"), resp.Header.Get("Lambda-Runtime-Deadline-Ms") != "")))
		}
	}
}

func start(t *testing.T, raw bool, env host.Env) (url string, log *shimtest.Log) {
	t.Helper()
	log = &shimtest.Log{}
	c, err := New([]string{os.Args[0]}, raw, env, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	r := shimtest.Serve(t, c)
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	})
	return r.URL, log
}

func call(t *testing.T, url, body string) (*http.Response, string) {
	t.Helper()
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		data = append(data, " broken"...)
	}
	return resp, string(data)
}

// impatient is a call whose caller waits for half a second.
func impatient(url string) (code int, got string) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("X-OpenFunction-Timeout-Ms", "500")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body) // compared
	return resp.StatusCode, string(data)
}

func TestHTTP(t *testing.T) {
	url, log := start(t, false, host.Env{"exec_timeout": "1m", "K_SERVICE": "fn", "OFN_MAX_BODY": "500000"})
	for _, c := range []struct {
		path string
		code int
		says string
		log  string
	}{
		{"/full", 418, "hé", ""},
		{"/text", 200, "only text", ""},
		{"/object", 200, `{"a":1}`, ""},
		{"/badcode", 500, "internal error, id ", "statusCode 7"},
		{"/badbase64", 500, "internal error, id ", "not base64"},
		{"/large", 500, "internal error, id ", "returned more than 500000 bytes"},
		{"/error", 500, "internal error, id ", "Bad: the secret cause"},
		{"/stream", 201, "first second", ""},
		{"/badstream", 500, "internal error, id ", "eight zero bytes"},
		{"/exit", 500, "internal error, id ", "ended with exit code 3"},
		{"/text", 200, "only text", "is started again"},
		{"/hang", 504, "the function ran too long", "did not answer in time"},
		{"/text", 200, "only text", ""},
	} {
		var code int
		var got string
		if c.path == "/hang" {
			code, got = impatient(url + c.path)
		} else {
			var resp *http.Response
			resp, got = call(t, url+c.path, "{}")
			code = resp.StatusCode
		}
		if code != c.code || !strings.HasPrefix(got, c.says) || !strings.Contains(log.String(), c.log) || strings.Contains(got, "secret") {
			t.Errorf("%s: got %d %.100q, want %d %q and %q in\n%s", c.path, code, got, c.code, c.says, c.log, log)
		}
	}
	resp, _ := call(t, url+"/full", "")
	if h := resp.Header; h.Get("X-A") != "b" || h.Get("X-N") != "7" || len(h["X-M"]) != 2 || len(h["Set-Cookie"]) != 2 || h.Get("Content-Type") != "application/json" {
		t.Errorf("headers are %v", resp.Header)
	}
}

func TestInvokeAPI(t *testing.T) {
	url, _ := start(t, false, host.Env{})
	url += "/2015-03-31/functions/fn/invocations"
	if resp, got := call(t, url, `{"rawPath":"/object"}`); resp.StatusCode != 200 || got != `{"a":1}` || resp.Header.Get("X-Amz-Function-Error") != "" {
		t.Errorf("got %d %s", resp.StatusCode, got)
	}
	if resp, got := call(t, url, `{"rawPath":"/error"}`); resp.StatusCode != 200 || !strings.Contains(got, "the secret cause") || resp.Header.Get("X-Amz-Function-Error") != "Unhandled" {
		t.Errorf("got %d %s", resp.StatusCode, got)
	}
	if resp, got := call(t, url, `no json`); resp.StatusCode != 400 {
		t.Errorf("got %d %s", resp.StatusCode, got)
	}
}

func TestRaw(t *testing.T) {
	url, _ := start(t, true, host.Env{"AWS_REGION": "eu-1"})
	if _, got := call(t, url, `{"own":1}`); !strings.Contains(got, `{\"own\":1}|Root=1-`) || !strings.Contains(got, `|arn:aws:lambda:eu-1:000000000000:function:function|true`) {
		t.Errorf("got %s", got)
	}
}

// More programs take more events at the same time.
func TestProcesses(t *testing.T) {
	url, _ := start(t, false, host.Env{"OFN_LAMBDA_PROCESSES": "2", "exec_timeout": "1m"})
	slow := make(chan int, 1)
	go func() {
		code, _ := impatient(url + "/hang")
		slow <- code
	}()
	for range 5 {
		if resp, _ := call(t, url+"/text", ""); resp.StatusCode != 200 {
			t.Errorf("got %d", resp.StatusCode)
		}
	}
	if code := <-slow; code != 504 {
		t.Errorf("the slow one got %d", code)
	}
}

// An event that was answered is not late, however late one looks: its program has another one by now, and is not to be killed.
func TestAnsweredInTime(t *testing.T) {
	for range 200 {
		c := &Contract{events: make(chan *invocation, 1)}
		inv := &invocation{deadline: time.Now(), done: make(chan outcome, 1)}
		inv.settle(outcome{data: []byte("answer")})
		if o := c.run(t.Context(), inv); o.err != nil && len(c.events) > 0 {
			t.Fatalf("an event that was answered gets %v", o.err)
		}
	}
}

func TestBadStarts(t *testing.T) {
	for how, says := range map[string]string{"exit": "ended with exit code 4 before it asked for an event", "init": "could not start: Config: no table"} {
		c, err := New([]string{os.Args[0]}, false, host.Env{"START": how}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(t.Context()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v", how, err)
		}
	}
	c, err := New([]string{"/nowhere"}, false, host.Env{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "command not found") {
		t.Errorf("got %v", err)
	}
}

func TestEvent(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		contentType string
		body        []byte
		want        string
	}{
		"text":    {"application/json; charset=utf-8", []byte(`{"a":1}`), `"body":"{\"a\":1}","isBase64Encoded":false`},
		"none":    {"", []byte("x"), `"body":"x","isBase64Encoded":false`},
		"binary":  {"image/png", []byte("x"), `"body":"eA==","isBase64Encoded":true`},
		"invalid": {"text/plain", []byte{0xff}, `"body":"/w==","isBase64Encoded":true`},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/a%20b?x=1&x=2&y=", nil)
			r.Header.Set("Content-Type", c.contentType)
			r.Header["X-Two"] = []string{"1", "2"}
			r.Header.Set("Cookie", "a=1; b=2")
			r.Header.Set("X-Forwarded-For", "1.2.3.4, 5.6.7.8")
			data, err := newEvent(r, c.body, "id", now)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{c.want, `"version":"2.0"`, `"rawPath":"/a%20b"`, `"rawQueryString":"x=1\u0026x=2\u0026y="`, `"cookies":["a=1","b=2"]`, `"x-two":"1,2"`, `"x":"1,2"`,
				`"sourceIp":"1.2.3.4"`, `"method":"POST"`, `"time":"02/Jan/2026:03:04:05 +0000"`, `"timeEpoch":1767323045000`} {
				if !strings.Contains(string(data), want) {
					t.Errorf("lacks %s:\n%s", want, data)
				}
			}
		})
	}
}

func FuzzReply(f *testing.F) {
	f.Add([]byte(`{"statusCode":200,"headers":{"a":"b"},"body":"x"}`))
	f.Add([]byte(`"text"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		w := httptest.NewRecorder()
		if err := writeReply(w, data); err == nil && (w.Code < 200 || w.Code > 599) {
			t.Errorf("status %d", w.Code)
		}
		_, _ = writeStream(httptest.NewRecorder(), httpStream, bytes.NewReader(data))
	})
}
