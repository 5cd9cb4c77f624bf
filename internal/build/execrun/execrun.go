// Package execrun runs build commands as plain processes of this user. It bounds memory and processes by watching, which a hostile
// program can outrun, and hides nothing of the machine: it serves tests and the developer's own code, the sandbox serves everybody else's.
// Elsewhere than on Linux it bounds the size of files only.
package execrun

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
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
	cmd, err := command(c)
	if err != nil {
		return build.Exit{}, fmt.Errorf("starting %s: %w", c.Args[0], err)
	}
	if err := cmd.Start(); err != nil {
		return build.Exit{}, fmt.Errorf("starting %s: %w", c.Args[0], err)
	}
	s := session{id: cmd.Process.Pid, limits: c.Limits}
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { s.watch(ctx, done) })
	err = cmd.Wait()
	close(done)
	watch.Wait()
	s.kill() // what outlived its parent
	if ctx.Err() != nil {
		return build.Exit{}, context.Cause(ctx)
	}
	return s.exit(cmd, err)
}

// limited is the shell's way to bound the files that a program writes before the program begins: Go starts no process with limits of
// its own, and set afterwards they come too late for a quick one. What the shell adds to the environment is taken out again.
const limited = `ulimit -f "$1" && shift && unset PWD OLDPWD SHLVL && exec "$@"`

// command is c in a session of its own, its files limited.
func command(c build.Command) (*exec.Cmd, error) {
	const block = 512 // bytes, of ulimit -f
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	if c.Limits.FileBytes > 0 {
		path, err := program(cmd, c.Dir)
		if err != nil {
			return nil, err
		}
		blocks := (c.Limits.FileBytes + block - 1) / block
		args := []string{"-c", limited, "sh", strconv.FormatInt(blocks, 10), path}
		cmd = exec.Command("/bin/sh", append(args, c.Args[1:]...)...)
	}
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.Dir, c.Env, c.Stdout, c.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = 5 * time.Second // a pipe held open by something that left the session
	return cmd, nil
}

// program is the file that cmd runs in dir. One that cannot be run is an error, which a shell would only have printed.
func program(cmd *exec.Cmd, dir string) (string, error) {
	if cmd.Err != nil {
		return "", cmd.Err
	}
	path := cmd.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return exec.LookPath(path)
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
