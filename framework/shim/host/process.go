package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Command is a program to start.
type Command struct {
	Args []string
	Env  []string // "KEY=value"
}

// Find resolves the program in PATH of its environment, so that a mistake is told once, at the start.
func (c *Command) Find() error {
	if len(c.Args) == 0 {
		return errors.New("there is no command to run")
	}
	name := c.Args[0]
	if strings.Contains(name, "/") {
		return runnable(name)
	}
	search := ParseEnv(c.Env)["PATH"]
	for _, dir := range filepath.SplitList(search) {
		if at := filepath.Join(dir, name); runnable(at) == nil {
			c.Args = append([]string{at}, c.Args[1:]...)
			return nil
		}
	}
	if runnable("./"+name) == nil {
		c.Args = append([]string{"./" + name}, c.Args[1:]...)
		return nil
	}
	return fmt.Errorf("command not found: %q is neither in PATH (%s) nor in the directory of the function", name, search)
}

func runnable(file string) error {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("command not found: there is no file %s", file)
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory, not a program", file)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not executable: give it the permission with chmod +x", file)
	}
	return nil
}

// Cmd prepares the program in a process group of its own, so that all of it can be ended.
func (c *Command) Cmd() *exec.Cmd {
	cmd := &exec.Cmd{Path: c.Args[0], Args: c.Args, Env: c.Env, Stderr: os.Stderr}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// Explain says what an error of starting a program means.
func Explain(name string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("cannot execute %s: it is for another architecture, or a script without #!", name)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot execute %s: neither it nor, perhaps, its interpreter or loader is in the image", name)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("cannot execute %s: it is not executable by the user it runs as", name)
	case errors.Is(err, syscall.EAGAIN):
		return fmt.Errorf("cannot start %s: there are as many processes as the limit allows: %w", name, err)
	}
	return fmt.Errorf("starting %s: %w", name, err)
}

// Ending says how a process ended.
func Ending(state *os.ProcessState) string {
	if w, ok := state.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return "was killed by signal " + w.Signal().String()
	}
	return fmt.Sprintf("ended with exit code %d", state.ExitCode())
}

// Kill sends a signal to all of a process group.
func Kill(cmd *exec.Cmd, s syscall.Signal) {
	_ = syscall.Kill(-cmd.Process.Pid, s) // gone already is as good
}

// Process is a program that runs for longer than a call.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// Start runs a program whose output is the shim's own.
func Start(c Command) (*Process, error) {
	p := &Process{cmd: c.Cmd(), done: make(chan struct{})}
	p.cmd.Stdout = os.Stdout
	if err := p.cmd.Start(); err != nil {
		return nil, Explain(c.Args[0], err)
	}
	go func() { // ends with the process; whoever needs its end waits for Done
		_ = p.cmd.Wait() // its state tells how it ended
		close(p.done)
	}()
	return p, nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ending says how it ended, after Done.
func (p *Process) Ending() string { return Ending(p.cmd.ProcessState) }

// Name is what was started.
func (p *Process) Name() string { return p.cmd.Path }

// Kill ends the process and all it started at once, and waits.
func (p *Process) Kill() {
	Kill(p.cmd, syscall.SIGKILL)
	<-p.done
}

// Stop asks the process to end and makes it after the grace. It returns when it has ended, and tells whether it did so by itself.
func (p *Process) Stop(grace time.Duration) bool {
	Kill(p.cmd, syscall.SIGTERM)
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.done:
		Kill(p.cmd, syscall.SIGKILL) // what it left behind
		return true
	case <-t.C:
		p.Kill()
		return false
	}
}
