package dev_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	functionsframework "github.com/OpenFunction/functions-framework-go"

	"github.com/openfunction/ofn/internal/build/execrun"
	"github.com/openfunction/ofn/internal/build/native"
	"github.com/openfunction/ofn/internal/build/native/golang"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/dev"
)

// patience is how long anything may take on a busy machine.
const patience = 90 * time.Second

// answers is a function that answers with a text.
func answers(text string) string {
	return fmt.Sprintf(`package hello

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

func Hello(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/slow":
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		time.Sleep(500 * time.Millisecond)
	case "/exit":
		os.Exit(3)
	case "/env":
		fmt.Fprint(w, os.Getenv("GREETING"), " ", os.Getenv("K_SERVICE"))
		return
	}
	fmt.Println("printed by", %q)
	fmt.Fprint(w, %q)
}
`, text, text)
}

// buffer is what was written so far, for many goroutines.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// fixture is a running dev session.
type fixture struct {
	t        *testing.T
	dir, url string
	out, say *buffer
}

// goroot is that of the go command that runs the tests.
func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Skipf("no go command: %v", err)
	}
	return string(out)
}

func run(t *testing.T, files map[string]string) *fixture {
	t.Helper()
	tools := strings.Fields(goroot(t))
	f := &fixture{t: t, dir: t.TempDir(), out: &buffer{}, say: &buffer{}}
	for name, text := range files {
		f.write(name, text)
	}
	own := t.TempDir()
	programs := dev.NewPrograms(t.TempDir())
	common := lang.Tools{Cache: filepath.Join(own, "cache/go"), Runner: execrun.Runner{}, OS: runtime.GOOS, Local: true}
	compiler, err := golang.New(golang.Options{Tools: common, GoRoot: tools[0], BuildCache: tools[1], ModCache: tools[2],
		Framework: golang.Framework{Version: "test", Full: functionsframework.Full(), Lean: functionsframework.Lean()}})
	if err != nil {
		t.Fatal(err)
	}
	strategy, err := native.New(native.Options{Dir: own, OS: runtime.GOOS, Sources: dev.Source{Dir: f.dir}, Images: programs, Local: true,
		Languages: []lang.Entry{{Name: "Go", Language: compiler}, {Name: "script", Language: script{}}}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.url = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- dev.Run(ctx, dev.Options{Dir: f.dir, Shown: "some/dir", Name: "hello", Strategy: strategy, Programs: programs,
			Env: append(os.Environ(), "GREETING=hi"), Listener: l, Stdout: f.out, Stderr: f.out, Say: f.say, FirstPause: time.Millisecond})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
		if _, err := net.DialTimeout("tcp", l.Addr().String(), time.Second); err == nil {
			t.Error("the port still accepts after the end")
		}
		if t.Failed() {
			t.Logf("said:\n%s\nprinted:\n%s", f.say, f.out)
		}
	})
	return f
}

func (f *fixture) write(name, text string) {
	f.t.Helper()
	at := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) get(path string) (int, string, error) {
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, string(body), err
}

func (f *fixture) mustGet(path, want string) {
	f.t.Helper()
	code, body, err := f.get(path)
	if err != nil || code != 200 || body != want {
		f.t.Fatalf("GET %s: %d %q %v, want %q", path, code, body, err, want)
	}
}

// await polls until the function answers with want; what came before must be in allowed.
func (f *fixture) await(want string, allowed ...string) {
	f.t.Helper()
	eventually(f.t, func() bool {
		code, body, err := f.get("/")
		if err != nil || code != 200 {
			f.t.Fatalf("while %q was awaited: %d %q %v", want, code, body, err)
		}
		if body != want && !strings.Contains(strings.Join(allowed, " "), body) {
			f.t.Fatalf("got %q while %q was awaited", body, want)
		}
		return body == want
	})
}

func (f *fixture) awaitSaid(text string) {
	f.t.Helper()
	eventually(f.t, func() bool { return strings.Contains(f.say.String(), text) })
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it did not come to pass in time")
		}
	}
}

// A request that comes before the first build has ended waits for it; a save replaces the function without a failed request, and what
// had begun on the old version ends on it.
func TestRebuildOnSave(t *testing.T) {
	f := run(t, map[string]string{"hello.go": answers("one")})
	f.mustGet("/", "one")
	f.mustGet("/env", "hi hello")

	began := make(chan struct{})
	slow := make(chan string, 1)
	go func() {
		res, err := http.Get(f.url + "/slow")
		close(began)
		if err != nil {
			slow <- err.Error()
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		slow <- fmt.Sprint(string(body), err)
	}()
	<-began
	f.write("hello.go", answers("two"))
	f.await("two", "one")
	if got := <-slow; got != "one<nil>" {
		t.Errorf("the request that had begun before got %q", got)
	}
	eventually(t, func() bool { return strings.Contains(f.out.String(), "printed by two") })

	f.write("more/ignored.txt", "x") // a new directory, part of the image but not of the program
	f.awaitSaid("nothing changed for the function")
	f.write("more/more.go", "package more\n\nconst Text = \"three\"\n")
	f.write("go.mod", "module example.org/hello\n\ngo 1.24\n")
	f.write("hello.go", strings.Replace(strings.Replace(answers("three"), `fmt.Fprint(w, "three")`, "fmt.Fprint(w, more.Text)", 1),
		`"fmt"`, "\"fmt\"\n\n\t\"example.org/hello/more\"", 1))
	f.await("three", "two")
	f.write("more/more.go", "package more\n\nconst Text = \"four\"\n")
	f.await("four", "three")
}

// An error is shown with the user's file and line, and the version before it keeps serving.
func TestCompileErrorKeepsOldVersion(t *testing.T) {
	f := run(t, map[string]string{"hello.go": answers("one")})
	f.mustGet("/", "one")
	f.write("hello.go", strings.Replace(answers("two"), "switch r.URL.Path", "switch undefined", 1))
	f.awaitSaid("the version before it keeps serving")
	if !strings.Contains(f.say.String(), "some/dir/hello.go:11:9: undefined: undefined") {
		t.Errorf("said:\n%s", f.say)
	}
	f.mustGet("/", "one")
	f.write("hello.go", answers("two"))
	f.await("two", "one")
}

// Without a version to fall back on, callers are told what is wrong at once, and the mended function is served.
func TestCompileErrorAtTheBeginning(t *testing.T) {
	f := run(t, map[string]string{"hello.go": "package hello\n\nfunc Hello( {}\n"})
	f.awaitSaid("waiting for a change")
	code, body, err := f.get("/")
	if err != nil || code != http.StatusServiceUnavailable || !strings.Contains(body, "hello.go:3:") {
		t.Errorf("got %d %q %v", code, body, err)
	}
	f.write("hello.go", answers("mended"))
	f.awaitSaid("ready after")
	f.mustGet("/", "mended")
}

// A function that dies is reported and started again; callers of the meantime wait.
func TestDeathIsReportedAndMended(t *testing.T) {
	f := run(t, map[string]string{"hello.go": answers("one")})
	f.mustGet("/", "one")
	for i := range 3 {
		if code, body, err := f.get("/exit"); err != nil || code != http.StatusBadGateway {
			t.Fatalf("the request that killed it got %d %q %v", code, body, err)
		}
		eventually(t, func() bool { return strings.Count(f.say.String(), "started again") == i+1 })
		f.mustGet("/", "one")
	}
	if !strings.Contains(f.say.String(), "exit code 3") {
		t.Errorf("said:\n%s", f.say)
	}
}

// A version that ends before it is ready takes no request.
func TestBrokenStartKeepsOldVersion(t *testing.T) {
	f := run(t, map[string]string{"hello.go": answers("one")})
	f.mustGet("/", "one")
	f.write("init.go", "package hello\n\nfunc init() { panic(\"broken from the start\") }\n")
	f.awaitSaid("the function ended before it was ready: exit code 2")
	f.mustGet("/", "one")
	if !strings.Contains(f.out.String(), "broken from the start") {
		t.Errorf("printed:\n%s", f.out)
	}
	if err := os.Remove(filepath.Join(f.dir, "init.go")); err != nil {
		t.Fatal(err)
	}
	f.awaitSaid("init.go changed: building\nnothing changed for the function")
}

// A program with its own main is given its port in PORT.
func TestCompleteMain(t *testing.T) {
	f := run(t, map[string]string{"main.go": `package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "main "+r.Host) }))
}
`})
	f.mustGet("/", "main "+strings.TrimPrefix(f.url, "http://"))
}

// What the ignore file names neither builds nor is built.
func TestIgnored(t *testing.T) {
	f := run(t, map[string]string{"hello.go": answers("one"), ".ofnignore": "/scratch\n*.gen.go\n", "x.gen.go": "no Go", "scratch/a.go": "no Go"})
	f.mustGet("/", "one")
	f.write("scratch/a.go", "still no Go")
	f.write("y.gen.go", "no Go either")
	f.write("hello.go", answers("two"))
	f.await("two", "one")
	if s := f.say.String(); strings.Contains(s, "gen.go") || strings.Contains(s, "scratch") {
		t.Errorf("said:\n%s", s)
	}
}
