package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// pollEvery is how often a starting function is asked whether it is ready.
const pollEvery = 5 * time.Millisecond

// process is one running version of the function.
type process struct {
	program Program
	cmd     *exec.Cmd
	network string // where it listens
	address string
	handler http.Handler // passes a request on to it
	began   time.Time
	done    chan struct{} // closed when it has ended
	err     error         // how it ended; read after done

	requests sync.WaitGroup // added to only while it is the upstream's current one
}

// launch is what starting a process takes.
type launch struct {
	program        Program
	dir, sockets   string
	name           string // of its socket
	env            []string
	stdout, stderr io.Writer
}

// start starts the program; it is not ready yet.
func start(l launch) (*process, error) {
	p := &process{program: l.program, began: time.Now(), done: make(chan struct{})}
	var err error
	if l.program.ListenFD {
		err = p.prepareSocket(l)
	} else {
		err = p.preparePort(l)
	}
	if err != nil {
		return nil, err
	}
	p.handler = newHandler(p)
	if l.program.Dir != "" {
		l.dir = l.program.Dir
	}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = l.dir, l.stdout, l.stderr, ownGroup()
	p.cmd.WaitDelay = 500 * time.Millisecond // output held open by what the function started
	err = p.cmd.Start()
	for _, f := range p.cmd.ExtraFiles {
		err = errors.Join(err, f.Close()) // the child has its own
	}
	if err != nil {
		return nil, fmt.Errorf("starting the function: %w", err)
	}
	go func() { // ends with the process; everybody who needs its end waits for done
		p.err = p.cmd.Wait()
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // what it left behind
		close(p.done)
	}()
	return p, nil
}

// prepareSocket gives the program a listening socket in the manner of systemd. The shell is there because a program is to be told its own
// process id, which nobody knows before it runs.
func (p *process) prepareSocket(l launch) error {
	p.network, p.address = "unix", filepath.Join(l.sockets, l.name)
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: p.address})
	if err != nil {
		return fmt.Errorf("making the function's socket: %w", err)
	}
	socket.SetUnlinkOnClose(false)
	f, err := socket.File()
	if err = errors.Join(err, socket.Close()); err != nil {
		return fmt.Errorf("making the function's socket: %w", err)
	}
	p.cmd = exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$; export LISTEN_PID; exec "$0" "$@"`}, l.program.Args...)...)
	p.cmd.ExtraFiles = []*os.File{f}
	p.cmd.Env = append(slices.Clone(l.env), "LISTEN_FDS=1")
	return nil
}

// preparePort chooses a port for a program that listens by itself. Between here and there somebody else may take it; then the program says so.
func (p *process) preparePort(l launch) error {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("finding a port for the function: %w", err)
	}
	p.network, p.address = "tcp", free.Addr().String()
	if err := free.Close(); err != nil {
		return fmt.Errorf("finding a port for the function: %w", err)
	}
	_, port, err := net.SplitHostPort(p.address)
	if err != nil {
		return fmt.Errorf("finding a port for the function: %w", err)
	}
	p.cmd = exec.Command(l.program.Args[0], l.program.Args[1:]...)
	p.cmd.Env = append(slices.Clone(l.env), "PORT="+port)
	return nil
}

// ready waits until the process takes requests.
func (p *process) ready(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if p.answers(ctx) {
			return nil
		}
		select {
		case <-p.done:
			return &startError{how: "the function ended before it was ready: " + p.ending(), said: p.said()}
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// answers asks once. A socket that was given to the program accepts before it runs, so that it must speak; a program that listens by
// itself need only accept.
func (p *process) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, p.network, p.address)
	if err != nil {
		return false
	}
	defer c.Close()
	if !p.program.ListenFD {
		return true
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(c, "GET /_ofn/health HTTP/1.1\r\nHost: localhost\r\nK-Network-Probe: queue\r\nConnection: close\r\n\r\n"); err != nil {
		return false
	}
	n, err := c.Read(make([]byte, 1))
	return n > 0 && err == nil
}

// stop asks the process to end, and makes it end when grace is over. It returns when it has.
func (p *process) stop(grace time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // gone already is as good
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
	if p.network == "unix" {
		_ = os.Remove(p.address) // its directory goes in the end
	}
}

// said is the end of what the process printed to its standard error.
func (p *process) said() string {
	if o, ok := p.cmd.Stderr.(*output); ok {
		return o.last()
	}
	return ""
}

// ending says how the process ended, which it has.
func (p *process) ending() string {
	state := p.cmd.ProcessState
	if w, ok := state.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return "it was killed by signal " + strconv.Itoa(int(w.Signal())) + " (" + w.Signal().String() + ")"
	}
	return "exit code " + strconv.Itoa(state.ExitCode())
}
