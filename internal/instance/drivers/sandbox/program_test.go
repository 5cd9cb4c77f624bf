//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestLayout holds the structures and the assembly that walks them together.
func TestLayout(t *testing.T) {
	var s step
	for name, c := range map[string]struct{ got, want uintptr }{
		"header": {unsafe.Sizeof(header{}), 64}, "step": {unsafe.Sizeof(s), 80}, "args": {unsafe.Offsetof(s.args), 8},
		"ignore": {unsafe.Offsetof(s.ignore), 56}, "out": {unsafe.Offsetof(s.out), 64}, "deref": {unsafe.Offsetof(s.deref), 72},
		"failed": {unsafe.Offsetof(header{}.failed), 0}, "errno": {unsafe.Offsetof(header{}.errno), 8},
		"clone arguments": {unsafe.Sizeof(cloneArgs{}), 88},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", name, c.got, c.want)
		}
	}
}

func newTestProgram(t *testing.T, data int) *program {
	t.Helper()
	p, err := newProgram(data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.free)
	return p
}

func run(t *testing.T, p *program) error {
	t.Helper()
	if err := p.seal(); err != nil {
		t.Fatal(err)
	}
	return p.runShared()
}

// TestProgramForks has a grandchild that is the test's own child write, while its parent goes on elsewhere.
func TestProgramForks(t *testing.T) {
	p, err := newSharedProgram(4096)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.free)
	child, parent, made := p.words(0), p.words(0), p.words(0)
	fork := p.fork(cloneArgs{flags: unix.CLONE_PARENT | unix.CLONE_VM | unix.CLONE_VFORK | unix.CLONE_PARENT_SETTID, parentTID: uint64(made)})
	p.call(unix.SYS_GETPID).into(child)
	p.call(unix.SYS_EXIT_GROUP, 7)
	p.land(fork)
	p.call(unix.SYS_GETPID).into(parent)
	if err := p.seal(); err != nil {
		t.Fatal(err)
	}
	pid, pidfd, err := p.cloneAs(0, -1)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(pidfd)
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil || status.ExitStatus() != 0 || p.failure() != nil {
		t.Fatalf("the parent: %v, %v, %v", status, err, p.failure())
	}
	if _, err := unix.Wait4(int(p.word(made)), &status, unix.WALL, nil); err != nil || status.ExitStatus() != 7 {
		t.Errorf("the child: %v, %v", status, err)
	}
	if p.word(parent) != uint64(pid) || p.word(child) != p.word(made) {
		t.Errorf("parent %d, want %d; child %d, want %d", p.word(parent), pid, p.word(child), p.word(made))
	}
}

func TestProgramPassesResultsOn(t *testing.T) {
	p := newTestProgram(t, 4096)
	fd, pid := p.words(0), p.words(0)
	name := t.TempDir() + "/made"
	p.call(unix.SYS_OPENAT, atCWD, p.str(name), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600).into(fd)
	p.call(unix.SYS_WRITE, 0, p.str("by the child"), 12).from(0, fd)
	p.call(unix.SYS_CLOSE, 0).from(0, fd)
	p.call(unix.SYS_GETPPID).into(pid)
	if err := run(t, p); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "by the child" {
		t.Errorf("made %q, %v", b, err)
	}
	if got := p.word(pid); got != uint64(os.Getpid()) {
		t.Errorf("the child's parent is %d, want %d", got, os.Getpid())
	}
}

func TestProgramStopsAtItsFirstFailure(t *testing.T) {
	p := newTestProgram(t, 4096)
	after := p.words(0)
	p.doing("going astray")
	p.call(unix.SYS_CHDIR, p.str("/no/such")).allow(unix.ENOENT)
	p.call(unix.SYS_CHDIR, p.str("/dev/null")).allowAny()
	p.doing("failing")
	p.call(unix.SYS_CHDIR, p.str("/no/such")).allow(unix.EACCES)
	p.doing("going on")
	p.call(unix.SYS_GETPID).into(after)
	err := run(t, p)
	var failure *StartError
	if !errors.As(err, &failure) || failure.Doing != "failing" || failure.Err != unix.ENOENT {
		t.Errorf("error %v, want failing: ENOENT", err)
	}
	if p.word(after) != 0 {
		t.Error("a step after the failure was made")
	}
}

func TestProgramTooLarge(t *testing.T) {
	if _, err := newProgram(maxProgram); !errors.Is(err, errProgramTooLarge) {
		t.Errorf("newProgram = %v", err)
	}
	p := newTestProgram(t, 0)
	p.str(strings.Repeat("x", 8192))
	if err := p.seal(); !errors.Is(err, errProgramTooLarge) {
		t.Errorf("seal = %v", err)
	}
	p = newTestProgram(t, 0)
	for range maxSteps + 1 {
		p.call(unix.SYS_GETPID)
	}
	if err := p.seal(); !errors.Is(err, errProgramTooLarge) {
		t.Errorf("seal = %v", err)
	}
}
