package host

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEnv(t *testing.T) {
	e := ParseEnv([]string{"A=1", "B=x=y", "LISTEN_FDS=1", "T=90s", "N=7", "S=3", "odd"})
	if got := strings.Join(e.Child(Env{"A": "2"}), " "); got != "A=2 B=x=y N=7 S=3 T=90s" {
		t.Errorf("the child gets %s", got)
	}
	for name, want := range map[string]time.Duration{"T": 90 * time.Second, "S": 3 * time.Second, "none": time.Minute} {
		if d, err := e.Duration(name, time.Minute); d != want || err != nil {
			t.Errorf("%s is %v %v", name, d, err)
		}
	}
	for _, bad := range []string{"-1", "soon", "-3s"} {
		if _, err := (Env{"X": bad}).Duration("X", 0); err == nil || !strings.Contains(err.Error(), "X is ") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := (Env{"X": "many"}).Number("X", 0); err == nil {
		t.Error("a word is a number")
	}
	if _, err := (Env{"X": "perhaps"}).Bool("X", false); err == nil {
		t.Error("a word is a truth")
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"run": 0o700, "data": 0o600} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"PATH=/nowhere:" + dir}
	for name, says := range map[string]string{
		"run": "", filepath.Join(dir, "run"): "", "data": "command not found", filepath.Join(dir, "data"): "not executable", "./nosuch": "no file ./nosuch", dir + "/": "is a directory",
	} {
		c := Command{Args: []string{name, "x"}, Env: env}
		err := c.Find()
		if says == "" && (err != nil || c.Args[0] != filepath.Join(dir, "run") || c.Args[1] != "x") {
			t.Errorf("%s: %v %v", name, c.Args, err)
		}
		if says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: got %v, want %q", name, err, says)
		}
	}
	if err := (&Command{}).Find(); err == nil {
		t.Error("no command was found")
	}
}

func TestExplain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "run")
	for text, says := range map[string]string{"no program": "another architecture", "#!/nowhere/sh\n": "interpreter or loader"} {
		if err := os.WriteFile(file, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := Start(Command{Args: []string{file}}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestSlots(t *testing.T) {
	s := NewSlots(1, 1)
	if err := s.Enter(t.Context()); err != nil || !s.Busy() {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waits := make(chan error)
	go func() { waits <- s.Enter(ctx) }()
	for s.waiting.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := s.Enter(t.Context()); !errors.Is(err, ErrFull) {
		t.Errorf("got %v", err)
	}
	cancel()
	if err := <-waits; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	s.Leave()
	if err := s.Enter(t.Context()); err != nil {
		t.Error(err)
	}
}

// Reserved paths never reach the program; when it ends, running calls end first.
func TestSite(t *testing.T) {
	begun, gate := make(chan struct{}), make(chan struct{})
	site := Site{Log: slog.New(slog.DiscardHandler), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(begun)
			<-gate
		}
		_, _ = io.WriteString(w, "function "+r.URL.Path)
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- site.Serve(ctx, l, time.Minute) }()
	get := func(path string) string {
		resp, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	for path, want := range map[string]string{"/x": "function /x", "/_ofn/health": "ok\n", "/_ofn/ready": "ok\n", "/_ofn/other": "not found\n"} {
		if got := get(path); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
	slow := make(chan string)
	go func() { slow <- get("/slow") }()
	<-begun
	cancel()
	close(gate)
	if got := <-slow; got != "function /slow" {
		t.Errorf("the running call got %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRequestID(t *testing.T) {
	for _, c := range []struct{ id, trace, want string }{
		{"mine", "", "mine"},
		{"not good", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c"},
		{strings.Repeat("x", 129), "00-00000000000000000000000000000000-b7ad6b7169203331-01", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("X-Request-Id", c.id)
		r.Header.Set("Traceparent", c.trace)
		if got := RequestID(r); got != c.want && (c.want != "" || len(got) != 32) {
			t.Errorf("%+v: got %s", c, got)
		}
	}
}
