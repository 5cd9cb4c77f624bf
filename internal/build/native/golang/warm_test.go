package golang

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// runner is a build.Runner made of a function.
type runner func(c build.Command) (build.Exit, error)

func (r runner) Run(_ context.Context, c build.Command) (build.Exit, error) { return r(c) }

// warmable is a Golang whose go command is the runner, over a cache directory.
func warmable(t *testing.T, cache, version string, run runner) *Golang {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "VERSION"), []byte(version+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mod := []byte("module " + frameworkModule + "\n")
	g, err := New(Options{Tools: lang.Tools{Cache: cache, Runner: run, OS: "linux"}, GoRoot: root,
		Framework: Framework{Full: map[string][]byte{"go.mod": mod}, Lean: map[string][]byte{"go.mod": mod}}})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Warming is done once for each version, and again after it was interrupted or the cache went.
func TestWarm(t *testing.T) {
	cache, runs := t.TempDir(), 0
	stopped := errors.New("stopped")
	var fail error
	run := func(c build.Command) (build.Exit, error) {
		runs++
		if c.Network || c.Limits.CPUMillis != int64(runtime.NumCPU())*500 || !slices.Contains(c.Env, "CGO_ENABLED=0") || !slices.Contains(c.Args, "-trimpath") {
			t.Errorf("the command is %+v", c)
		}
		return build.Exit{}, fail
	}
	warm := func(version string) error { return warmable(t, cache, version, run).Warm(t.Context(), t.TempDir()) }
	for _, step := range []struct {
		what, version string
		fail          error
		drop          bool
		runs          int
	}{
		{"interrupted", "go1.99", stopped, false, 1},
		{"first", "go1.99", nil, false, 2},
		{"again", "go1.99", nil, false, 0},
		{"another version", "go1.100", nil, false, 2},
		{"the cache went", "go1.99", nil, true, 2},
	} {
		if step.drop {
			if err := os.RemoveAll(filepath.Join(cache, "build")); err != nil {
				t.Fatal(err)
			}
		}
		runs, fail = 0, step.fail
		if err := warm(step.version); !errors.Is(err, step.fail) || runs != step.runs {
			t.Errorf("%s: %d runs (%v), want %d", step.what, runs, err, step.runs)
		}
	}
}

func TestWarmTellsWhatFailed(t *testing.T) {
	g := warmable(t, t.TempDir(), "go1.99", func(c build.Command) (build.Exit, error) {
		_, err := c.Stderr.Write([]byte("no such package\n"))
		return build.Exit{Code: 1}, err
	})
	if err := g.Warm(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "no such package") {
		t.Errorf("got %v", err)
	}
	none, err := New(Options{Tools: lang.Tools{Cache: t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := none.Warm(t.Context(), t.TempDir()); err != nil { // a machine without Go
		t.Errorf("got %v", err)
	}
}

func TestHalf(t *testing.T) {
	machine := int64(runtime.NumCPU()) * 500
	for limit, want := range map[int64]int64{0: machine, 1: 1, machine * 9: machine} {
		if got := half(limit); got != want {
			t.Errorf("half of %d is %d, want %d", limit, got, want)
		}
	}
}
