package dev_test

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/dev"
)

// script is a language that is interpreted: a file serve.sh, run by the shell of this machine, which starts this test again as its server.
type script struct{}

// Detect implements lang.Language.
func (script) Detect(t *lang.Tree, _ lang.Env) bool { return t.Has("serve.sh") }

// Identity implements lang.Language.
func (script) Identity(context.Context) (string, error) { return "1", nil }

// Compile implements lang.Language.
func (script) Compile(_ context.Context, j *lang.Job) (lang.Program, error) {
	text, err := os.ReadFile(j.Tree.Abs("serve.sh"))
	if err != nil {
		return lang.Program{}, err
	}
	if bytes.Contains(text, []byte("syntax error")) {
		return lang.Program{}, lang.Failure("SyntaxError", "Traceback:\n  File \"serve.sh.py\", line 3, in f\nno")
	}
	return lang.Program{SourceNeeded: true, Local: &lang.Local{
		Args: []string{"/bin/sh", build.LocalRoot + "/workspace/serve.sh"}, Env: []string{"ANSWERS=" + build.LocalRoot + "/workspace/text", "SERVER=" + os.Args[0]},
		Links: map[string]string{"linked": j.Tree.Root},
	}}, nil
}

// TestMain is the server of a script when it is started by one.
func TestMain(m *testing.M) {
	file := os.Getenv("ANSWERS")
	if file == "" {
		os.Exit(m.Run())
	}
	err := http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text, err := os.ReadFile(file)
		if err != nil {
			text = []byte(err.Error())
		}
		_, _ = w.Write(text)
	}))
	os.Stderr.WriteString(err.Error())
}

const serve = "echo from $0 >&2\nexec $SERVER\n"

// An interpreted program runs from a copy of its version, and what it prints names the developer's files.
func TestInterpreted(t *testing.T) {
	f := run(t, map[string]string{"serve.sh": serve, "text": "one"})
	f.mustGet("/", "one")
	eventually(t, func() bool { return strings.Contains(f.out.String(), "from some/dir/serve.sh") })
	f.write("text", "two")
	f.await("two", "one")
	f.write("serve.sh", "syntax error")
	f.awaitSaid(`File "some/dir/serve.sh.py", line 3`)
	f.mustGet("/", "two")
	f.write("serve.sh", `printf '%s' '{"msg":"function server ended","error":"cannot import it","stack":"Traceback 1\nline 2"}' >&2; exit 1`)
	f.awaitSaid("exit code 1\ncannot import it\nTraceback 1\nline 2\nthe function does not start")
	f.mustGet("/", "two")
	f.write("serve.sh", serve)
	f.await("two")
}

// Whoever calls a function that never started is told what it printed.
func TestBrokenStartIsTold(t *testing.T) {
	f := run(t, map[string]string{"serve.sh": "echo no such thing >&2; exit 3", "text": "one"})
	f.awaitSaid("waiting for a change")
	if code, body, err := f.get("/"); err != nil || code != http.StatusServiceUnavailable || !strings.Contains(body, "no such thing") {
		t.Errorf("got %d %q %v", code, body, err)
	}
}

// A layer lies over those below it, and none leads out of the directory of its version.
func TestPrograms(t *testing.T) {
	dir := t.TempDir()
	programs := dev.NewPrograms(dir)
	write := func(layers ...build.Layer) error {
		_, _, err := programs.Write(t.Context(), build.Output{}, build.Image{Local: &build.Local{Args: []string{build.LocalRoot + "/a"}, Layers: layers}})
		return err
	}
	if err := write(build.Layer{{Path: "a", Mode: 0o755, Data: []byte("low")}}, build.Layer{{Path: "a", Mode: 0o755, Data: []byte("high")}}); err != nil {
		t.Fatal(err)
	}
	last := programs.Last()
	if text, err := os.ReadFile(filepath.Join(last.Root, "a")); err != nil || string(text) != "high" || last.Args[0] != filepath.Join(last.Root, "a") {
		t.Errorf("got %q %v %q", text, err, last.Args)
	}
	if err := write(build.Layer{{Path: "out", Mode: os.ModeSymlink, Link: "../.."}, {Path: "out/a", Mode: 0o644}}); err == nil {
		t.Error("a file was written through a link that leads out")
	}
	if _, _, err := programs.Write(t.Context(), build.Output{}, build.Image{}); err == nil || !strings.Contains(err.Error(), "deploy") {
		t.Errorf("a program for images only: %v", err)
	}
}
