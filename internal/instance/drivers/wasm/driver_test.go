package wasm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/wasm"
)

const patient = time.Minute

// log is a log that may be read while it is written.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// copyOf is a copy under test.
type copyOf struct {
	instance.Instance
	log    *log
	client *http.Client
}

// start starts a copy of a guest.
func start(t testing.TB, d *wasm.Driver, dir, id string, change func(*instance.Spec)) *copyOf {
	t.Helper()
	c := &copyOf{log: &log{}}
	s := instance.Spec{ID: id, Namespace: "n", Layers: []string{dir}, Process: instance.Process{Args: []string{"/app.wasm"}, Env: []string{"COLOR=green", "POD_NAME=" + id}}, Log: c.log}
	if change != nil {
		change(&s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 12*patient) // the compiler is slow in a race build
	defer cancel()
	in, err := d.Start(ctx, s)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	c.Instance = in
	c.client = &http.Client{Timeout: patient, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return in.Dial(ctx) }}}
	t.Cleanup(func() {
		c.client.CloseIdleConnections()
		in.Stop(0)
		ended(t, in)
	})
	return c
}

func ended(t testing.TB, in instance.Instance) instance.Exit {
	t.Helper()
	select {
	case <-in.Done():
	case <-time.After(patient):
		t.Fatalf("instance %s did not end", in.ID())
	}
	return in.Exit()
}

// ask sends a request and returns the status and the body.
func (c *copyOf) ask(t testing.TB, path, body string) (int, string) {
	t.Helper()
	resp, err := c.client.Post("http://function"+path, "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v\n%s", path, err, c.log)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return -1, err.Error()
	}
	return resp.StatusCode, string(b)
}

func TestRequests(t *testing.T) {
	d, _ := newDriver(t, nil)
	big := strings.Repeat("0123456789abcdef", 40<<10)
	for name, cases := range map[string][]struct{ path, body, want string }{
		"handler": {
			{"/", "", "200 hello 1"}, {"/", "", "200 hello 2"}, {"/echo", "what is sent", "200 what is sent"}, {"/echo", big, "200 " + big}, {"/echo", "", "200 "},
			{"/head", "x", "201 POST /head HTTP/1.1\r\nHost: function\r\nAccept-Encoding: gzip\r\nContent-Length: 1\r\nContent-Type: text/plain\r\nUser-Agent: Go-http-client/1.1\r\n\r\n"},
			{"/env", "", "200 COLOR=green"},
			{"/file", "", "200 s3cret"},
		},
		"httpwasm": {{"/a?b", "what is sent", "201 /a?b text/plain what is sent"}, {"/next", "", "404 404 page not found\n"}},
		"command":  {{"/", "", "200 hello from POST"}, {"/echo", "what is sent", "201 what is sent"}, {"/echo", big, "201 " + big}},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, d, layer(t, guest(t, name)), name, func(s *instance.Spec) {
				s.Files = []instance.File{{Path: "/etc/secret/key", Data: []byte("s3cret")}}
			})
			for _, q := range cases {
				code, body := c.ask(t, q.path, q.body)
				if got := fmt.Sprintf("%d %s", code, body); got != q.want {
					t.Errorf("%s: %.300q, want %.300q", q.path, got, q.want)
				}
			}
		})
	}
	c := start(t, d, layer(t, guest(t, "command")), "env", nil)
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://function/env?a=b%20c", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"X-Word": {"one", "two"}, "Proxy": {"evil"}, "X-Forwarded-For": {"10.1.2.3, 10.0.0.1"}}
	resp, err := c.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	env := "\n" + string(b) + "\n"
	for _, kv := range []string{"REQUEST_METHOD=GET", "QUERY_STRING=a=b%20c", "PATH_INFO=/env", "HTTP_X_WORD=one, two", "REMOTE_ADDR=10.1.2.3", "COLOR=green", "POD_NAME=env", "GATEWAY_INTERFACE=CGI/1.1", "SERVER_NAME=function"} {
		if !strings.Contains(env, "\n"+kv+"\n") {
			t.Errorf("%s is not in %s", kv, env)
		}
	}
	if strings.Contains(env, "evil") {
		t.Error("the header Proxy came through")
	}
}

// TestTrouble: what goes wrong in one request is told, and hurts no other.
func TestTrouble(t *testing.T) {
	d, _ := newDriver(t, func(o *wasm.Options) { o.OutputBytes, o.LogBytes = 1<<20, 20<<10 })
	for _, q := range []struct{ guest, path, want, log string }{
		{"handler", "/trap", "500 the function trapped", ""},
		{"handler", "/loop", "504 the function did not answer within 2s", "did not answer within"},
		{"handler", "/grow", "500 the function ran out of memory", "limit is 64 MiB: raise resources.limits.memory"},
		{"handler", "/exit", "500 the function failed", "exited with code 7"},
		{"handler", "/fail", "500 the function failed", "failed with code 5"},
		{"handler", "/bad-head", "500 the function failed", `begins with \"nonsense\" and not with a status code`},
		{"handler", "/flood", "-1", "larger than 1048576 bytes"},
		{"handler", "/shout", "200 hello", "bytes of output were dropped"},
		{"command", "/exit", "500 the function failed", "exited with code 3"},
		{"command", "/loop", "504 the function did not answer", ""},
		{"command", "/flood", "-1", "larger than 1048576 bytes"},
	} {
		t.Run(q.guest+q.path, func(t *testing.T) {
			c := start(t, d, layer(t, guest(t, q.guest)), "t", func(s *instance.Spec) {
				s.Limits.MemoryBytes = 64 << 20
				if q.path == "/loop" {
					s.RequestTimeout = 2 * time.Second
				}
			})
			var others sync.WaitGroup
			for range 3 {
				others.Go(func() {
					for range 5 {
						if code, body := c.ask(t, "/", ""); code != 200 || !strings.HasPrefix(body, "hello") {
							t.Errorf("another request: %d %s", code, body)
						}
					}
				})
			}
			code, body := c.ask(t, q.path, "")
			if got := fmt.Sprintf("%d %s", code, body); !strings.HasPrefix(got, q.want) {
				t.Errorf("got %.200q, want %q", got, q.want)
			}
			others.Wait()
			if code, body := c.ask(t, "/", ""); code != 200 || !strings.HasPrefix(body, "hello") {
				t.Errorf("afterwards: %d %s", code, body)
			}
			c.client.CloseIdleConnections()
			c.Stop(patient)
			if e := ended(t, c); e.Code != 0 || !e.Requested {
				t.Errorf("Exit = %+v", e)
			}
			if want := strings.ReplaceAll(q.log, `\"`, `"`); !strings.Contains(c.log.String(), want) {
				t.Errorf("the log does not say %q:\n%.2000s", want, c.log)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	d, _ := newDriver(t, nil)
	handler := guest(t, "handler")
	empty := []byte("\x00asm\x01\x00\x00\x00")
	for name, c := range map[string]struct {
		code      []byte
		args      []string
		memory    int64
		why, says string
	}{
		"no command":    {code: handler, why: "NoModule", says: "neither the image nor the function names one"},
		"no such file":  {code: handler, args: []string{"/none.wasm"}, why: "NoModule", says: "the image has no file /none.wasm"},
		"climbs":        {code: handler, args: []string{"/../../../etc/passwd"}, why: "NoModule", says: "no file /etc/passwd"},
		"a program":     {code: []byte("\x7fELF..."), args: []string{"app.wasm"}, why: "NoModule", says: "is not a WebAssembly module"},
		"truncated":     {code: handler[:len(handler)/2], args: []string{"app.wasm"}, why: "InvalidModule", says: "not valid WebAssembly"},
		"nothing in it": {code: empty, args: []string{"app.wasm"}, why: "NoInterface", says: "exports neither _start (a program) nor ofn_handle (a handler)"},
		"stranger":      {code: strangerModule(), args: []string{"app.wasm"}, why: "UnknownImports", says: "env.magic"},
		"little memory": {code: handler, args: []string{"app.wasm"}, memory: 1 << 20, why: "OutOfMemory", says: "more than its limit of 1024 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			in, err := d.Start(t.Context(), instance.Spec{ID: "r", Layers: []string{layer(t, c.code)}, Process: instance.Process{Args: c.args}, Limits: instance.Limits{MemoryBytes: c.memory}, Log: io.Discard})
			if err == nil {
				in.Stop(0)
				<-in.Done()
				t.Fatal("it started")
			}
			var known *wasm.Error
			if !errors.As(err, &known) || known.Reason() != c.why || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %s and %q", err, c.why, c.says)
			}
		})
	}
}

// strangerModule imports a function that nobody has: (import "env" "magic" (func)), and exports it as _start, with a memory.
func strangerModule() []byte {
	return []byte("\x00asm\x01\x00\x00\x00" + "\x01\x04\x01\x60\x00\x00" + "\x02\x0d\x01\x03env\x05magic\x00\x00" +
		"\x05\x03\x01\x00\x01" + "\x07\x13\x02\x06memory\x02\x00\x06_start\x00\x00")
}

// TestPlaces: copies of one namespace share a worker, those with a limit of processor time have their own, and modules are compiled once.
func TestPlaces(t *testing.T) {
	state := t.TempDir()
	own := func(o *wasm.Options) { o.StateDir = state }
	d, h := newDriver(t, own)
	dir := layer(t, guest(t, "command"))
	start(t, d, dir, "a", nil)
	start(t, d, dir, "b", nil)
	if n, c := h.workers("wasm"), h.workers("wasmc"); n != 1 || c != 1 {
		t.Errorf("%d workers and %d compilations for one namespace, want 1 and 1", n, c)
	}
	start(t, d, dir, "c", func(s *instance.Spec) { s.Namespace = "other" })
	limited := start(t, d, dir, "d", func(s *instance.Spec) { s.Limits = instance.Limits{CPUMillis: 500, MemoryBytes: 64 << 20} })
	if n := h.workers("wasm"); n != 3 {
		t.Errorf("%d workers, want 3", n)
	}
	h.mu.Lock()
	last, lastWorker := h.started[len(h.started)-1].Limits, h.all[len(h.all)-1]
	h.mu.Unlock()
	if last.CPUMillis != 500 || last.MemoryBytes <= 64<<20 {
		t.Errorf("its own worker has the limits %+v", last)
	}
	limited.Stop(0)
	ended(t, limited)
	ended(t, lastWorker) // it is of use to nobody else
	again, h := newDriver(t, own)
	start(t, again, dir, "a", nil)
	if c := h.workers("wasmc"); c != 0 {
		t.Errorf("the module was compiled again after a restart")
	}
}

// TestDamagedCache: what is damaged on disk is compiled anew, at the latest at the next start.
func TestDamagedCache(t *testing.T) {
	state := t.TempDir()
	own := func(o *wasm.Options) { o.StateDir = state }
	d, _ := newDriver(t, own)
	dir := layer(t, guest(t, "command"))
	start(t, d, dir, "a", nil)
	entries, err := os.ReadDir(state + "/compiled")
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d compiled modules, %v", len(entries), err)
	}
	if err := os.WriteFile(state+"/compiled/"+entries[0].Name(), []byte("no"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, _ := newDriver(t, own)
	s := instance.Spec{ID: "b", Layers: []string{dir}, Process: instance.Process{Args: []string{"/app.wasm"}}, Log: io.Discard}
	if _, err := again.Start(t.Context(), s); err == nil {
		t.Error("it started from nothing")
	}
	start(t, again, dir, "b", nil)
}

// TestSnapshot: instances begin with the memory of the first after its initialisation, and have it to themselves from then on.
func TestSnapshot(t *testing.T) {
	d, _ := newDriver(t, nil)
	dir := layer(t, guest(t, "handler"))
	a, b := start(t, d, dir, "a", nil), start(t, d, dir, "b", nil)
	other := start(t, d, dir, "c", func(s *instance.Spec) { s.Process.Env = []string{"COLOR=red"} })
	_, bornA := a.ask(t, "/born", "")
	_, bornB := b.ask(t, "/born", "")
	_, bornC := other.ask(t, "/born", "")
	if bornA != bornB || bornA == bornC {
		t.Errorf("initialised as %s, %s and, with another environment, %s", bornA, bornB, bornC)
	}
	for i := range 5 {
		_, got := a.ask(t, "/", "")
		if want := fmt.Sprintf("hello %d", i+2); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if _, got := b.ask(t, "/", ""); got != "hello 2" {
		t.Errorf("the other copy says %q, want %q", got, "hello 2")
	}
	a.ask(t, "/trap", "")
	if _, got := a.ask(t, "/", ""); got != "hello 1" {
		t.Errorf("after a trap: %q, want it to begin anew", got)
	}
	u, err := b.Usage()
	if err != nil || u.MemoryBytes == 0 || u.CPU == 0 {
		t.Errorf("Usage = %+v, %v", u, err)
	}
}

// TestWorkerDies: the copies in it end, and the next start has another.
func TestWorkerDies(t *testing.T) {
	d, h := newDriver(t, nil)
	dir := layer(t, guest(t, "command"))
	c := start(t, d, dir, "a", nil)
	h.mu.Lock()
	w := h.all[len(h.all)-1]
	h.mu.Unlock()
	w.cancel()
	if e := ended(t, c); e.Code == 0 && e.Signal == "" || e.Requested {
		t.Errorf("Exit = %+v", e)
	}
	ended(t, w)
	if code, body := start(t, d, dir, "a", nil).ask(t, "/", ""); code != 200 {
		t.Errorf("%d %s", code, body)
	}
}

// TestIdleWorker: a worker without copies goes.
func TestIdleWorker(t *testing.T) {
	d, h := newDriver(t, func(o *wasm.Options) { o.Idle = time.Millisecond })
	c := start(t, d, layer(t, guest(t, "command")), "a", nil)
	c.Stop(0)
	ended(t, c)
	h.mu.Lock()
	w := h.all[len(h.all)-1]
	h.mu.Unlock()
	ended(t, w)
}

// TestWasmEdge: a module that opens its own socket is reached once it listens.
func TestWasmEdge(t *testing.T) {
	d, _ := newDriver(t, nil)
	c := start(t, d, layer(t, guest(t, "wasmedge")), "a", nil)
	deadline := time.Now().Add(patient)
	for {
		conn, err := c.Dial(t.Context())
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not listen: %v\n%s", err, c.log)
		}
		time.Sleep(time.Millisecond)
	}
	for range 20 {
		if code, body := c.ask(t, "/", "x"); code != 200 || body != "bound to 8080" {
			t.Fatalf("%d %q\n%s", code, body, c.log)
		}
	}
}
