//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dialInside connects with a socket that was made in the copy's network namespace. The thread is there only while the
// socket is made.
func (i *Instance) dialInside(ctx context.Context, port int) (net.Conn, error) {
	runtime.LockOSThread()
	if err := enterNetwork(i.process.berth.netns); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	inside := true
	back := func() error {
		if !inside {
			return nil
		}
		if err := unix.Setns(i.driver.network.host, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("returning from the network of the instance: %w", err)
		}
		inside = false
		return nil
	}
	dialer := net.Dialer{Control: func(string, string, syscall.RawConn) error { return back() }}
	conn, err := dialer.DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	err = errors.Join(err, back())
	if !inside { // a thread that cannot return stays locked, and ends with its goroutine
		runtime.UnlockOSThread()
	}
	return conn, err
}

func enterNetwork(ns *os.File) error {
	c, err := ns.SyscallConn()
	if err != nil {
		return err
	}
	var entered error
	if err := c.Control(func(fd uintptr) { entered = unix.Setns(int(fd), unix.CLONE_NEWNET) }); err != nil {
		return err
	}
	if entered != nil {
		return fmt.Errorf("entering the network of the instance: %w", entered)
	}
	return nil
}

// dialRootless connects with a socket from inside the copy's user namespace. A thread of the platform may not enter
// that, but a child that shares the platform's descriptors may: it makes the socket and ends.
func (i *Instance) dialRootless(ctx context.Context, port int) (net.Conn, error) {
	fd, err := i.process.socketInside()
	if err != nil {
		return nil, err
	}
	_ = unix.SetNonblock(fd, true)
	err = unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	if errors.Is(err, unix.EINPROGRESS) {
		err = awaitConnected(ctx, f)
	}
	if err != nil {
		return nil, err
	}
	return net.FileConn(f)
}

func (p *process) socketInside() (int, error) {
	prog, err := newProgram(4096)
	if err != nil {
		return -1, err
	}
	defer prog.free()
	c, err := p.pidfd.SyscallConn()
	if err != nil {
		return -1, err
	}
	slot := prog.words(^uint64(0))
	var failed error
	err = c.Control(func(pidfd uintptr) {
		prog.doing("entering the network of the instance")
		prog.call(unix.SYS_SETNS, pidfd, unix.CLONE_NEWUSER|unix.CLONE_NEWNET)
		prog.doing("making a socket in the instance")
		prog.call(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0).into(slot)
		if failed = prog.seal(); failed == nil {
			failed = prog.runShared()
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return -1, err
	}
	return int(prog.word(slot)), nil
}

// awaitConnected waits for a connection that is being made.
func awaitConnected(ctx context.Context, f *os.File) error {
	stop := context.AfterFunc(ctx, func() { _ = f.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = c.Write(func(fd uintptr) bool {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if n, _ := unix.Poll(ready, 0); n == 0 {
			return false
		}
		errno, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && errno != 0 {
			err = syscall.Errno(errno)
		}
		result = err
		return true
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(err, result)
}
