package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/instance/drivers/sandbox"
)

// TestExceededInSandbox lets commands meet their limits in the real sandbox.
func TestExceededInSandbox(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to enforce limits")
	}
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("needs a shell")
	}
	driver, err := sandbox.New(sandbox.Options{StateDir: filepath.Join(t.TempDir(), "state")})
	if err != nil {
		t.Skipf("this machine cannot make sandboxes: %v", err)
	}
	t.Cleanup(func() {
		if err := driver.Close(); err != nil {
			t.Error(err)
		}
	})
	for name, c := range map[string]struct {
		script string
		limits build.RunLimits
		want   build.Resource
	}{
		"too many processes":   {`i=0; while [ $i -lt 60 ]; do sleep 9 & i=$((i+1)); done; kill $(jobs -p)`, build.RunLimits{PIDs: 20}, build.Processes},
		"enough processes":     {`i=0; while [ $i -lt 9 ]; do sleep 9 & i=$((i+1)); done; kill $(jobs -p); exit 3`, build.RunLimits{PIDs: 20}, ""},
		"a child's memory":     {`tail /dev/zero; exit 3`, build.RunLimits{MemoryBytes: 32 << 20}, build.Memory},
		"memory that sufficed": {`tail /dev/zero || exit 0`, build.RunLimits{MemoryBytes: 32 << 20}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var said bytes.Buffer
			exit, err := sandboxed{driver}.Run(t.Context(), build.Command{
				Args: []string{"/bin/sh", "-c", c.script}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/", Limits: c.limits, Stdout: &said, Stderr: &said,
			})
			if err != nil || exit.Exceeded != c.want {
				t.Errorf("Run = %+v, %v, want %q; it said:\n%s", exit, err, c.want, said.String())
			}
		})
	}
}
