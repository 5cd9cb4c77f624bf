//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/sandbox"
)

// TestJavaSeesItsLimits asks a real Java runtime, the most demanding reader of /sys/fs/cgroup, what it may use.
func TestJavaSeesItsLimits(t *testing.T) {
	java, err := exec.LookPath("java")
	if err != nil {
		t.Skip("needs java")
	}
	if java, err = filepath.EvalSymlinks(java); err != nil {
		t.Skip(err)
	}
	if p := limited(); len(p) > 0 {
		t.Skipf("limits cannot be enforced: %v", p)
	}
	d := newDriver(t, sandbox.Options{})
	t.Cleanup(func() { _ = d.Close() })
	home := filepath.Dir(filepath.Dir(java))
	var out bytes.Buffer
	c := sandbox.Command{
		ID: "java", Stdout: &out, Stderr: &out, Timeout: time.Minute,
		Process: instance.Process{Args: []string{java, "-XshowSettings:system", "-version"}},
		Limits:  instance.Limits{MemoryBytes: 300 << 20, CPUMillis: 1000, PIDs: 100},
		Binds:   []sandbox.Bind{{Host: home, Path: home, ReadOnly: true}},
	}
	for _, dir := range []string{"/usr", "/lib", "/lib64", "/etc"} {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			c.Binds = append(c.Binds, sandbox.Bind{Host: real, Path: dir, ReadOnly: true})
		}
	}
	exit, err := d.Run(t.Context(), c)
	if err != nil || exit.Code != 0 {
		t.Skipf("java does not run here: %+v, %v: %s", exit, err, out.String())
	}
	t.Log(out.String())
	for _, want := range []string{"Provider: cgroupv", "Effective CPU Count: 1", "CPU Quota: 100000us", "Memory Limit: 300.00M"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("java does not say %q", want)
		}
	}
}
