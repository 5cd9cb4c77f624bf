//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/instance"
)

// backlog is how many connections wait at an activation socket before the process accepts them.
const backlog = 1024

// Instance is one running copy. It implements instance.Instance and instance.Timed.
type Instance struct {
	driver    *Driver
	id        string
	port      int
	command   instance.Process // what others that run in it have in common with its own process
	socket    string           // activation socket, or empty
	process   *process
	out       *stream
	beside    *Instance // whose network it is in; nil: its own
	requested atomic.Bool
	stopping  atomic.Bool
	final     atomic.Pointer[instance.Strain] // set before its group goes
	done      chan struct{}
	exit      instance.Exit // written before done is closed
}

// live is the owner of a copy from its birth to its end.
func (i *Instance) live() {
	defer i.driver.running.Done()
	defer close(i.done)
	defer i.driver.forget(i.id)
	p := i.process
	if err := p.wait(); err != nil {
		i.driver.log.Error("waiting for an instance", "instance", i.id, "error", err)
	}
	i.exit = p.exit()
	i.final.Store(&i.exit.Strain)
	i.exit.Requested = i.requested.Load()
	i.out.finish()
	i.unlisten()
	p.withdraw()
	if err := errors.Join(p.pidfd.Close(), i.driver.giveBack(p.berth)); err != nil {
		i.driver.log.Error("giving back what an instance used", "instance", i.id, "error", err)
	}
}

// ID implements instance.Instance.
func (i *Instance) ID() string { return i.id }

// Done implements instance.Instance.
func (i *Instance) Done() <-chan struct{} { return i.done }

// Exit implements instance.Instance.
func (i *Instance) Exit() instance.Exit { return i.exit }

// Timing implements instance.Timed.
func (i *Instance) Timing() instance.Timing { return i.process.timing }

// Usage implements instance.Instance.
func (i *Instance) Usage() (instance.Usage, error) {
	u, err := i.process.berth.group.usage()
	if err != nil {
		return u, fmt.Errorf("reading what instance %s uses: %w", i.id, err)
	}
	return u, nil
}

// Strain implements instance.Strained.
func (i *Instance) Strain() instance.Strain {
	now := i.process.berth.group.strain() // nothing, when the group is gone
	if all := i.final.Load(); all != nil {
		return *all
	}
	return now
}

// Stop implements instance.Instance. A second call can only shorten the grace.
func (i *Instance) Stop(grace time.Duration) {
	i.requested.Store(true)
	if grace <= 0 {
		i.process.kill()
		return
	}
	i.process.signal(unix.SIGTERM)
	timer := time.AfterFunc(grace, i.process.kill)
	if i.stopping.CompareAndSwap(false, true) {
		go func() { // ends with the copy, whose end the timer guarantees
			<-i.done
			timer.Stop()
		}()
	}
}

// Dial implements instance.Instance.
func (i *Instance) Dial(ctx context.Context) (net.Conn, error) {
	if i.socket == "" {
		return i.DialPort(ctx, i.port)
	}
	if err := i.over(); err != nil {
		return nil, err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", i.socket)
	if err != nil {
		return nil, fmt.Errorf("connecting to instance %s: %w", i.id, err)
	}
	return conn, nil
}

// DialPort implements instance.PortDialer.
func (i *Instance) DialPort(ctx context.Context, port int) (net.Conn, error) {
	if err := i.over(); err != nil {
		return nil, err
	}
	if i.beside != nil {
		return i.beside.DialPort(ctx, port)
	}
	dial := i.dialInside
	if i.process.berth.netns == nil {
		dial = i.dialRootless
	}
	conn, err := dial(ctx, port)
	if err != nil {
		return nil, fmt.Errorf("connecting to port %d of instance %s: %w", port, i.id, err)
	}
	return conn, nil
}

// over is an error when the copy has ended.
func (i *Instance) over() error {
	select {
	case <-i.done:
		return fmt.Errorf("instance %s has ended: %w", i.id, net.ErrClosed)
	default:
		return nil
	}
}

// listen makes the activation socket. Its address is one of the host's files, so the copy's network does not matter.
func (i *Instance) listen() (int, error) {
	fd, err := ownFD(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0))
	if err != nil {
		return -1, fmt.Errorf("making the activation socket: %w", err)
	}
	_ = os.Remove(i.socket)
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: i.socket}); err == nil {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		_ = unix.Close(fd)
		i.unlisten()
		return -1, fmt.Errorf("listening at %s: %w", i.socket, err)
	}
	return fd, nil
}

func (i *Instance) unlisten() {
	if i.socket != "" {
		_ = os.Remove(i.socket)
	}
}

var (
	_ instance.Instance   = (*Instance)(nil)
	_ instance.Timed      = (*Instance)(nil)
	_ instance.Strained   = (*Instance)(nil)
	_ instance.Listening  = (*Instance)(nil)
	_ instance.PortDialer = (*Instance)(nil)
	_ instance.Executor   = (*Instance)(nil)
	_ instance.Driver     = (*Driver)(nil)
	_ instance.Sharer     = (*Driver)(nil)
)
