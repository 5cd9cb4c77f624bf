package compile_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/openfunction/ofn/internal/compile"
)

// script makes a program of a shell script.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "go")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

const makes = `while [ "$1" != -o ]; do shift; done; printf 'x' > "$2"; chmod +x "$2"`

func program(name, version string) compile.Program {
	return compile.Program{Name: name, Purpose: "is tested", Version: version, Args: []string{"."},
		Source: func(_ context.Context, _ compile.Tool, dir string) (string, error) { return dir, nil }}
}

func silent(string) {}

// A program is built once however many want it, never two at a time, and older ones and leftovers go; other programs stay.
func TestOnce(t *testing.T) {
	dir, at := t.TempDir(), filepath.Join(t.TempDir(), "at")
	for _, old := range []string{"one-v0", "two-v0", "source-left"} {
		if err := os.WriteFile(filepath.Join(dir, old), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c := compile.New(compile.Options{Dir: dir, Go: script(t, "mkdir "+at+" || exit 1; echo build >> "+at+".log; rmdir "+at+"; "+makes)})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			name := []string{"one", "two"}[i%2]
			if path, err := c.Get(t.Context(), program(name, "v1"), silent); err != nil || path != filepath.Join(dir, name+"-v1") {
				t.Errorf("%s: %q, %v", name, path, err)
			}
		})
	}
	all.Wait()
	if log, _ := os.ReadFile(at + ".log"); string(log) != "build\nbuild\n" {
		t.Errorf("built %q", log)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(left) != 2 {
		t.Errorf("there are %v", left)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	p := program("one", "v1")
	if got := compile.Find(dir, p); got != "" {
		t.Errorf("found %q", got)
	}
	p.Find = []string{filepath.Join(dir, "none"), dir, script(t, "")}
	if got := compile.Find(dir, p); got != p.Find[2] {
		t.Errorf("found %q", got)
	}
}

// What the go command said is in the error, progress is told, and an end of the context ends the build.
func TestFailure(t *testing.T) {
	c := compile.New(compile.Options{Dir: t.TempDir(), Go: script(t, `i=0; while [ $i -lt 50 ]; do echo a/package >&2; i=$((i+1)); done; echo 'main.go:1:1: wrong' >&2; exit 1`)})
	var said []string
	_, err := c.Get(t.Context(), program("one", "v1"), func(s string) { said = append(said, s) })
	if err == nil || !strings.Contains(err.Error(), "main.go:1:1: wrong") {
		t.Errorf("got %v", err)
	}
	if all := strings.Join(said, "\n"); !strings.Contains(all, "one, which is tested: 50 of about 50 packages") {
		t.Errorf("said %q", all)
	}
	if _, err = compile.New(compile.Options{Dir: t.TempDir()}).Get(t.Context(), program("one", "v1"), silent); err == nil || !strings.Contains(err.Error(), "install Go") {
		t.Errorf("without Go: %v", err)
	}
}

// Only what was published under a version is built.
func TestModule(t *testing.T) {
	for _, test := range []struct{ answer, exit, want string }{
		{`{"Dir": "/there", "Sum": "h1:right"}`, "0", ""},
		{`{"Dir": "/there", "Sum": "h1:wrong"}`, "0", "not what was published"},
		{`{"Error": "no such version"}`, "1", "no such version"},
		{`nonsense`, "0", "m v1"},
	} {
		tool := func(_ context.Context, _ string, args ...string) ([]byte, error) {
			if got := strings.Join(args, " "); got != "mod download -json m@v1" {
				t.Errorf("go %s", got)
			}
			if test.exit != "0" {
				return []byte(test.answer), os.ErrInvalid
			}
			return []byte(test.answer), nil
		}
		at, err := compile.Module("m", "v1", "h1:right")(t.Context(), tool, t.TempDir())
		switch {
		case test.want == "" && (err != nil || at != "/there"):
			t.Errorf("%s: %q, %v", test.answer, at, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want %q", test.answer, err, test.want)
		}
	}
}
