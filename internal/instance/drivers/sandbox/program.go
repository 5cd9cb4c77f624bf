//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// header is the first part of a program's memory. The child writes it when a step fails, just before it ends.
type header struct {
	failed uintptr // address of the failing step, 0 when none failed
	errno  uintptr
	pidfd  uintptr // written by clone3
	_      [5]uintptr
}

// step is one system call of a program. Its layout is read by spawn_*.s.
type step struct {
	nr     uintptr
	args   [6]uintptr
	ignore uintptr // the error number that does not end the program, anyError for all; where to go on, with branches
	out    uintptr // where to store the result, 0 for nowhere
	deref  uintptr // bit i: args[i] is the address of the value (i < 2); branches
}

// branches is set in deref when a result other than 0 leads to the step at ignore.
const branches = 1 << 2

const (
	anyError  = ^uintptr(0)
	maxSteps  = 4096
	stackSize = 4096
	stepsSize = maxSteps * int(unsafe.Sizeof(step{}))
	baseSize  = int(unsafe.Sizeof(header{})) + stepsSize + stackSize
	// maxProgram bounds arguments, environment and files of one start together.
	maxProgram = 16 << 20
)

var errProgramTooLarge = errors.New("arguments, environment, layers and files are too much for one start (16 MiB or 4096 steps)")

// program is a list of system calls with their data, in memory outside the Go heap. A child that shares the
// platform's memory, but neither its stacks nor its runtime, performs them in order (see docs/RATIONALE.md, "Why
// does the sandbox start without a helper process?"). The memory must stay until the child executed or ended.
type program struct {
	mem   []byte
	used  int
	steps []step
	what  []string // what[i] is being done by steps[i], for errors
	now   string
	err   error
}

// newProgram makes a program with room for data bytes of strings and the like.
func newProgram(data int) (*program, error) { return mapProgram(data, unix.MAP_PRIVATE) }

// newSharedProgram makes one whose memory a child that has a copy of the platform's memory shares all the same.
func newSharedProgram(data int) (*program, error) { return mapProgram(data, unix.MAP_SHARED) }

func mapProgram(data, how int) (*program, error) {
	size := (baseSize + data + 4095) &^ 4095
	if size > maxProgram {
		return nil, errProgramTooLarge
	}
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, how|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("reserving memory for the start: %w", err)
	}
	return &program{mem: mem, used: baseSize, steps: make([]step, 0, 160), what: make([]string, 0, 160)}, nil
}

// free gives the memory back. The child must have executed or ended.
func (p *program) free() { _ = unix.Munmap(p.mem) }

func (p *program) addr(off int) uintptr { return uintptr(unsafe.Pointer(&p.mem[off])) }

func (p *program) reserve(n int) int {
	off := (p.used + 7) &^ 7
	if off+n > len(p.mem) {
		p.err = errProgramTooLarge
		return baseSize
	}
	p.used = off + n
	return off
}

// bytes copies b and returns its address; the byte after it is zero.
func (p *program) bytes(b []byte) uintptr {
	off := p.reserve(len(b) + 1)
	if p.err != nil {
		return 0
	}
	copy(p.mem[off:], b)
	return p.addr(off)
}

func (p *program) str(s string) uintptr { return p.bytes(unsafe.Slice(unsafe.StringData(s), len(s))) }

// strs copies a vector of strings that ends with a null address, as execve wants it.
func (p *program) strs(ss []string) uintptr {
	off := p.reserve(8 * (len(ss) + 1))
	for i, s := range ss {
		a := p.str(s)
		if p.err != nil {
			return 0
		}
		*(*uintptr)(unsafe.Pointer(&p.mem[off+8*i])) = a
	}
	return p.addr(off)
}

// words copies w and returns its address.
func (p *program) words(w ...uint64) uintptr {
	off := p.reserve(8 * len(w))
	if p.err != nil {
		return 0
	}
	for i, v := range w {
		*(*uint64)(unsafe.Pointer(&p.mem[off+8*i])) = v
	}
	return p.addr(off)
}

// doing names what the following steps are for.
func (p *program) doing(what string) { p.now = what }

// call adds a step. The result is valid until the next call.
func (p *program) call(nr uintptr, args ...uintptr) *step {
	if len(p.steps) == maxSteps {
		p.err = errProgramTooLarge
		return &step{}
	}
	s := step{nr: nr}
	copy(s.args[:], args)
	p.steps = append(p.steps, s)
	p.what = append(p.what, p.now)
	return &p.steps[len(p.steps)-1]
}

func (s *step) allow(e syscall.Errno) *step { s.ignore = uintptr(e); return s }
func (s *step) allowAny() *step             { s.ignore = anyError; return s }
func (s *step) into(slot uintptr) *step     { s.out = slot; return s }

// from makes argument i (0 or 1) the value that an earlier step stored.
func (s *step) from(i int, slot uintptr) *step {
	s.args[i] = slot
	s.deref |= 1 << i
	return s
}

// fork adds a step after which only the new child goes on; the program that made it goes on where land is called with the
// result. The child has the flags of args besides its own.
func (p *program) fork(args cloneArgs) int {
	size := int(unsafe.Sizeof(args))
	off := p.reserve(size)
	if p.err == nil {
		*(*cloneArgs)(unsafe.Pointer(&p.mem[off])) = args
	}
	s := p.call(unix.SYS_CLONE3, p.addr(off), uintptr(size))
	s.deref |= branches
	return len(p.steps) - 1
}

// land is where the parent of a fork goes on.
func (p *program) land(fork int) {
	p.steps[fork].ignore = p.addr(int(unsafe.Sizeof(header{})) + len(p.steps)*int(unsafe.Sizeof(step{})))
}

// seal puts the steps where the child reads them. A program that runs to its end exits with 0.
func (p *program) seal() error {
	p.doing("ending")
	p.call(unix.SYS_EXIT_GROUP, 0)
	if p.err != nil {
		return p.err
	}
	dst := unsafe.Slice((*step)(unsafe.Pointer(&p.mem[unsafe.Sizeof(header{})])), len(p.steps))
	copy(dst, p.steps)
	return nil
}

func (p *program) header() *header { return (*header)(unsafe.Pointer(&p.mem[0])) }

// failure tells which step failed, after the child ended or executed.
func (p *program) failure() error {
	h := p.header()
	if h.failed == 0 {
		return nil
	}
	i := int(h.failed-p.addr(int(unsafe.Sizeof(header{})))) / int(unsafe.Sizeof(step{}))
	if i < 0 || i >= len(p.what) {
		return fmt.Errorf("starting: %w", syscall.Errno(h.errno))
	}
	return &StartError{Doing: p.what[i], Err: syscall.Errno(h.errno)}
}

// cloneArgs is struct clone_args of the kernel.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// word reads what the child stored.
func (p *program) word(slot uintptr) uint64 {
	return *(*uint64)(unsafe.Pointer(&p.mem[slot-p.addr(0)]))
}

// runShared lets a child that shares the platform's file descriptors run the sealed program to its end.
func (p *program) runShared() error {
	pid, pidfd, err := p.clone(unix.CLONE_FILES, -1)
	if err != nil {
		return fmt.Errorf("making a helper: %w", err)
	}
	defer unix.Close(pidfd)
	for {
		if _, err = unix.Wait4(pid, nil, unix.WALL, nil); err != unix.EINTR {
			break
		}
	}
	return errors.Join(err, p.failure())
}

// clone starts a child that shares the platform's memory and runs the sealed program, and returns its process id and
// descriptor. It must be called on a thread that lives as long as the child when the program asks for a parent-death signal.
func (p *program) clone(flags uint64, cgroupFD int) (pid, pidfd int, err error) {
	return p.cloneAs(flags|unix.CLONE_VM, cgroupFD)
}

// cloneAs is clone for a child that has a copy of the platform's memory unless the flags say otherwise.
func (p *program) cloneAs(flags uint64, cgroupFD int) (pid, pidfd int, err error) {
	size := unsafe.Sizeof(cloneArgs{})
	off := p.reserve(int(size))
	if p.err != nil {
		return 0, -1, p.err
	}
	a := (*cloneArgs)(unsafe.Pointer(&p.mem[off]))
	*a = cloneArgs{
		flags:      flags | unix.CLONE_CLEAR_SIGHAND | unix.CLONE_PIDFD,
		pidfd:      uint64(uintptr(unsafe.Pointer(&p.header().pidfd))),
		exitSignal: uint64(unix.SIGCHLD),
		stack:      uint64(p.addr(baseSize - stackSize)),
		stackSize:  stackSize,
	}
	if cgroupFD >= 0 {
		a.flags |= unix.CLONE_INTO_CGROUP
		a.cgroup = uint64(cgroupFD)
	}
	r := spawn(p.addr(off), size, p.addr(0))
	if r > ^uintptr(4095) {
		return 0, -1, syscall.Errno(-r)
	}
	return int(r), int(int32(p.header().pidfd)), nil
}

// spawn is clone3 followed, in the child, by the program. It returns the raw result of the system call.
func spawn(args, size, prog uintptr) (pid uintptr)
