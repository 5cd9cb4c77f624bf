package conformance_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openfunction/ofn/framework/conformance"
)

// goModule is where the Go framework is.
var goModule = filepath.Join("..", "go")

// fixtures builds the fixtures of the Go framework.
func fixtures(t *testing.T) string {
	t.Helper()
	compiler, err := exec.LookPath("go")
	if err != nil {
		t.Skip("needs the Go toolchain: ", err)
	}
	program := filepath.Join(t.TempDir(), "fixtures")
	args := []string{"build", "-o", program}
	if raceDetector {
		args = append(args, "-race")
	}
	build := exec.Command(compiler, append(args, "./testdata/conformance")...)
	build.Dir = goModule
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the fixtures: %v\n%s", err, out)
	}
	return program
}

// goTarget runs the fixtures by one of the programs that a builder writes around functions.
func goTarget(program, runner string, f conformance.Features) conformance.Target {
	return conformance.Target{Features: f, Sources: []string{goModule}, Command: func(_ testing.TB, fixture string) conformance.Command {
		c := conformance.Command{Args: []string{program, runner, fixture}, Env: []string{"GORACE=halt_on_error=1"}}
		switch {
		case runner == "host" && !strings.HasPrefix(fixture, "http"):
			c.Lacks = "package host serves http functions only"
		case runner == "host" || fixture == "missing":
			c.Env = append(c.Env, "FUNCTION_TARGET="+fixture)
		}
		return c
	}}
}

func TestGo(t *testing.T) {
	program := fixtures(t)
	http := conformance.Features{ListenFD: true, HTTP2: true, WritesAnswer: true, Deadline: true, Logger: true}
	serve := http
	serve.Typed, serve.Replies, serve.OpenFunction, serve.Plugins, serve.Legacy, serve.Multi = true, true, true, true, true, true
	whole := serve
	whole.Events, whole.Send = true, true
	for runner, features := range map[string]conformance.Features{"host": http, "serve": serve, "framework": whole} {
		t.Run(runner, func(t *testing.T) { conformance.Run(t, goTarget(program, runner, features)) })
	}
}
