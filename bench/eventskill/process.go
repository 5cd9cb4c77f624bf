//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// process is one life of the platform or of the function.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended, and its notes were read to the end
	err   error         // how it ended
}

// spawn starts this program in a role. Its output is given to notes, which may be nil.
func spawn(role, dir, redis string, notes func(io.Reader)) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(self, "-role", role, "-dir", dir, "-redis", redis), ended: make(chan struct{})} //nolint:gosec // ourselves
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out io.ReadCloser
	if notes != nil {
		if out, err = p.cmd.StdoutPipe(); err != nil {
			return nil, err
		}
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the %s: %w", role, err)
	}
	go func() {
		defer close(p.ended)
		if notes != nil {
			notes(out)
		}
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// gone tells whether it has ended.
func (p *process) gone() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// wait is for the end. Killed processes end with an error, others should not.
func (p *process) wait() error {
	<-p.ended
	return p.err
}

// endpoint is the function, over its lives.
type endpoint struct {
	dir    string
	ledger *ledger

	mu    sync.Mutex
	alive *process
}

func (e *endpoint) start() (err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.alive, err = spawn("function", e.dir, "", e.ledger.read)
	return err
}

// kill ends a life, and begins the next when everything that was noted in it is known.
func (e *endpoint) kill() error {
	e.end()
	return e.start()
}

func (e *endpoint) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.alive.signal(syscall.SIGKILL)
	_ = e.alive.wait()
}

// rest stops it for a while.
func (e *endpoint) rest(ctx context.Context, wait func(context.Context)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.alive.signal(syscall.SIGSTOP)
	defer e.alive.signal(syscall.SIGCONT)
	wait(ctx)
}
