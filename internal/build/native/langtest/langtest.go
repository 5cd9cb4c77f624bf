// Package langtest is what the tests of all languages need: it lays sources out, has a language build them, and judges what comes of it.
package langtest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/execrun"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// Find is the path of a program of this machine; empty when it has none.
func Find(name string) string {
	p, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return p
}

// Tools are those of a builder for tests, which run as plain processes, with a cache of the test's own.
func Tools(t *testing.T) lang.Tools {
	t.Helper()
	return tools(t.TempDir())
}

// SharedTools have a cache that all tests of this machine share, for languages whose first build of a machine takes long.
func SharedTools(t *testing.T, language string) lang.Tools {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip("needs a cache directory: ", err)
	}
	cache = filepath.Join(cache, "ofn-test", "build-"+language)
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	if cache, err = filepath.EvalSymlinks(cache); err != nil {
		t.Fatal(err)
	}
	return tools(cache)
}

func tools(cache string) lang.Tools {
	return lang.Tools{Cache: cache, Runner: execrun.Runner{}, OS: "linux", Arch: runtime.GOARCH, Limits: lang.Limits{}.Complete(), Find: Find}
}

// Need skips the test where the machine lacks a program, or where the language says that it cannot build here.
func Need(t *testing.T, l lang.Language, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if Find(name) == "" {
			t.Skipf("needs %s", name)
		}
	}
	if _, err := l.Identity(t.Context()); Reason(err) == "ToolMissing" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
}

// Source is a build to be tried.
type Source struct {
	Files        map[string]string // text by slash-separated path
	Env          map[string]string
	Sub          string // where the build begins; empty is the root
	Target       string
	Dependencies build.Dependencies
	// Work is where the work directory is made; empty is a directory of the test's own. It is on the disk of the cache.
	Work string
}

// Archive is a Source of a text of txtar.
func Archive(text string) Source {
	s := Source{Files: map[string]string{}}
	for _, f := range txtar.Parse([]byte(text)).Files {
		s.Files[f.Name] = string(f.Data)
	}
	return s
}

// With is the source with a build environment.
func (s Source) With(env map[string]string) Source {
	s.Env = env
	return s
}

// Lay writes files below a directory.
func Lay(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// Job lays the source out and returns its build with the log.
func (s Source) Job(t *testing.T) (*lang.Job, *bytes.Buffer) {
	t.Helper()
	if s.Work == "" {
		s.Work = t.TempDir()
	}
	work, err := os.MkdirTemp(s.Work, "work-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(work) })
	root := filepath.Join(work, "src")
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	Lay(t, root, s.Files)
	if s.Sub == "" {
		s.Sub = "."
	}
	tree, err := lang.ReadTree(root, s.Sub)
	if err != nil {
		t.Fatal(err)
	}
	log := new(bytes.Buffer)
	env, err := lang.ParseEnv(s.Env, log)
	if err != nil {
		t.Fatal(err)
	}
	r := build.Request{ID: "test/" + t.Name(), Function: "f", Target: s.Target, Dependencies: s.Dependencies}
	return &lang.Job{Request: r, Env: env, Tree: tree, Work: work, Log: log, Replaced: map[string][]byte{}}, log
}

// Compile has a language build the source and returns what it made with the log.
func (s Source) Compile(t *testing.T, l lang.Language) (lang.Program, string, error) {
	t.Helper()
	j, log := s.Job(t)
	if !l.Detect(j.Tree, j.Env) {
		t.Error("the source is not taken for one of this language")
	}
	p, err := l.Compile(t.Context(), j)
	return p, log.String(), err
}

// Reason is that of a *build.Failure; empty for another error.
func Reason(err error) string {
	var f *build.Failure
	if errors.As(err, &f) {
		return f.Reason
	}
	return ""
}

// Check fails the test when the error is not the *build.Failure of that reason, whose message says all of the texts. An empty reason wants no error.
func Check(t *testing.T, err error, reason string, says ...string) {
	t.Helper()
	if reason == "" && err == nil {
		return
	}
	if err == nil || Reason(err) != reason {
		t.Fatalf("got %q: %v, want %q", Reason(err), err, reason)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the message does not say %q: %v", text, err)
		}
	}
}
