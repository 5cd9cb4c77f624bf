package watchdog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/openfunction/ofn/framework/shim/host"
	"github.com/openfunction/ofn/framework/shim/shimtest"
)

// The test binary is the program when it is told to be.
func TestMain(m *testing.M) {
	switch os.Getenv("PROGRAM") {
	case "":
		os.Exit(m.Run())
	case "server":
		serve()
	case "crash":
		os.Exit(7)
	case "forked":
		forkedProgram()
	}
	os.Exit(0)
}

func serve() {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT"), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			time.Sleep(1500 * time.Millisecond)
		case "/begun": // says so, and then takes a while
			_ = os.WriteFile(os.Getenv("BEGUN"), nil, 0o600) // the test waits for it
			time.Sleep(500 * time.Millisecond)
		case "/endless":
			<-r.Context().Done()
		case "/exit":
			os.Exit(3)
		}
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Host", r.Host)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL, body)
	})}
	go func() { _ = server.ListenAndServe() }()
	<-term
	_ = server.Shutdown(context.Background())
}

func forkedProgram() {
	switch os.Getenv("Http_Path") {
	case "/fail":
		fmt.Fprintln(os.Stderr, "the secret cause")
		os.Exit(3)
	case "/late":
		fmt.Print("half")
		os.Exit(3)
	case "/hang":
		time.Sleep(time.Hour)
	case "/endless":
		for {
			if _, err := fmt.Println(strings.Repeat("x", 1<<16)); err != nil {
				os.Exit(1)
			}
		}
	case "/deaf":
		fmt.Print("said")
	case "/stderr":
		fmt.Print("out ")
		fmt.Fprint(os.Stderr, "err")
	default:
		body, _ := io.ReadAll(os.Stdin)
		fmt.Print(os.Getenv("Http_Method"), os.Getenv("Http_Path"), os.Getenv("Http_Query"), os.Getenv("Http_X_Own_Header"), os.Getenv("Http_ContentType"), " ", string(body))
	}
}

// running is a contract that serves.
type running struct {
	shimtest.Running
	log *shimtest.Log
}

func start(t *testing.T, env host.Env) *running {
	t.Helper()
	log := &shimtest.Log{}
	env["GORACE"] = shimtest.Race
	c, err := New([]string{os.Args[0]}, env, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return &running{shimtest.Serve(t, c), log}
}

func (r *running) call(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Own-Header", "own")
	req.Header.Set("Content-Type", "a/b")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		got = append(got, " broken"...)
	}
	return resp.StatusCode, string(got)
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestForked(t *testing.T) {
	for name, c := range map[string]struct {
		env        host.Env
		path, body string
		code       int
		says, log  string
	}{
		"streaming":      {host.Env{}, "/a?q=1", "in", 200, "POST/aq=1owna/b in", ""},
		"serializing":    {host.Env{"mode": "serializing"}, "/a", "in", 200, "POST/aowna/b in", ""},
		"no variables":   {host.Env{"cgi_headers": "false"}, "/a", "in", 200, " in", ""},
		"fails":          {host.Env{}, "/fail", "", 500, "internal error, id ", "ended with exit code 3"},
		"fails late":     {host.Env{}, "/late", "", 200, "half broken", "ended with exit code 3"},
		"buffered fails": {host.Env{"mode": "serializing"}, "/late", "", 500, "internal error, id ", "ended with exit code 3"},
		"hangs":          {host.Env{"exec_timeout": "200ms"}, "/hang", "", 504, "the function ran too long", "ran too long"},
		"too much":       {host.Env{"mode": "serializing", "OFN_MAX_BODY": "100000"}, "/endless", "", 500, "internal error, id ", "more than may be held"},
		"both outputs":   {host.Env{"mode": "serializing", "combine_output": "true"}, "/stderr", "", 200, "out err", ""},
		"health":         {host.Env{}, "/_/health", "", 200, "OK\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.env["PROGRAM"] = "forked"
			r := start(t, c.env)
			code, got := r.call(t, http.MethodPost, c.path, c.body)
			if code != c.code || !strings.HasPrefix(got, c.says) || strings.Contains(got, "secret") {
				t.Errorf("got %d %q, want %d %q", code, got, c.code, c.says)
			}
			if !strings.Contains(r.log.String(), c.log) {
				t.Errorf("the log lacks %q: %s", c.log, r.log)
			}
		})
	}
}

// A program that does not read what it is sent harms neither its own call nor the next one of the connection.
func TestDeaf(t *testing.T) {
	r := start(t, host.Env{"PROGRAM": "forked"})
	endless := func() (int, string) { // a body that does not end before the answer
		in, out := io.Pipe()
		defer out.Close()
		go func() { _, _ = out.Write([]byte("begun")) }()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL+"/deaf", in)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		got, _ := io.ReadAll(resp.Body) // compared
		return resp.StatusCode, string(got)
	}
	for i := range 50 {
		for _, body := range []string{"", "in", strings.Repeat("x", 4<<20)} {
			if code, got := r.call(t, http.MethodPost, "/deaf", body); code != 200 || got != "said" {
				t.Fatalf("round %d, %d bytes not read: got %d %q", i, len(body), code, got)
			}
			if code, got := r.call(t, http.MethodPost, "/a", "in"); code != 200 || got != "POST/aowna/b in" {
				t.Fatalf("round %d, after %d bytes not read: got %d %q", i, len(body), code, got)
			}
		}
		if i%10 == 0 {
			if code, got := endless(); code != 200 || got != "said" {
				t.Fatalf("a body without end: got %d %q", code, got)
			}
		}
	}
}

// Calls beyond max_inflight are refused, and /_/ready says so.
func TestInflight(t *testing.T) {
	r := start(t, host.Env{"PROGRAM": "forked", "max_inflight": "1", "exec_timeout": "2s"})
	done := make(chan int)
	go func() {
		code, _ := r.call(t, http.MethodPost, "/hang", "")
		done <- code
	}()
	for code := 0; code != http.StatusTooManyRequests; {
		code, _ = r.call(t, http.MethodGet, "/_/ready", "")
	}
	if code, _ := r.call(t, http.MethodPost, "/a", ""); code != http.StatusTooManyRequests {
		t.Errorf("got %d", code)
	}
	if code := <-done; code != http.StatusGatewayTimeout {
		t.Errorf("the running one got %d", code)
	}
}

// A server is reached through relayed connections, and call by call where calls are bounded.
func TestServer(t *testing.T) {
	for name, more := range map[string]host.Env{"relay": {}, "proxy": {"exec_timeout": "3s"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := host.Env{"PROGRAM": "server", "mode": "http", "upstream_url": freePort(t)}
			for k, v := range more {
				env[k] = v
			}
			r := start(t, env)
			large := strings.Repeat("large", 1<<18)
			for _, body := range []string{"", "in", large} {
				if code, got := r.call(t, http.MethodPut, "/a%2Fb?c=d", body); code != 200 || got != "PUT /a%2Fb?c=d "+body {
					t.Errorf("got %d %.100q", code, got)
				}
			}
			slow, want := "/slow", 200
			if name == "proxy" {
				slow, want = "/endless", 504
			}
			if code, _ := r.call(t, http.MethodGet, slow, ""); code != want {
				t.Errorf("a slow call got %d, want %d", code, want)
			}
			http.DefaultClient.CloseIdleConnections() // the questions of probes come on connections of their own
			if code, got := r.call(t, http.MethodGet, "/_/health", ""); code != 200 || got != "OK\n" {
				t.Errorf("health is %d %q", code, got)
			}
		})
	}
}

// A running call ends before the program does.
func TestServerDrains(t *testing.T) {
	begun := filepath.Join(t.TempDir(), "begun")
	r := start(t, host.Env{"PROGRAM": "server", "upstream_url": "http://" + freePort(t), "BEGUN": begun})
	got := make(chan string, 1)
	go func() {
		_, text := r.call(t, http.MethodGet, "/begun", "")
		got <- text
	}()
	for _, err := os.Stat(begun); err != nil; _, err = os.Stat(begun) {
		select {
		case text := <-got:
			t.Fatalf("the call got %q before it ran", text)
		case <-time.After(time.Millisecond):
		}
	}
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
	if text := <-got; text != "GET /begun " {
		t.Errorf("the running call got %q", text)
	}
}

func TestServerEnds(t *testing.T) {
	r := start(t, host.Env{"PROGRAM": "server", "upstream_url": "http://" + freePort(t)})
	if code, _ := r.call(t, http.MethodGet, "/exit", ""); code != 0 {
		t.Errorf("got %d", code)
	}
	if err := r.Wait(); err == nil || !strings.Contains(err.Error(), "exit code 3") {
		t.Errorf("got %v", err)
	}
}

func TestServerNeverListens(t *testing.T) {
	c, err := New([]string{os.Args[0]}, host.Env{"PROGRAM": "crash", "upstream_url": freePort(t)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "exit code 7 before anything listened on") {
		t.Errorf("got %v", err)
	}
}

func TestSettings(t *testing.T) {
	for says, env := range map[string]host.Env{
		"fprocess is not set":     {},
		"upstream_url is not set": {"fprocess": "a", "mode": "http"},
		"must be an address":      {"fprocess": "a", "mode": "http", "upstream_url": "https://x"},
		"afterburn":               {"fprocess": "a", "mode": "afterburn"},
		"must be http, streaming": {"fprocess": "a", "mode": "quick"},
		"exec_timeout is":         {"fprocess": "a", "exec_timeout": "long"},
		"static_path is not set":  {"mode": "static"},
	} {
		if _, err := New(nil, env, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: got %v, want %q", env, err, says)
		}
	}
}
