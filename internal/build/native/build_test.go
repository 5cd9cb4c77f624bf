package native_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/buildtest"
	"github.com/openfunction/ofn/internal/build/native/golang"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

const usesText = `package hello

import (
	"net/http"

	"example.org/text"
)

func HelloWorld(w http.ResponseWriter, r *http.Request) { w.Write([]byte(text.Text)) }
`

// dirBundle is a source bundle made of a directory.
type dirBundle struct{ dir string }

func (b dirBundle) FetchBundle(_ context.Context, _ build.Source, dir string, _ int64) (string, error) {
	return "sha256:0", copyTree(dir, b.dir)
}

func (b dirBundle) ResolveBundle(context.Context, build.Source) (string, error) {
	return "sha256:0", nil
}

// copyTree keeps links, unlike os.CopyFS with those that leave the tree.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(p string, d os.DirEntry, err error) error {
		if err != nil || p == from {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		at := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.Mkdir(at, 0o755)
		case d.Type()&os.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			return os.Symlink(target, at)
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return os.WriteFile(at, data, 0o644)
	})
}

// proxy makes a module proxy in a directory that has example.org/text v1.0.0 and returns its URL.
func proxy(t *testing.T) string {
	t.Helper()
	const gomod = "module example.org/text\n\ngo 1.20\n"
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range map[string]string{"go.mod": gomod, "text.go": "package text\n\nconst Text = \"from the proxy\"\n"} {
		w, err := z.Create("example.org/text@v1.0.0/" + name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, text)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"example.org/text/@v/list": "v1.0.0\n", "example.org/text/@v/v1.0.0.mod": gomod,
		"example.org/text/@v/v1.0.0.info": `{"Version":"v1.0.0","Time":"2024-01-01T00:00:00Z"}`, "example.org/text/@v/v1.0.0.zip": b.String(),
	})
	return "file://" + dir
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func request() build.Request {
	return build.Request{
		ID: "test/hello", Function: "hello", Env: map[string]string{"FUNC_NAME": "HelloWorld"},
		Source: build.Source{Bundle: "b"}, Output: build.Output{Image: "hello:v1"},
	}
}

// setup makes a strategy for a source directory; change may alter its options.
func setup(t *testing.T, src string, change func(o *all)) build.Strategy {
	t.Helper()
	o := options(t, buildtest.Deps{Dir: t.TempDir(), Sources: sources(dirBundle{src}), Images: &buildtest.Images{}})
	if change != nil {
		change(&o)
	}
	return o.strategy(t)
}

func reason(err error) string {
	var f *build.Failure
	if errors.As(err, &f) {
		return f.Reason
	}
	return ""
}

// A module that is required, or only imported without any go.mod, is fetched from the proxy once.
func TestModulesFromProxy(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no go.mod": {"hello.go": usesText},
		"no go.sum": {"hello.go": usesText, "go.mod": "module hello\n\ngo 1.20\n\nrequire example.org/text v1.0.0\n"},
	} {
		t.Run(name, func(t *testing.T) {
			src := t.TempDir()
			write(t, src, files)
			mods, url := t.TempDir(), proxy(t)
			s := setup(t, src, func(o *all) { o.golang.GoProxy, o.golang.GoSumDB, o.golang.ModCache = url, "off", mods })
			t.Cleanup(func() { makeWritable(mods) })
			var log bytes.Buffer
			if _, err := s.Build(t.Context(), request(), &log); err != nil {
				t.Fatalf("%v\n%s", err, log.String())
			}
			if err := os.RemoveAll(strings.TrimPrefix(url, "file://")); err != nil {
				t.Fatal(err)
			}
			write(t, src, map[string]string{"more.go": "package hello\n"}) // a change that needs no other module
			log.Reset()
			if _, err := s.Build(t.Context(), request(), &log); err != nil || strings.Contains(log.String(), "resolving") {
				t.Errorf("second build: %v\n%s", err, log.String())
			}
		})
	}
}

// makeWritable undoes the protection of a module cache, for its removal.
func makeWritable(dir string) {
	filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			os.Chmod(p, 0o755)
		}
		return nil
	})
}

func TestLinks(t *testing.T) {
	for target, ok := range map[string]bool{
		"hello.go": true, "nosuch": true, "sub/up/hello.go": true,
		"/etc/passwd": false, "../outside": false, "sub/../../outside": false, "sub/deep/up/../../../etc": false,
	} {
		t.Run(target, func(t *testing.T) {
			src := t.TempDir()
			write(t, src, map[string]string{"hello.go": "package hello\n", "sub/deep/x": ""})
			for link, to := range map[string]string{"link": target, "sub/up": "..", "sub/deep/up": "../.."} {
				if err := os.Symlink(to, filepath.Join(src, link)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := setup(t, src, nil).Build(t.Context(), request(), io.Discard)
			if refused := reason(err) == "SourceInvalid" && strings.Contains(err.Error(), "the link link points to "+target); refused == ok {
				t.Errorf("got %v, want it accepted: %v", err, ok)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	src := t.TempDir()
	write(t, src, map[string]string{"hello.go": "package hello\n\nimport \"net/http\"\n\nfunc HelloWorld(http.ResponseWriter, *http.Request) {}\n"})
	for want, l := range map[string]lang.Limits{
		"OutOfMemory": {MemoryBytes: 4 << 20},
		"DiskFull":    {DiskBytes: 1 << 20},
	} {
		t.Run(want, func(t *testing.T) {
			// A cache of its own: what other builds wrote must not make this one small.
			s := setup(t, src, func(o *all) { o.Limits, o.golang.BuildCache = l, t.TempDir() })
			if _, err := s.Build(t.Context(), request(), io.Discard); reason(err) != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

// runner is a build.Runner made of a function.
type runner func(c build.Command) (build.Exit, error)

func (r runner) Run(_ context.Context, c build.Command) (build.Exit, error) { return r(c) }

func TestExceeded(t *testing.T) {
	src := t.TempDir()
	write(t, src, map[string]string{"hello.go": "package hello\n\nimport \"net/http\"\n\nfunc HelloWorld(http.ResponseWriter, *http.Request) {}\n"})
	for r, want := range map[build.Resource]string{build.Memory: "OutOfMemory", build.Processes: "TooManyProcesses", build.FileSize: "DiskFull"} {
		s := setup(t, src, func(o *all) {
			o.golang.Runner = runner(func(build.Command) (build.Exit, error) { return build.Exit{Code: -1, Exceeded: r}, nil })
		})
		if _, err := s.Build(t.Context(), request(), io.Discard); reason(err) != want {
			t.Errorf("%s: got %v, want %s", r, err, want)
		}
	}
}

// The go command gets nothing of the user's environment that could run a program, and only its own directories.
func TestCommandIsClosed(t *testing.T) {
	src := t.TempDir()
	write(t, src, map[string]string{"hello.go": "package hello\n\nimport \"net/http\"\n\nfunc HelloWorld(http.ResponseWriter, *http.Request) {}\n"})
	var got build.Command
	stop := errors.New("seen enough")
	s := setup(t, src, func(o *all) {
		o.golang.Runner = runner(func(c build.Command) (build.Exit, error) { got = c; return build.Exit{}, stop })
	})
	r := request()
	for k, v := range map[string]string{"GOFLAGS": "-toolexec=evil", "CGO_ENABLED": "1", "CC": "evil", "PATH": "/evil", "GOTOOLCHAIN": "go1.evil", "LD_PRELOAD": "evil"} {
		r.Env[k] = v
	}
	if _, err := s.Build(t.Context(), r, io.Discard); !errors.Is(err, stop) {
		t.Fatalf("got %v", err)
	}
	if all := strings.Join(append(got.Env, got.Args...), "\n"); strings.Contains(all, "evil") || !strings.Contains(all, "CGO_ENABLED=0") {
		t.Errorf("the command is\n%s", all)
	}
	if got.Limits.MemoryBytes == 0 || got.Limits.PIDs == 0 || got.Limits.FileBytes == 0 {
		t.Errorf("limits are %+v", got.Limits)
	}
}

// Without Go, other things can be built and served; a Go source is told what is missing before anything else.
func TestNeedsGo(t *testing.T) {
	if _, err := golang.New(golang.Options{Tools: lang.Tools{Cache: t.TempDir()}, GoRoot: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "Go distribution") {
		t.Errorf("got %v", err)
	}
	src := t.TempDir()
	write(t, src, map[string]string{"hello.go": "package hello\n"})
	s := setup(t, src, func(o *all) { o.golang.GoRoot = "" })
	if _, err := s.Build(t.Context(), request(), io.Discard); reason(err) != "ToolMissing" || !strings.Contains(err.Error(), "install") {
		t.Errorf("got %v", err)
	}
}
