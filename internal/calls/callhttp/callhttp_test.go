package callhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/openfunction/ofn/internal/calls"
	"github.com/openfunction/ofn/internal/calls/callhttp"
)

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// open gives calls of a function that answers what the path says: /status/CODE, /hang.
func open(t *testing.T) *calls.Calls {
	t.Helper()
	s, err := server.NewServer(&server.Options{JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the store does not start")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	function := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("X-Own", "v")
		code := 200
		_, _ = fmt.Sscanf(r.URL.Path, "/status/%d", &code)
		w.WriteHeader(code)
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s", r.Host, body)
	})
	c, err := calls.Open(t.Context(), calls.Options{JetStream: js, HostOf: func(n calls.Name) string { return n.Name }, Transport: transport(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		function(w, r)
		return w.Result(), r.Context().Err()
	})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		c.Close(ctx)
		nc.Close()
		s.Shutdown()
		s.WaitForShutdown()
	})
	return c
}

func front(t *testing.T) *callhttp.Front {
	t.Helper()
	c := open(t)
	return callhttp.New(callhttp.Options{Open: func(context.Context) (*calls.Calls, error) { return c, nil }, HostOf: func(n calls.Name) string { return n.Name + "." + n.Namespace }, MaxBody: 100})
}

// post makes a call of ns/f.
func post(f *callhttp.Front, path, body string, header ...string) *http.Response {
	r := httptest.NewRequest("POST", "http://f.example"+path, strings.NewReader(body))
	r.Header.Set("Prefer", "respond-async")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	f.Accept(w, r, "ns", "f")
	return w.Result()
}

func ask(f *callhttp.Front, method, path, namespace, function string) (*http.Response, string) {
	w := httptest.NewRecorder()
	f.Call(w, httptest.NewRequest(method, "http://x"+path, nil), namespace, function)
	return w.Result(), w.Body.String()
}

func manage(f *callhttp.Front, method, path string) (int, string) {
	w := httptest.NewRecorder()
	f.Manage().ServeHTTP(w, httptest.NewRequest(method, "/ofn/v1/namespaces/"+path, nil))
	return w.Code, w.Body.String()
}

func TestACallOverHTTP(t *testing.T) {
	f := front(t)
	resp := post(f, "/status/201?q=1", "hello")
	place := resp.Header.Get("Location")
	var told struct{ ID, State, Status, Result string }
	if err := json.NewDecoder(resp.Body).Decode(&told); err != nil || resp.StatusCode != 202 || resp.Header.Get("Preference-Applied") != "respond-async" || place != "/_ofn/calls/"+told.ID ||
		resp.Header.Get("X-OpenFunction-Call-Id") != told.ID || told.Status != place || told.Result != place+"/result" {
		t.Fatalf("%d %v %+v %v", resp.StatusCode, resp.Header, told, err)
	}
	resp, body := ask(f, "GET", place+"/result?wait=20", "ns", "f")
	if resp.StatusCode != 201 || body != "f.example hello" || resp.Header.Get("X-Own") != "v" || resp.Header.Get("Set-Cookie") != "" || resp.Header.Get("Content-Type") != "text/html" ||
		!strings.Contains(resp.Header.Get("Content-Security-Policy"), "sandbox") || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("result %d %v %s", resp.StatusCode, resp.Header, body)
	}
	for _, owner := range [][2]string{{"ns", "f"}, {"", ""}} {
		if resp, body := ask(f, "GET", place, owner[0], owner[1]); resp.StatusCode != 200 || !strings.Contains(body, `"state":"succeeded"`) {
			t.Errorf("%v: %d %s", owner, resp.StatusCode, body)
		}
	}
	for what, c := range map[string]struct {
		method, path, function string
		code                   int
	}{
		"of another function": {"GET", place, "g", 404}, "unknown": {"GET", "/_ofn/calls/x", "f", 404}, "no id": {"GET", "/_ofn/calls/", "f", 404}, "unknown part": {"GET", place + "/x", "f", 404},
		"another method": {"POST", place, "f", 405}, "ended": {"DELETE", place, "f", 409}, "a wait that is none": {"GET", place + "?wait=x", "f", 400},
	} {
		if resp, body := ask(f, c.method, c.path, "ns", c.function); resp.StatusCode != c.code || !strings.Contains(body, `"detail"`) {
			t.Errorf("%s answers %d %s, want %d", what, resp.StatusCode, body, c.code)
		}
	}
}

func TestRefusedRequests(t *testing.T) {
	f := front(t)
	post(f, "/hang", "", "Idempotency-Key", "k")
	for what, c := range map[string]struct {
		resp *http.Response
		code int
		text string
	}{
		"a body that is too large": {post(f, "/", strings.Repeat("x", 101)), 413, "100 bytes"},
		"a bad delay":              {post(f, "/", "", "X-OpenFunction-Delay", "soon"), 400, "X-Openfunction-Delay"},
		"a key that was used":      {post(f, "/", "", "Idempotency-Key", "k"), 422, "idempotency key"},
		"a destination of nobody":  {post(f, "/", "", "X-OpenFunction-On-Success", "https://example.org/"), 400, "sends no word"},
	} {
		body, err := io.ReadAll(c.resp.Body)
		if err != nil || c.resp.StatusCode != c.code || !strings.Contains(string(body), c.text) || c.resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s answers %d %s, want %d", what, c.resp.StatusCode, body, c.code)
		}
	}
	if resp := post(f, "/hang", "", "Idempotency-Key", "k"); resp.StatusCode != 202 || resp.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the same again: %d", resp.StatusCode)
	}
	closed := callhttp.New(callhttp.Options{Open: func(context.Context) (*calls.Calls, error) { return nil, errors.New("secret") }})
	resp := post(closed, "/", "")
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 503 || strings.Contains(string(body), "secret") || resp.Header.Get("Retry-After") == "" {
		t.Errorf("without a store: %d %s", resp.StatusCode, body)
	}
}

func TestPreferredWait(t *testing.T) {
	f := front(t)
	resp := post(f, "/", "x", "Prefer", "respond-async, wait=30")
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 || string(body) != "f.example x" || resp.Header.Get("Preference-Applied") != "wait=30" {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	if resp := post(f, "/hang", "x", "Prefer", "respond-async, wait=0"); resp.StatusCode != 202 {
		t.Errorf("%d", resp.StatusCode)
	}
}

func TestManage(t *testing.T) {
	f := front(t)
	id := post(f, "/status/400", "").Header.Get("X-OpenFunction-Call-Id")
	hangs := post(f, "/hang", "").Header.Get("X-OpenFunction-Call-Id")
	if code, body := manage(f, "GET", "ns/calls/"+id+"?wait=20s"); code != 200 || !strings.Contains(body, `"state":"failed"`) {
		t.Errorf("%d %s", code, body)
	}
	for path, want := range map[string]string{"ns/calls?state=failed": id, "ns/calls?function=f&limit=1": `"continue":"`, "other/calls": `{"calls":[]}`, "ns/calls?since=2200-01-01T00:00:00Z": `{"calls":[]}`} {
		if code, body := manage(f, "GET", path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want %s", path, code, body, want)
		}
	}
	for _, c := range []struct {
		method, path string
		code         int
	}{
		{"GET", "ns/calls?state=odd", 400}, {"GET", "ns/calls?limit=x", 400}, {"GET", "ns/calls?since=x", 400}, {"GET", "other/calls/" + id, 404}, {"GET", "ns/calls/x", 404},
		{"POST", "other/calls/" + hangs + "/cancel", 404}, {"DELETE", "ns/calls/" + hangs, 409}, {"POST", "ns/calls/" + hangs + "/redrive", 409}, {"POST", "ns/calls/" + hangs + "/cancel", 200},
		{"GET", "ns/calls/" + hangs + "/result", 410}, {"DELETE", "ns/calls/" + hangs, 204}, {"GET", "ns/calls/" + id + "/result", 400}, {"POST", "ns/calls/" + id + "/redrive", 200},
	} {
		if code, body := manage(f, c.method, c.path); code != c.code {
			t.Errorf("%s %s answers %d %s, want %d", c.method, c.path, code, body, c.code)
		}
	}
}

func TestWatchOverHTTP(t *testing.T) {
	f := front(t)
	s := httptest.NewServer(f.Manage())
	defer s.Close()
	resp, err := http.Get(s.URL + "/ofn/v1/namespaces/ns/calls?watch=true")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := post(f, "/", "").Header.Get("X-OpenFunction-Call-Id")
	for lines := json.NewDecoder(resp.Body); ; {
		var got calls.Summary
		if err := lines.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if got.ID == first && got.State == calls.Succeeded {
			return
		}
	}
}

// Whoever waits for a result holds nothing that others need to have their calls kept.
func TestWaitersKeepNobodyOut(t *testing.T) {
	c := open(t)
	f := callhttp.New(callhttp.Options{Open: func(context.Context) (*calls.Calls, error) { return c, nil }, HostOf: func(n calls.Name) string { return n.Name }, MaxBody: 1 << 30})
	send := func(ctx context.Context, path, prefer string) int {
		r := httptest.NewRequest("POST", "http://f.example"+path, io.MultiReader(strings.NewReader("x"))).WithContext(ctx) // of a size that is not known
		r.Header.Set("Prefer", prefer)
		w := httptest.NewRecorder()
		f.Accept(w, r, "ns", "f")
		return w.Code
	}
	waiting, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		send(waiting, "/hang", "respond-async, wait=60")
	}()
	defer func() { leave(); <-left }()
	for end := time.Now().Add(30 * time.Second); c.Lag(calls.Name{}) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the call is not kept")
		}
	}
	code := 0
	for end := time.Now().Add(20 * time.Second); code != http.StatusAccepted; time.Sleep(10 * time.Millisecond) {
		if code = send(t.Context(), "/", "respond-async"); time.Now().After(end) {
			t.Fatalf("another call is answered %d as long as somebody waits for a result", code)
		}
	}
}
