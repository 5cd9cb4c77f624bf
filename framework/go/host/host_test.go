package host

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// start serves h on a unix socket until the test ends; stop drains it and returns what Serve returned.
func start(t *testing.T, h http.HandlerFunc, c Config) (client *http.Client, stop func() error) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	c.Listener = l
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, h, c) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	return dial(socket, new(http.Protocols)), stop
}

// dial makes a client of a unix socket; without protocols it speaks HTTP/1.
func dial(socket string, p *http.Protocols) *http.Client {
	if p.String() == "{}" {
		p.SetHTTP1(true)
	}
	return &http.Client{Transport: &http.Transport{Protocols: p, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
}

func get(t *testing.T, c *http.Client, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://f"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestServesBothProtocols(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) })
	go func() { done <- Serve(ctx, h, Config{Listener: l}) }()
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	for want, p := range map[string]*http.Protocols{"HTTP/1.1": new(http.Protocols), "HTTP/2.0": &h2} {
		if _, got := get(t, dial(socket, p), "/"); got != want {
			t.Errorf("served %s, want %s", got, want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestHealth(t *testing.T) {
	client, _ := start(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "function") }, Config{})
	for _, tt := range []struct {
		path   string
		header []string
		want   string
	}{
		{path: HealthPath, want: "ok\n"},
		{path: ReadyPath, want: "ok\n"},
		{path: "/any", header: []string{ProbeHeader, "queue"}, want: "queue"},
		{path: "/any", header: []string{ProbeHeader, "other"}, want: "function"},
		{path: "/health", want: "function"},
	} {
		if res, got := get(t, client, tt.path, tt.header...); res.StatusCode != 200 || got != tt.want {
			t.Errorf("%s %v: %d %q, want %q", tt.path, tt.header, res.StatusCode, got, tt.want)
		}
	}
}

func TestPanic(t *testing.T) {
	var log bytes.Buffer
	client, stop := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3")
		panic("the secret cause")
	}, Config{Log: slog.New(slog.NewJSONHandler(&log, nil))})
	res, body := get(t, client, "/p")
	id := res.Header.Get(ErrorIDHeader)
	if res.StatusCode != 500 || len(id) != 16 || res.Header.Get(StatusHeader) != "crash" || !strings.Contains(body, id) || strings.Contains(body, "secret") {
		t.Errorf("%d, id %q, body %q", res.StatusCode, id, body)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{id, "the secret cause", "TestPanic", `"path":"/p"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, &log)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d log lines, want 1: %s", n, &log)
	}
}

// A response that had begun must not look whole.
func TestPanicAfterWrite(t *testing.T) {
	client, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic("late")
	}, Config{})
	res, err := client.Get("http://f/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("the broken response was read to its end without an error")
	}
}

func TestWriterKeepsInterfaces(t *testing.T) {
	client, _ := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, hijacks := w.(http.Hijacker)
		_, reads := w.(io.ReaderFrom)
		_, flushes := w.(http.Flusher)
		deadline := http.NewResponseController(w).SetWriteDeadline(time.Time{})
		if !hijacks || !reads || !flushes || deadline != nil {
			t.Errorf("hijack %v, read from %v, flush %v, deadline %v", hijacks, reads, flushes, deadline)
		}
	}, Config{})
	get(t, client, "/")
}

func TestDrainFinishesRequests(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	client, stop := start(t, func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-finish
		if r.Context().Err() != nil {
			t.Error("the drain ended the request's context")
		}
		io.WriteString(w, "done")
	}, Config{})
	result := make(chan error, 1)
	go func() {
		res, err := client.Get("http://f/")
		if err == nil {
			_, err = io.ReadAll(res.Body)
			res.Body.Close()
		}
		result <- err
	}()
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	close(finish)
	if err := <-result; err != nil {
		t.Errorf("request: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestDrainIsBounded(t *testing.T) {
	begun := make(chan struct{})
	client, stop := start(t, func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	}, Config{Grace: time.Millisecond})
	go func() {
		if res, err := client.Get("http://f/"); err == nil {
			res.Body.Close()
		}
	}()
	<-begun
	if err := stop(); !errors.Is(err, ErrCut) {
		t.Errorf("Serve returned %v, want ErrCut", err)
	}
}

// A connection that a handler took over, such as a WebSocket, is part of the drain too.
func TestDrainWaitsForHijacked(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	client, stop := start(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		close(begun)
		<-finish
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
	}, Config{})
	result := make(chan string, 1)
	go func() {
		res, err := client.Get("http://f/")
		if err != nil {
			result <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		result <- string(body)
	}()
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	select {
	case err := <-stopped:
		t.Fatalf("Serve returned %v while the handler ran", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(finish)
	if got, err := <-result, <-stopped; got != "done" || err != nil {
		t.Errorf("response %q, Serve %v", got, err)
	}
}

func TestListenFD(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("LISTEN_FDS", "1")
	t.Setenv("LISTEN_PID", "x")
	got, err := listenFD(f.Fd())
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if got.Addr().String() != l.Addr().String() || os.Getenv("LISTEN_FDS") != "" || os.Getenv("LISTEN_PID") != "" {
		t.Errorf("listens on %s; environment %q %q", got.Addr(), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_PID"))
	}
}

func TestListenFDRefusesOther(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenFD(f.Fd()); err == nil || !strings.Contains(err.Error(), "not a listening socket") {
		t.Errorf("error %v", err)
	}
}

func TestInherited(t *testing.T) {
	for _, tt := range []struct {
		fds, pid string
		want     bool
	}{{"1", "7", true}, {"1", "8", false}, {"", "7", false}, {"2", "7", false}, {"1", "", false}} {
		env := map[string]string{"LISTEN_FDS": tt.fds, "LISTEN_PID": tt.pid}
		if got := inherited(func(k string) string { return env[k] }, 7); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestFromEnv(t *testing.T) {
	plain := Config{MaxBody: DefaultMaxBody, Function: DefaultFunction}
	with := func(change func(*Config)) Config {
		c := plain
		change(&c)
		return c
	}
	onPort := func(port int) Config { return with(func(c *Config) { c.Port = port }) }
	for name, tt := range map[string]struct {
		env  map[string]string
		want Config
		err  string
	}{
		"nothing":      {want: plain},
		"PORT":         {env: map[string]string{"PORT": "9000"}, want: onPort(9000)},
		"context wins": {env: map[string]string{"PORT": "9000", "FUNC_CONTEXT": `{"port":"9001"}`}, want: onPort(9001)},
		"v1beta2 wins": {env: map[string]string{"FUNC_CONTEXT": `{"port":"9001"}`, "FUNC_CONTEXT_V1BETA2": `{"triggers":{"http":{"port":9002}}}`},
			want: onPort(9002)},
		"v1beta2 without port": {env: map[string]string{"FUNC_CONTEXT": `{"port":"9001"}`, "FUNC_CONTEXT_V1BETA2": `{"triggers":{"http":{}}}`},
			want: onPort(9001)},
		"grace":         {env: map[string]string{"OFN_GRACE": "2s"}, want: with(func(c *Config) { c.Grace = 2 * time.Second })},
		"body":          {env: map[string]string{"OFN_MAX_BODY": "7"}, want: with(func(c *Config) { c.MaxBody = 7 })},
		"concurrency":   {env: map[string]string{"OFN_CONCURRENCY": "0"}, want: plain},
		"level":         {env: map[string]string{"OFN_LOG_LEVEL": "warn"}, want: plain},
		"service":       {env: map[string]string{"K_SERVICE": "s"}, want: with(func(c *Config) { c.Function = "s" })},
		"name":          {env: map[string]string{"K_SERVICE": "s", "FUNC_CONTEXT": `{"name":"n"}`}, want: with(func(c *Config) { c.Function = "n" })},
		"target":        {env: map[string]string{"FUNCTION_TARGET": "t", "FUNC_CONTEXT": `{"name":"n"}`}, want: with(func(c *Config) { c.Function = "t" })},
		"bad port":      {env: map[string]string{"PORT": "http"}, err: `PORT is "http"`},
		"large port":    {env: map[string]string{"PORT": "65536"}, err: "65535"},
		"bad grace":     {env: map[string]string{"OFN_GRACE": "-1s"}, err: "OFN_GRACE"},
		"bad level":     {env: map[string]string{"OFN_LOG_LEVEL": "loud"}, err: `OFN_LOG_LEVEL is "loud"`},
		"bad context":   {env: map[string]string{"FUNC_CONTEXT": `{`}, err: "reading FUNC_CONTEXT:"},
		"bad v1beta2":   {env: map[string]string{"FUNC_CONTEXT_V1BETA2": `[]`}, err: "reading FUNC_CONTEXT_V1BETA2:"},
		"bad body":      {env: map[string]string{"OFN_MAX_BODY": "0"}, err: `OFN_MAX_BODY is "0"`},
		"bad number":    {env: map[string]string{"OFN_CONCURRENCY": "-1"}, err: `OFN_CONCURRENCY is "-1"`},
		"port of a map": {env: map[string]string{"FUNC_CONTEXT": `{"port":{}}`}, err: "reading FUNC_CONTEXT:"},
	} {
		got, err := FromEnv(func(k string) string { return tt.env[k] })
		if got.Log == nil {
			t.Errorf("%s: there is no log", name)
		}
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: error %v, want one with %q", name, err, tt.err)
			}
			continue
		}
		got.Log = nil
		if err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, tt.want)
		}
	}
}
