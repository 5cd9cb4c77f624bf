//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/sandbox"
	"github.com/openfunction/ofn/internal/instance/instancetest"
)

func newDriver(t *testing.T, o sandbox.Options) *sandbox.Driver {
	t.Helper()
	if o.StateDir == "" {
		o.StateDir = filepath.Join(t.TempDir(), "state")
	}
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	d, err := sandbox.New(o)
	if err != nil {
		t.Skipf("this machine cannot make sandboxes: %v", err)
	}
	return d
}

func TestSuite(t *testing.T) {
	instancetest.Run(t, instancetest.Options{
		New: func(t *testing.T) instance.Driver {
			return newDriver(t, sandbox.Options{WritableBytes: 16 << 20})
		},
		Unlimited: limited() != nil,
		OneUser:   os.Geteuid() != 0,
		Layer:     os.Getenv(layerEnv),
	})
}

// TestLeastMemory starts copies under the smallest limit with as much as they may bring. Until they execute they share
// this process's memory, so if they met the limit the kernel would kill this process.
func TestLeastMemory(t *testing.T) {
	if p := limited(); len(p) > 0 {
		t.Skipf("limits cannot be enforced: %v", p)
	}
	d := newDriver(t, sandbox.Options{})
	t.Cleanup(func() { _ = d.Close() })
	layer := instancetest.BuildProbe(t)
	var env []string
	for i := range 8 {
		env = append(env, fmt.Sprintf("V%d=%s", i, strings.Repeat("x", 120<<10)))
	}
	for range 5 {
		exit, err := d.Run(t.Context(), sandbox.Command{
			ID: "small", Layers: []string{layer}, Limits: instance.Limits{MemoryBytes: 4 << 20},
			Files:   []instance.File{{Path: "/big", Data: make([]byte, 12<<20)}},
			Process: instance.Process{Args: []string{"/bin/probe", "exit", "0"}, Env: env},
		})
		if err != nil || exit.Code != 0 && !exit.OutOfMemory {
			t.Fatalf("Run = %+v, %v", exit, err)
		}
	}
	if _, err := d.Run(t.Context(), sandbox.Command{
		ID: "words", Layers: []string{layer}, Limits: instance.Limits{MemoryBytes: 4 << 20},
		Process: instance.Process{Args: []string{"/bin/probe"}, Env: append(env, env...)},
	}); err == nil {
		t.Error("an environment of half the memory limit was accepted")
	}
}

// limited says which limits this machine cannot enforce.
func limited() []sandbox.Problem {
	var out []sandbox.Problem
	for _, p := range sandbox.Check(sandbox.Options{}) {
		if p.Limit {
			out = append(out, p)
		}
	}
	return out
}
