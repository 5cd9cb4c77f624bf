//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/instance"
)

// What a shell says of a command that is not a program, or not there.
const (
	notExecutable = 126
	notFound      = 127
)

const (
	fdTarget = 12 // the process whose namespaces are entered
	// inside are the namespaces of a copy but for that of users, which is entered last where the platform is root.
	inside = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
)

// Exec implements instance.Executor. The child that enters the copy has a copy of the platform's memory and does not share
// it: the copy may be at its limit, and a process that the kernel then kills must not take the platform with it.
func (i *Instance) Exec(ctx context.Context, args []string, output io.Writer) (instance.Exit, error) {
	if err := i.over(); err != nil {
		return instance.Exit{}, err
	}
	if len(args) == 0 || args[0] == "" {
		return instance.Exit{}, errors.New("no command to run")
	}
	exit, err := i.exec(ctx, args, writer(output))
	if refused, ok := errors.AsType[*StartError](err); ok && refused.executing() {
		_, _ = io.WriteString(writer(output), refused.Error()+"\n")
		if refused.Err == unix.ENOENT {
			return instance.Exit{Code: notFound, At: time.Now()}, nil
		}
		return instance.Exit{Code: notExecutable, At: time.Now()}, nil
	}
	if err != nil {
		return exit, fmt.Errorf("running %s in instance %s: %w", args[0], i.id, err)
	}
	return exit, nil
}

func (i *Instance) exec(ctx context.Context, args []string, output io.Writer) (instance.Exit, error) {
	out, err := newStream(i.driver.host, i.command.UID, i.command.GID)
	if err != nil {
		return instance.Exit{}, err
	}
	p, err := i.enter(args, out.w)
	out.closeWriter()
	if err != nil {
		out.abandon()
		return instance.Exit{}, err
	}
	go out.copyTo(output)
	stop := context.AfterFunc(ctx, p.kill)
	err = p.wait()
	early := !stop()
	out.finish()
	exit := p.ended()
	if early {
		exit.Requested = true
		err = errors.Join(err, context.Cause(ctx))
	}
	return exit, errors.Join(err, p.pidfd.Close())
}

// enter returns when the command was executed inside.
func (i *Instance) enter(args []string, out int) (*process, error) {
	pl := &plan{host: i.driver.host, process: i.command, stdin: i.driver.host.null, stdout: out, stderr: out, listen: -1}
	pl.process.Args = args
	p, err := newSharedProgram(pl.size())
	if err != nil {
		return nil, err
	}
	defer p.free()
	born := p.words(0)
	c, err := i.process.pidfd.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = c.Control(func(pidfd uintptr) {
		pl.enter(p, pidfd, i.process.berth.group.doors(), born)
		if failed = p.seal(); failed == nil {
			failed = p.runCopied()
		}
	})
	pid := int(p.word(born))
	if pid == 0 {
		return nil, errors.Join(err, failed)
	}
	found := &process{pid: pid}
	fd, opened := ownFD(unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)) // it is our child, so that its number stays its own
	if err = errors.Join(err, failed, opened); err == nil {
		found.pidfd = os.NewFile(uintptr(fd), "process")
		return found, nil
	}
	_ = unix.Kill(pid, unix.SIGKILL)
	_, _ = unix.Wait4(pid, nil, unix.WALL, nil)
	if opened == nil {
		_ = unix.Close(fd)
	}
	return nil, err
}

// enter writes down how a child goes into the copy that pidfd stands for and lets another one execute a command there: a
// process can change the namespace of its children's numbers only, not that of its own. The other one is the platform's child.
func (pl *plan) enter(p *program, pidfd uintptr, doors []string, born uintptr) {
	p.doing("arranging its file descriptors")
	if pidfd != fdTarget { // the only one that may have any number
		p.call(unix.SYS_DUP3, pidfd, fdTarget, unix.O_CLOEXEC)
	}
	if pl.host.userns >= 0 {
		p.call(unix.SYS_DUP3, uintptr(pl.host.userns), fdUserNS, unix.O_CLOEXEC)
	}
	for to, from := range []int{pl.stdin, pl.stdout, pl.stderr} {
		p.call(unix.SYS_DUP3, uintptr(from), uintptr(to), 0)
	}
	p.call(unix.SYS_CLOSE_RANGE, fdTarget+1, uintptr(^uint32(0)), 0)
	p.call(unix.SYS_CLOSE_RANGE, fdListen, fdUserNS-1, 0)
	p.call(unix.SYS_SETSID)
	p.doing("entering its control group")
	for _, name := range doors {
		pl.writeTo(p, name, "0")
	}
	p.doing("entering its namespaces")
	if pl.host.rootless {
		p.call(unix.SYS_SETNS, fdTarget, unix.CLONE_NEWUSER)
	}
	p.call(unix.SYS_SETNS, fdTarget, inside)
	p.doing("making a process inside")
	fork := p.fork(cloneArgs{flags: unix.CLONE_PARENT | unix.CLONE_VM | unix.CLONE_VFORK | unix.CLONE_PARENT_SETTID, parentTID: uint64(born)})
	pl.confine(p)
	pl.execute(p)
	p.land(fork)
}

// runCopied lets a child that has a copy of the platform's memory run the sealed program to its end.
func (p *program) runCopied() error {
	pid, pidfd, err := p.cloneAs(0, -1)
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

// doors are the files of a group of version 1 by which a process enters it.
func (g *legacyGroup) doors() []string {
	out := make([]string, 0, len(g.dirs))
	for _, dir := range g.dirs {
		out = append(out, filepath.Join(dir, "tasks"))
	}
	return out
}

func (g *unifiedGroup) doors() []string { return []string{filepath.Join(g.dir, "cgroup.procs")} }
func (noGroup) doors() []string         { return nil }
