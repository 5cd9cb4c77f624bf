//go:build linux

package instancetest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/instance"
)

// execs are other commands in a running copy, where the driver can have them.
func (s *suite) execs(t *testing.T) {
	in := s.serve(t, func(sp *instance.Spec) {
		sp.Process.Dir, sp.Process.Env = "/work", append(sp.Process.Env, "GREETING=good day")
		if !s.Unlimited {
			sp.Limits = instance.Limits{MemoryBytes: 64 << 20, PIDs: 60}
		}
	})
	x, ok := in.(instance.Executor)
	if !ok {
		t.Skip("this driver runs no other commands in its copies")
	}
	run := func(args ...string) (instance.Exit, string) {
		t.Helper()
		var out buffer
		ctx, cancel := context.WithTimeout(t.Context(), patient)
		defer cancel()
		exit, err := x.Exec(ctx, append([]string{"probe"}, args...), &out)
		if err != nil {
			t.Fatalf("Exec %v: %v", args, err)
		}
		return exit, out.String()
	}
	must(t, in, "write", "/tmp/mine", "made by the server")
	t.Run("the same surroundings", func(t *testing.T) {
		if exit, out := run("do", "read", "/tmp/mine"); exit.Code != 0 || out != "made by the server" {
			t.Errorf("Exec = %+v: %q", exit, out)
		}
		if _, out := run("do", "whoami"); !strings.HasPrefix(out, "1000:1000 ") || !strings.HasSuffix(out, " "+in.ID()+" /work") {
			t.Errorf("it is %q", out)
		}
		if _, out := run("do", "env"); !strings.Contains(out, "GREETING=good day") || strings.Contains(out, "LISTEN_FDS") {
			t.Errorf("its environment is %q", out)
		}
		if _, out := run("do", "list", "/proc"); !strings.HasPrefix(out, "1\n") {
			t.Errorf("/proc has %.40q", out)
		}
		if _, out := run("do", "read", "/proc/self/cgroup"); out != must(t, in, "read", "/proc/self/cgroup") {
			t.Errorf("its groups are %q", out)
		}
	})
	t.Run("no rights", func(t *testing.T) {
		_, status := run("do", "read", "/proc/self/status")
		none := strings.Repeat("0", 16)
		for _, want := range []string{"CapPrm:\t" + none, "CapEff:\t" + none, "CapBnd:\t" + none, "NoNewPrivs:\t1", "Seccomp:\t2"} {
			if !strings.Contains(status, want+"\n") {
				t.Errorf("%q is not in\n%s", want, status)
			}
		}
		if exit, out := run("do", "call", "setns"); exit.Code == 0 {
			t.Errorf("setns: %s", out)
		}
		if _, out := run("do", "list", "/proc/self/fd"); len(strings.Fields(out)) > 9 {
			t.Errorf("open descriptors: %q", strings.Fields(out))
		}
	})
	t.Run("exit", func(t *testing.T) {
		if exit, _ := run("exit", "9"); exit.Code != 9 {
			t.Errorf("Exec = %+v", exit)
		}
		for command, want := range map[string]int{"/no/such": 127, "/data/file": 126} {
			var out buffer
			if exit, err := x.Exec(t.Context(), []string{command}, &out); err != nil || exit.Code != want || !strings.Contains(out.String(), command) {
				t.Errorf("Exec of %s = %+v, %v: %q", command, exit, err, out.String())
			}
		}
		if _, err := x.Exec(t.Context(), nil, nil); err == nil {
			t.Error("Exec without a command")
		}
	})
	t.Run("limits", func(t *testing.T) {
		if s.Unlimited {
			t.Skip("limits cannot be enforced")
		}
		if exit, _ := run("do", "alloc", "128"); exit.Code == 0 {
			t.Error("128 MiB were allocated within a limit of 64")
		}
	})
	t.Run("ended early", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if exit, err := x.Exec(ctx, []string{"probe", "sleep"}, nil); !errors.Is(err, context.DeadlineExceeded) || exit.Signal != "killed" {
			t.Errorf("Exec = %+v, %v", exit, err)
		}
	})
	t.Run("ended with the copy", func(t *testing.T) {
		other := s.serve(t, nil)
		done := make(chan error, 1)
		go func() {
			exit, err := other.(instance.Executor).Exec(t.Context(), []string{"probe", "sleep"}, nil)
			if err == nil && exit.Signal != "killed" {
				err = errors.New(exit.Signal)
			}
			done <- err
		}()
		until(t, func() error { // until it runs inside
			if got := must(t, other, "list", "/proc"); strings.HasPrefix(got, "1\nacpi") || !strings.ContainsAny(strings.SplitN(got, "\n", 3)[1], "0123456789") {
				return errors.New("it does not run yet")
			}
			return nil
		})
		other.Stop(0)
		ended(t, other)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := other.(instance.Executor).Exec(t.Context(), []string{"probe"}, nil); err == nil {
			t.Error("Exec in one that has ended")
		}
	})
}
