package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/cli/scaffold"
)

// said is what a command printed so far, for many goroutines.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// devSession is a running `ofn dev`.
type devSession struct {
	t        *testing.T
	dir, url string
	said     *said
}

func startDev(t *testing.T, dir string) *devSession {
	t.Helper()
	d := &devSession{t: t, dir: dir, said: &said{}}
	cmd := devCommand()
	cmd.SetArgs([]string{dir, "--port", "0"})
	cmd.SetErr(d.said)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ofn dev ended with %v", err)
		}
		if t.Failed() {
			t.Logf("%s", d.said)
		}
	})
	at := regexp.MustCompile(`on (http://\S+)/ \(Ctrl-C`)
	d.until(func() bool { return at.MatchString(d.said.String()) })
	d.url = at.FindStringSubmatch(d.said.String())[1]
	return d
}

func (d *devSession) until(ok func() bool) {
	d.t.Helper()
	tick, late := time.NewTicker(20*time.Millisecond), time.After(5*time.Minute) // the first build fetches modules and compiles them
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			d.t.Fatalf("it did not come to pass in time:\n%s", d.said)
		}
	}
}

func (d *devSession) untilSaid(text string) {
	d.t.Helper()
	d.until(func() bool { return strings.Contains(d.said.String(), text) })
}

func (d *devSession) get(path string) string {
	d.t.Helper()
	resp, err := http.Get(d.url + path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(text)
}

// edit replaces text in a file, as an editor that saves it.
func (d *devSession) edit(name, old, now string) {
	d.t.Helper()
	at := filepath.Join(d.dir, name)
	text, err := os.ReadFile(at)
	if err != nil {
		d.t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		d.t.Fatalf("%s has no %q", name, old)
	}
	if err := os.WriteFile(at, []byte(strings.Replace(string(text), old, now, 1)), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

// ownCaches keeps what ofn caches out of the developer's home, but leaves the compiler its cache.
func ownCaches(t *testing.T) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE").Output(); err == nil {
		t.Setenv("GOCACHE", strings.TrimSpace(string(out)))
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
}

// Each language is served, served anew on a save, and keeps serving when a save breaks it.
func TestDevInEveryLanguage(t *testing.T) {
	if testing.Short() {
		t.Skip("dependencies are downloaded")
	}
	ownCaches(t)
	for _, c := range []struct {
		template, tool, file, call string
		manifest, dependency       string // written before the start
		old, now, broken           string
		shown                      string // of what is broken
	}{
		{"go-typed", "go", "greet.go", "", "", "", `"%d: hello, %s"`, `"%d: hi, %s"`, `"%d: hello, %s`, "greet.go:"},
		{"node-http", "npm", "index.js", "/bob", "package.json", `{"dependencies": {"is-odd": "^3.0.0"}}`, "`Hello, $", "`Hi, $", "Hi, $", "index.js:"},
		{"node-typescript", "npm", "index.ts", "/bob", "", "", "`Hello, $", "`Hi, $", "Hi, $", "index.ts:"},
		{"python-http", "python3", "main.py", "/bob", "requirements.txt", "iniconfig>1\n", `"Hello, `, `"Hi, `, `("Hi, `, `main.py", line`},
	} {
		t.Run(c.template, func(t *testing.T) {
			if _, err := exec.LookPath(c.tool); err != nil {
				t.Skip(err)
			}
			dir := filepath.Join(t.TempDir(), "greeter")
			if _, err := scaffold.Write(dir, c.template, scaffold.Values{Name: "greeter"}); err != nil {
				t.Fatal(err)
			}
			if c.manifest != "" {
				if err := os.WriteFile(filepath.Join(dir, c.manifest), []byte(c.dependency), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			d := startDev(t, dir)
			d.untilSaid("ready after")
			d.edit(c.file, c.old, c.now)
			d.until(func() bool { return strings.Count(d.said.String(), "ready after") == 2 })
			if c.call != "" {
				if got := d.get(c.call); !strings.Contains(got, "Hi") {
					t.Errorf("after the save it answers %q", got)
				}
			}
			before := d.said.String()
			d.edit(c.file, c.now, c.broken)
			d.untilSaid("the version before it keeps serving")
			if after := strings.TrimPrefix(d.said.String(), before); !strings.Contains(after, c.shown) {
				t.Errorf("the error does not show %q:\n%s", c.shown, after)
			}
			if c.call != "" {
				if got := d.get(c.call); !strings.Contains(got, "Hi") {
					t.Errorf("after the broken save it answers %q", got)
				}
			}
			if installed := strings.Count(d.said.String(), "installing dependencies") + strings.Count(d.said.String(), "installing what requirements.txt"); c.manifest != "" && installed != 1 {
				t.Errorf("dependencies were installed %d times", installed)
			}
		})
	}
}

// A language whose tool is missing is told with what to install.
func TestDevWithoutTheTool(t *testing.T) {
	ownCaches(t)
	t.Setenv("PATH", t.TempDir())
	for name, text := range map[string]string{"main.py": "building Python needs python3", "index.js": "building Node.js needs node", "go.mod": "building Go needs the go command"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		d := startDev(t, dir)
		d.untilSaid("waiting for a change")
		if words := d.said.String(); !strings.Contains(words, text+", which this machine does not have: install") {
			t.Errorf("%s: %q is not in\n%s", name, text, words)
		}
	}
}
