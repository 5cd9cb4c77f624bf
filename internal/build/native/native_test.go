package native_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/buildtest"
	"github.com/openfunction/ofn/internal/build/execrun"
	"github.com/openfunction/ofn/internal/build/native"
	"github.com/openfunction/ofn/internal/build/native/golang"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/source"
)

func TestConformance(t *testing.T) {
	buildtest.Run(t, buildtest.Harness{New: newStrategy, Sources: sources})
}

func sources(b build.BundleFetcher) build.Fetcher {
	git, _ := exec.LookPath("git") // the tests that need it skip without
	return source.New(source.Options{Git: git, Bundles: b, AllowLocal: true})
}

func newStrategy(t *testing.T, d buildtest.Deps) build.Strategy {
	t.Helper()
	return options(t, d).strategy(t)
}

// all are the options of the builder and of Go.
type all struct {
	native.Options
	golang golang.Options
}

func (a all) strategy(t *testing.T) build.Strategy {
	t.Helper()
	a.golang.Limits = a.Limits
	g, err := golang.New(a.golang)
	if err != nil {
		t.Fatal(err)
	}
	a.Languages = []lang.Entry{{Name: "Go", Runtimes: []string{"go"}, Language: g}}
	s, err := native.New(a.Options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// options shares the caches of the developer, so that tests do not compile the standard library anew.
func options(t *testing.T, d buildtest.Deps) all {
	t.Helper()
	return all{
		Options: native.Options{Dir: d.Dir, Sources: d.Sources, Images: d.Images, CACertificates: []byte("none\n")},
		golang: golang.Options{
			Tools:  lang.Tools{Cache: filepath.Join(d.Dir, "cache/go"), Runner: execrun.Runner{}, OS: "linux"},
			GoRoot: goEnv(t, "GOROOT"), BuildCache: goEnv(t, "GOCACHE"), ModCache: goEnv(t, "GOMODCACHE"),
			GoProxy: goEnv(t, "GOPROXY"), GoSumDB: goEnv(t, "GOSUMDB"), Framework: framework(t),
		},
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatalf("go env %s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

// framework is the source of framework/go of this repository.
func framework(t *testing.T) golang.Framework {
	t.Helper()
	f := golang.Framework{Version: "test", Full: map[string][]byte{}, Lean: map[string][]byte{"go.mod": []byte("module github.com/OpenFunction/functions-framework-go\n\ngo 1.24\n")}}
	root := filepath.Join("..", "..", "..", "framework", "go")
	err := fs.WalkDir(os.DirFS(root), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(p, "_test.go") || !(strings.HasSuffix(p, ".go") || strings.HasPrefix(p, "go.")) {
			return err
		}
		f.Full[p], err = os.ReadFile(filepath.Join(root, p))
		if strings.HasPrefix(p, "host/") {
			f.Lean[p] = f.Full[p]
		}
		return err
	})
	if err != nil {
		t.Fatalf("reading the framework: %v", err)
	}
	return f
}
