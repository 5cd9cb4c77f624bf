package helper_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/openfunction/ofn/internal/compile"
	"github.com/openfunction/ofn/internal/lag/helper"
)

// script makes a program of a shell script.
func script(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// reason waits until the helper tells another reason than Starting why it cannot be asked, and with a text.
func reason(t *testing.T, h *helper.Helper, says string) *helper.NotReady {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		_, err := h.Client()
		var not *helper.NotReady
		if errors.As(err, &not) && not.Reason != "Starting" && strings.Contains(not.Message, says) {
			return not
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %v, want %q", err, says)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestNothingToBuildWith(t *testing.T) {
	h := helper.New(helper.Options{Dir: t.TempDir(), Compiler: compile.New(compile.Options{Dir: t.TempDir()})})
	defer h.Close()
	defer h.Use()()
	if n := reason(t, h, "install Go"); n.Reason != "NotBuilt" {
		t.Errorf("got %+v", n)
	}
}

// TestBuild: the source is compiled by the Go that was given, what it says on failure is told, and leftovers are removed.
func TestBuild(t *testing.T) {
	dir, bin := t.TempDir(), t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "source-old"), 0o755); err != nil {
		t.Fatal(err)
	}
	bad := script(t, bin, "go", "echo github.com/some/package >&2; test -f go.mod -a -f go.sum -a -f main.go && echo 'main.go:3:1: no such host' >&2; exit 1")
	h := helper.New(helper.Options{Dir: dir, Compiler: compile.New(compile.Options{Dir: dir, Go: bad})})
	done := h.Use()
	if n := reason(t, h, "main.go:3:1: no such host"); n.Reason != "NotBuilt" {
		t.Errorf("got %+v", n)
	}
	done()
	h.Close()
	if left, _ := filepath.Glob(filepath.Join(dir, "s*-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	good := script(t, bin, "go", `while [ "$1" != -o ]; do shift; done; printf '#!/bin/sh\nexec sleep 60\n' > "$2"; chmod +x "$2"`)
	h = helper.New(helper.Options{Dir: dir, Compiler: compile.New(compile.Options{Dir: dir, Go: good})})
	defer h.Close()
	defer h.Use()()
	deadline := time.Now().Add(time.Minute)
	for _, err := h.Client(); err != nil; _, err = h.Client() {
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if p := helper.Program(dir, nil); !strings.HasPrefix(filepath.Base(p), "ofn-scalers-") {
		t.Errorf("built %q", p)
	}
}

// TestEnvironment: the program gets no secret of the platform's.
func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	said := filepath.Join(dir, "env")
	h := helper.New(helper.Options{Dir: dir, Env: []string{"https_proxy=http://proxy", "PASSWORD=x"},
		Find: []string{script(t, dir, "ofn-scalers", "env > "+said+".new; mv "+said+".new "+said+"; exec sleep 600")}})
	defer h.Close()
	defer h.Use()()
	deadline := time.Now().Add(time.Minute)
	for {
		data, err := os.ReadFile(said)
		if err == nil {
			if text := string(data); !strings.Contains(text, "https_proxy=http://proxy") || strings.Contains(text, "PASSWORD") {
				t.Errorf("got %s", text)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the program was not started")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestLastUser: the program ends with its last user, and comes back with the next.
func TestLastUser(t *testing.T) {
	dir := t.TempDir()
	pids := filepath.Join(dir, "pids")
	h := helper.New(helper.Options{Dir: dir, Find: []string{script(t, dir, "ofn-scalers", "echo $$ >> "+pids+"; exec sleep 600")}})
	defer h.Close()
	one, two := h.Use(), h.Use()
	first := pid(t, pids, 1)
	if one(); !alive(first) {
		t.Error("it ended with the first of two users")
	}
	two()
	defer h.Use()()
	if pid(t, pids, 2); alive(first) {
		t.Error("there are two")
	}
}

// pid is the n-th that was started.
func pid(t *testing.T, file string, n int) int {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		data, _ := os.ReadFile(file)
		if all := strings.Fields(string(data)); len(all) >= n {
			p, err := strconv.Atoi(all[n-1])
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		if time.Now().After(deadline) {
			t.Fatalf("the program was not started %d times", n)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

var update = flag.Bool("update", false, "write source.txtar anew")

// TestSourceIsCurrent: what is built is the module scalers.
func TestSourceIsCurrent(t *testing.T) {
	const module = "../../../scalers"
	a := &txtar.Archive{Comment: []byte("The source of the module scalers: go test ./internal/lag/helper -update\n")}
	err := filepath.WalkDir(module, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") || filepath.Ext(path) != ".go" && d.Name() != "go.mod" && d.Name() != "go.sum" {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(module, path)
		a.Files = append(a.Files, txtar.File{Name: filepath.ToSlash(name), Data: data})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := txtar.Format(a)
	if *update {
		if err := os.WriteFile("source.txtar", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("source.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("source.txtar is not the module scalers: run go test ./internal/lag/helper -update")
	}
}
