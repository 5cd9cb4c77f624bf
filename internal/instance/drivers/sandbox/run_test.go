//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/sandbox"
	"github.com/openfunction/ofn/internal/instance/instancetest"
)

func TestRun(t *testing.T) {
	layer := os.Getenv(layerEnv)
	if layer == "" {
		layer = instancetest.BuildProbe(t)
	}
	d := newDriver(t, sandbox.Options{})
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	var out, errs bytes.Buffer
	probe := func(args ...string) sandbox.Command {
		out.Reset()
		errs.Reset()
		return sandbox.Command{
			ID: "command", Layers: []string{layer}, Stdout: &out, Stderr: &errs,
			Process: instance.Process{Args: append([]string{"probe"}, args...), Env: []string{"PATH=/bin"}},
		}
	}
	t.Run("output and code", func(t *testing.T) {
		exit, err := d.Run(t.Context(), probe("print"))
		if err != nil || exit.Code != 0 || !strings.HasPrefix(out.String(), "out 0\nout 1\n") || !strings.HasPrefix(errs.String(), "err 0\nerr 1\n") {
			t.Errorf("Run = %+v, %v: %q %q", exit, err, out.String(), errs.String())
		}
		if exit, err = d.Run(t.Context(), probe("exit", "9")); err != nil || exit.Code != 9 {
			t.Errorf("Run = %+v, %v", exit, err)
		}
	})
	t.Run("binds", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "in"), []byte("input"), 0o600); err != nil {
			t.Fatal(err)
		}
		c := probe("do", "write", "/out/made", "by the command")
		c.Binds = []sandbox.Bind{{Host: dir, Path: "/out"}, {Host: filepath.Join(dir, "in"), Path: "/etc/in", ReadOnly: true}}
		if exit, err := d.Run(t.Context(), c); err != nil || exit.Code != 0 {
			t.Fatalf("Run = %+v, %v: %s", exit, err, errs.String())
		}
		info, err := os.Stat(filepath.Join(dir, "made"))
		if err != nil || !os.SameFile(info, info) {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, "made")); err != nil || string(b) != "by the command" {
			t.Errorf("made %q, %v", b, err)
		}
		again := probe("do", "read", "/etc/in")
		again.Binds = c.Binds
		if _, err := d.Run(t.Context(), again); err != nil || out.String() != "input" {
			t.Errorf("read %q, %v: %s", out.String(), err, errs.String())
		}
		again = probe("do", "append", "/etc/in", "x")
		again.Binds = c.Binds
		if exit, err := d.Run(t.Context(), again); err != nil || exit.Code != 1 {
			t.Errorf("a read-only bind was written to: %+v, %v", exit, err)
		}
	})
	t.Run("without layers", func(t *testing.T) {
		c := probe("do", "list", "/")
		c.Layers, c.Binds = nil, []sandbox.Bind{{Host: filepath.Join(layer, "bin"), Path: "/usr/bin", ReadOnly: true}}
		c.Links = map[string]string{"/bin": "usr/bin"}
		if exit, err := d.Run(t.Context(), c); err != nil || exit.Code != 0 || out.String() != "bin\ndev\netc\nproc\nsys\ntmp\nusr" {
			t.Errorf("Run = %+v, %v: %q %s", exit, err, out.String(), errs.String())
		}
	})
	t.Run("host network", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c := probe("do", "dial", "tcp", l.Addr().String())
		if exit, err := d.Run(t.Context(), c); err != nil || exit.Code != 1 {
			t.Errorf("without network: Run = %+v, %v", exit, err)
		}
		c.HostNetwork = true
		if exit, err := d.Run(t.Context(), c); err != nil || exit.Code != 0 {
			t.Errorf("with network: Run = %+v, %v: %s", exit, err, errs.String())
		}
	})
	t.Run("file size", func(t *testing.T) {
		c := probe("do", "fill", "/tmp/big")
		c.FileBytes = 3 << 20
		if exit, err := d.Run(t.Context(), c); err != nil || exit.Signal == "" && !strings.HasPrefix(out.String(), "3 MiB: ") {
			t.Errorf("Run = %+v, %v: %q", exit, err, out.String())
		}
	})
	t.Run("timeout", func(t *testing.T) {
		c := probe("sleep")
		for c.Timeout = 50 * time.Millisecond; ; c.Timeout *= 2 { // until it is executed in time
			exit, err := d.Run(t.Context(), c)
			if !errors.Is(err, context.DeadlineExceeded) || exit.Signal != "killed" && c.Timeout > 20*time.Second {
				t.Errorf("Run = %+v, %v", exit, err)
			}
			if err == nil || exit.Signal == "killed" || t.Failed() {
				break
			}
		}
	})
	t.Run("limits", func(t *testing.T) {
		if p := limited(); len(p) > 0 {
			t.Skipf("limits cannot be enforced: %v", p)
		}
		c := probe("do", "child", "alloc", "64")
		c.Limits.MemoryBytes = 32 << 20
		// The kernel may take the parent as well, while the memory of the child is not yet free.
		if exit, err := d.Run(t.Context(), c); err != nil || exit.Code == 0 || !exit.OutOfMemory || exit.Strain.MemoryKills == 0 {
			t.Errorf("a child that is killed for memory: Run = %+v, %v", exit, err)
		}
		c = probe("do", "crowd", "100")
		c.Limits.PIDs = 40
		if exit, err := d.Run(t.Context(), c); err != nil || exit.Code != 1 || exit.OutOfMemory || exit.Strain.ForksRefused == 0 {
			t.Errorf("too many processes: Run = %+v, %v", exit, err)
		}
		c = probe("do", "crowd", "2")
		c.Limits = instance.Limits{PIDs: 100, MemoryBytes: 64 << 20}
		if exit, err := d.Run(t.Context(), c); err != nil || exit.Code != 0 || exit.Strain != (instance.Strain{}) {
			t.Errorf("within the limits: Run = %+v, %v", exit, err)
		}
	})
	t.Run("bad binds", func(t *testing.T) {
		for _, b := range []sandbox.Bind{{Host: "relative", Path: "/x"}, {Host: "/", Path: "x"}, {Host: "/usr", Path: "/"}, {Host: "/no/such", Path: "/x"}} {
			c := probe("exit", "0")
			c.Binds = []sandbox.Bind{b}
			if _, err := d.Run(t.Context(), c); err == nil {
				t.Errorf("%+v was accepted", b)
			}
		}
	})
}
