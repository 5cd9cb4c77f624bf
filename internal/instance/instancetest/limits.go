package instancetest

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/instance"
)

func (s *suite) privileges(t *testing.T) {
	for _, uid := range []uint32{0, 1000} {
		t.Run(fmt.Sprintf("user %d", uid), func(t *testing.T) {
			in := s.serve(t, func(sp *instance.Spec) { sp.Process.UID, sp.Process.GID = uid, uid })
			status := must(t, in, "read", "/proc/self/status")
			none := strings.Repeat("0", 16)
			for _, want := range []string{"CapInh:\t" + none, "CapPrm:\t" + none, "CapEff:\t" + none, "CapBnd:\t" + none, "CapAmb:\t" + none, "NoNewPrivs:\t1", "Seccomp:\t2"} {
				if !strings.Contains(status, want+"\n") {
					t.Errorf("%q is not in\n%s", want, status)
				}
			}
			refused(t, in, "call", "setuid")
			for _, c := range []string{"mount", "umount", "unshare", "clone-user", "clone3", "setns", "ptrace", "bpf", "keyctl", "userfaultfd",
				"io_uring", "perf", "module", "kexec", "reboot", "chroot", "hostname", "open_tree", "vsock", "raw-socket", "unknown"} {
				// An error about the arguments would mean that the call got through.
				reply, err := ask(t, in, "call", c)
				if err == nil || err.Error() != "operation not permitted" && err.Error() != "function not implemented" {
					t.Errorf("call %s: %q, %v", c, reply, err)
				}
			}
		})
	}
}

// moduleLimits: a module that may not grow ends itself, and is told as out of memory.
func (s *suite) moduleLimits(t *testing.T) {
	limit := func(sp *instance.Spec) { sp.Limits.MemoryBytes = 32 << 20 }
	in := s.serve(t, limit)
	until(t, func() error { _, err := ask(t, in, "alloc", "4"); return err })
	u, err := in.Usage()
	if err != nil || u.MemoryBytes < 4<<20 || u.MemoryBytes > 32<<20 {
		t.Errorf("Usage = %+v, %v", u, err)
	}
	if _, err := ask(t, in, "alloc", "64"); err == nil {
		t.Error("64 MiB were allocated within a limit of 32")
	}
	if e := ended(t, in); !e.OutOfMemory || e.Requested {
		t.Errorf("Exit = %+v, want out of memory", e)
	}
	spec := s.spec("serve")
	spec.Limits.MemoryBytes = 64 << 10
	if _, err := s.driver.Start(t.Context(), spec); err == nil {
		t.Error("a module started with less memory than it needs")
	}
}

func (s *suite) limits(t *testing.T) {
	if s.Unlimited {
		_, err := s.driver.Start(t.Context(), func() instance.Spec {
			sp := s.spec("serve")
			sp.Limits.MemoryBytes = 32 << 20
			return sp
		}())
		if !errors.Is(err, instance.ErrUnenforceable) {
			t.Errorf("Start = %v, want ErrUnenforceable", err)
		}
		return
	}
	with := func(l instance.Limits) func(*instance.Spec) { return func(sp *instance.Spec) { sp.Limits = l } }
	if s.Module {
		s.moduleLimits(t)
		return
	}
	t.Run("memory", func(t *testing.T) {
		in := s.serve(t, with(instance.Limits{MemoryBytes: 32 << 20}))
		if _, err := ask(t, in, "alloc", "64"); err == nil {
			t.Error("64 MiB were allocated within a limit of 32")
		}
		if e := ended(t, in); !e.OutOfMemory || e.Signal != "killed" || e.Requested {
			t.Errorf("Exit = %+v, want out of memory", e)
		}
		if in, ok := in.(instance.Strained); ok && in.Strain().MemoryKills == 0 {
			t.Errorf("Strain after the end = %+v, want a kill", in.Strain())
		}
	})
	t.Run("memory of a child", func(t *testing.T) {
		in := s.serve(t, with(instance.Limits{MemoryBytes: 32 << 20}))
		if _, err := ask(t, in, "child", "alloc", "64"); err == nil {
			t.Error("64 MiB were allocated within a limit of 32")
		}
		if in, ok := in.(instance.Strained); ok && in.Strain().MemoryKills == 0 {
			t.Errorf("Strain = %+v, want a kill", in.Strain())
		}
	})
	t.Run("memory that suffices", func(t *testing.T) {
		in := s.serve(t, with(instance.Limits{MemoryBytes: 64 << 20}))
		must(t, in, "alloc", "32")
		u, err := in.Usage()
		if err != nil || u.MemoryBytes < 32<<20 || u.MemoryBytes > 64<<20 || u.PIDs != 1 {
			t.Errorf("Usage = %+v, %v", u, err)
		}
	})
	t.Run("seen from inside", func(t *testing.T) {
		in := s.serve(t, func(sp *instance.Spec) {
			sp.Process.UID, sp.Process.GID = 0, 0
			sp.Limits = instance.Limits{MemoryBytes: 48 << 20}
		})
		file := "/sys/fs/cgroup/memory.max" // version 2
		if _, err := ask(t, in, "read", file); err != nil {
			file = "/sys/fs/cgroup/memory/memory.limit_in_bytes"
		}
		if got := must(t, in, "read", file); got != strconv.Itoa(48<<20)+"\n" {
			t.Errorf("%s is %q", file, got)
		}
		refused(t, in, "append", file, "99999999")
		for _, dir := range []string{"/sys/fs/cgroup", filepath.Dir(file)} {
			refused(t, in, "write", filepath.Join(dir, "x"), "x")
		}
	})
	t.Run("pids", func(t *testing.T) {
		in := s.serve(t, with(instance.Limits{PIDs: 30}))
		n, _ := strconv.Atoi(must(t, in, "spawn", "100"))
		if n < 1 || n >= 30 { // each of them has several threads, which count
			t.Errorf("%d processes were started within a limit of 30", n)
		}
		if in, ok := in.(instance.Strained); ok && in.Strain().ForksRefused == 0 {
			t.Errorf("Strain = %+v, want a refusal", in.Strain())
		}
	})
	t.Run("cpu", func(t *testing.T) {
		in := s.serve(t, with(instance.Limits{CPUMillis: 200}))
		used, _ := strconv.Atoi(must(t, in, "spin", "1000"))
		if used > 500 { // a fifth is allowed; a busy machine may give less
			t.Errorf("used %d ms of processor time in a second, limit 200", used)
		}
	})
}
