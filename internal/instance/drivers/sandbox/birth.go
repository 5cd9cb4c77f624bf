//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/instance"
)

// process is a copy from the clone on: what both instances and commands are made of.
type process struct {
	pid    int
	pidfd  *os.File // in the runtime's poller: no thread waits
	berth  *berth
	timing instance.Timing
	status unix.WaitStatus
	at     time.Time

	offered []net.Listener // services of the platform in the copy's network
}

// bear starts a plan and returns when its program was executed. When it fails, or ctx ends before, nothing is left.
func (d *Driver) bear(ctx context.Context, pl *plan, l instance.Limits, services []instance.Service, began time.Time) (*process, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	_ = unix.SetNonblock(fds[0], true)
	executed := os.NewFile(uintptr(fds[0]), "executed")
	defer executed.Close()
	fail, err := ownFD(fds[1], nil)
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	pl.fail = fail
	r, err := d.launch(ctx, &launch{plan: pl, limits: l, result: make(chan launched, 1)})
	_ = unix.Close(fail)
	if err != nil {
		return nil, err
	}
	defer r.prog.free()
	_ = unix.SetNonblock(r.pidfd, true)
	p := &process{pid: r.pid, pidfd: os.NewFile(uintptr(r.pidfd), "process"), berth: r.berth}
	p.timing.Prepare = r.born.Sub(began)
	stop := context.AfterFunc(ctx, p.kill)
	offered := p.offer(d.network.host, services)
	if offered != nil {
		p.kill()
	}
	_, _ = executed.Read(make([]byte, 1)) // nothing is ever written: it ends when the program is executed, or the child has ended
	p.timing.Sandbox = time.Since(r.born)
	cancelled := !stop()
	d.host.restoreDumpable()
	if err = errors.Join(offered, r.prog.failure()); err == nil && !cancelled {
		d.host.expose(p.pid)
		return p, nil
	}
	if cancelled {
		err = context.Cause(ctx)
	}
	p.kill()
	return nil, errors.Join(err, p.reap())
}

// launch hands the start to a thread.
func (d *Driver) launch(ctx context.Context, j *launch) (launched, error) {
	select {
	case d.threads.jobs <- j:
	default:
		select { // no thread is ready; let those that rest begin
		case d.threads.hurry <- struct{}{}:
		default:
		}
		select {
		case d.threads.jobs <- j:
		case <-ctx.Done():
			return launched{}, fmt.Errorf("waiting for surroundings: %w", context.Cause(ctx))
		case <-d.threads.closing:
			return launched{}, instance.ErrClosed
		}
	}
	r := <-j.result
	if r.err == nil {
		return r, nil
	}
	if r.prog != nil {
		r.prog.free()
	}
	if r.berth != nil {
		r.err = errors.Join(r.err, d.giveBack(r.berth))
	}
	return launched{}, r.err
}

// giveBack discards a berth within a bounded time.
func (d *Driver) giveBack(b *berth) error {
	ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
	defer cancel()
	return b.discard(ctx)
}

// removeTimeout bounds how long the kernel may take to let go of an empty group.
const removeTimeout = 10 * time.Second

// signal sends a signal to the first process. Signals to one that has ended are lost.
func (p *process) signal(s unix.Signal) {
	c, err := p.pidfd.SyscallConn()
	if err != nil {
		return
	}
	_ = c.Control(func(fd uintptr) { _ = unix.PidfdSendSignal(int(fd), s, nil, 0) })
}

// kill ends everything inside: the kernel kills a process namespace with its first process.
func (p *process) kill() { p.signal(unix.SIGKILL) }

// wait returns when the first process, and with it all others, has ended.
func (p *process) wait() error {
	c, err := p.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = c.Read(func(uintptr) bool {
		for {
			pid, err := unix.Wait4(p.pid, &p.status, unix.WNOHANG|unix.WALL, nil)
			if err == unix.EINTR {
				continue
			}
			failed = err
			return pid != 0 || err != nil
		}
	})
	p.at = time.Now()
	return errors.Join(err, failed)
}

// reap waits for the end and gives everything back.
func (p *process) reap() error {
	err := p.wait()
	p.withdraw()
	ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
	defer cancel()
	return errors.Join(err, p.pidfd.Close(), p.berth.discard(ctx))
}

// ended is exit without what the group knows.
func (p *process) ended() instance.Exit {
	e := instance.Exit{Code: p.status.ExitStatus(), At: p.at}
	if p.status.Signaled() {
		e.Code, e.Signal = -1, p.status.Signal().String()
	}
	return e
}

// killedBySignal is what a shell adds to the number of the signal that ended its program.
const killedBySignal = 128

// exit says how it ended. Its group must still be there.
func (p *process) exit() instance.Exit {
	e := p.ended()
	e.Strain = p.berth.group.strain()
	killed := e.Code == killedBySignal+int(unix.SIGKILL) || p.status.Signaled() && p.status.Signal() == unix.SIGKILL
	e.OutOfMemory = killed && e.Strain.MemoryKills > 0
	return e
}
