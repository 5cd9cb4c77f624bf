//go:build linux && (amd64 || arm64)

package sandbox

import (
	"encoding/binary"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

func TestFilter(t *testing.T) {
	// The interpreter knows packets, whose words are big endian; the kernel hands over words as they are.
	vm, err := bpf.NewVM(instructions())
	if err != nil {
		t.Fatal(err)
	}
	verdict := func(arch, nr, arg uint32) uint32 {
		data := make([]byte, 64)
		binary.BigEndian.PutUint32(data[offNr:], nr)
		binary.BigEndian.PutUint32(data[offArch:], arch)
		binary.BigEndian.PutUint32(data[offArg0:], arg)
		n, err := vm.Run(data)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(n)
	}
	for _, c := range []struct {
		name    string
		nr, arg uint32
		want    uint32
	}{
		{"read", unix.SYS_READ, 0, actAllow}, {"execve", unix.SYS_EXECVE, 0, actAllow}, {"futex", unix.SYS_FUTEX, 0, actAllow},
		{"openat2", unix.SYS_OPENAT2, 0, actAllow}, {"rseq", unix.SYS_RSEQ, 0, actAllow}, {"epoll_pwait2", unix.SYS_EPOLL_PWAIT2, 0, actAllow},
		{"thread", unix.SYS_CLONE, unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SIGHAND, actAllow},
		{"new user namespace", unix.SYS_CLONE, unix.CLONE_NEWUSER | unix.CLONE_VM, actDeny},
		{"new network namespace", unix.SYS_CLONE, unix.CLONE_NEWNET, actDeny},
		{"clone3", unix.SYS_CLONE3, 0, actAbsent},
		{"tcp", unix.SYS_SOCKET, unix.AF_INET, actAllow}, {"unix", unix.SYS_SOCKET, unix.AF_UNIX, actAllow}, {"vsock", unix.SYS_SOCKET, unix.AF_VSOCK, actDeny},
		{"personality", unix.SYS_PERSONALITY, 0, actAllow}, {"which personality", unix.SYS_PERSONALITY, 0xffffffff, actAllow},
		{"no randomisation", unix.SYS_PERSONALITY, 0x40000, actDeny},
		{"newest reviewed", lastReviewed, 0, actAllow}, {"unreviewed", lastReviewed + 1, 0, actAbsent}, {"x32", 0x40000000 | unix.SYS_READ, 0, actAbsent},
	} {
		if got := verdict(auditArch, c.nr, c.arg); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
	for _, nr := range append(deniedHere, denied...) {
		if got := verdict(auditArch, uint32(nr), 0); got != actDeny {
			t.Errorf("system call %d: %#x, want denied", nr, got)
		}
	}
	if got := verdict(unix.AUDIT_ARCH_I386, unix.SYS_READ, 0); got != actKill {
		t.Errorf("another architecture: %#x, want killed", got)
	}
}
