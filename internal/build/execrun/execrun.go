// Package execrun runs build commands as plain processes of this user. It bounds memory and processes by watching, which a hostile
// program can outrun, and hides nothing of the machine: it serves tests and the developer's own code, the sandbox serves everybody else's.
// Elsewhere than on Linux it bounds nothing.
package execrun

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/openfunction/ofn/internal/build"
)

const watchInterval = 20 * time.Millisecond

// Runner implements build.Runner. Its zero value is ready.
type Runner struct{}

var _ build.Runner = Runner{}

// Run runs the command in a session of its own and ends all of that session.
func (Runner) Run(ctx context.Context, c build.Command) (build.Exit, error) {
	if err := ctx.Err(); err != nil {
		return build.Exit{}, context.Cause(ctx)
	}
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.Dir, c.Env, c.Stdout, c.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = 5 * time.Second // a pipe held open by something that left the session
	if err := cmd.Start(); err != nil {
		return build.Exit{}, fmt.Errorf("starting %s: %w", c.Args[0], err)
	}
	s := session{id: cmd.Process.Pid, limits: c.Limits}
	if c.Limits.FileBytes > 0 {
		if err := limitFiles(s.id, uint64(c.Limits.FileBytes)); err != nil {
			s.kill()
			return build.Exit{}, errors.Join(fmt.Errorf("limiting the size of files: %w", err), cmd.Wait())
		}
	}
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { s.watch(ctx, done) })
	err := cmd.Wait()
	close(done)
	watch.Wait()
	s.kill() // what outlived its parent
	if ctx.Err() != nil {
		return build.Exit{}, context.Cause(ctx)
	}
	return s.exit(cmd, err)
}

func (s *session) exit(cmd *exec.Cmd, err error) (build.Exit, error) {
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) && !errors.Is(err, exec.ErrWaitDelay) {
		return build.Exit{}, fmt.Errorf("waiting for %s: %w", cmd.Path, err)
	}
	e := build.Exit{Code: cmd.ProcessState.ExitCode(), Exceeded: s.exceeded}
	if w, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && w.Signaled() && w.Signal() == syscall.SIGXFSZ {
		e.Exceeded = build.FileSize
	}
	return e, nil
}
