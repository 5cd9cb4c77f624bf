package servers

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"sync"
	"syscall"
)

const (
	stopSignal = syscall.SIGSTOP
	contSignal = syscall.SIGCONT
)

// process is a child that does not outlive the test binary.
type process struct {
	pid    int
	output *ring
	ended  chan struct{}
	code   int // of the exit, once ended
}

// startProcess starts what s says in a process group of its own. The thread that starts it waits for it: the kernel sends the
// parent-death signal when that thread, not the process, ends.
func startProcess(s spec) (*process, error) {
	p := &process{output: &ring{}, ended: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.ended)
		cmd := exec.Command(s.argv[0], s.argv[1:]...)
		cmd.Dir, cmd.Env = s.dir, s.env
		cmd.Stdout, cmd.Stderr = p.output, p.output
		cmd.SysProcAttr = attributes()
		cmd.SysProcAttr.Setpgid = true
		if s.nobody {
			cmd.SysProcAttr.Credential = ordinary()
		}
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		_ = cmd.Wait() // told by the code
		p.code = cmd.ProcessState.ExitCode()
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", s.argv[0], err)
	}
	return p, nil
}

// kill ends the process and those that it started, and waits.
func (p *process) kill() {
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	<-p.ended
}

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if s.run == nil {
		s.t.Fatalf("signalling %s: it does not run", s.spec.name)
		return
	}
	if err := syscall.Kill(-s.run.pid, sig); err != nil {
		s.t.Fatalf("signalling %s: %v", s.spec.name, err)
	}
}

// ordinary is a user without rights, for servers that refuse to run as root; nil when the test is not root.
func ordinary() *syscall.Credential {
	if os.Getuid() != 0 {
		return nil
	}
	for _, name := range []string{"nobody", "daemon"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return nil
}

// ring keeps the end of what a server says.
type ring struct {
	mu  sync.Mutex
	buf []byte
}

const ringSize = 8 << 10

func (r *ring) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buf = append(r.buf, p...)
	if over := len(r.buf) - ringSize; over > 0 {
		r.buf = append(r.buf[:0], r.buf[over:]...)
	}
	return len(p), nil
}

func (r *ring) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.buf)
}
