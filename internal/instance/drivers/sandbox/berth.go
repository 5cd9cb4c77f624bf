//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/instance"
)

// quiet is how long a thread leaves the processors to the copy that it just started before it prepares for the next.
const quiet = 40 * time.Millisecond

// berth is what a copy is born into: a network namespace and a control group, both made ahead of time.
type berth struct {
	group group
	netns *os.File // nil when the copy makes its own
	wire  wire
	left  chan struct{} // closed when the thread that gave birth has left the group
	hurry chan struct{} // tells that thread not to linger; capacity 1
}

// launch is one start, handed to a thread.
type launch struct {
	plan   *plan
	limits instance.Limits
	result chan launched // capacity 1
}

type launched struct {
	berth *berth
	prog  *program
	pid   int
	pidfd int
	born  time.Time
	err   error
}

// threads are the OS threads that give birth to copies. A copy's parent-death signal is tied to the very thread, so
// they live as long as the driver. Each waits in a berth, on version 1 inside its control group.
type threads struct {
	host     *host
	control  controllers
	network  network
	jobs     chan *launch
	hurry    chan struct{}
	closing  chan struct{}
	sequence atomic.Uint64
	session  string
}

// run is the life of one thread. It returns when the driver closes.
func (t *threads) run(ready chan<- error) {
	runtime.LockOSThread() // never unlocked: the thread is not fit for anything else, and ends with the goroutine
	if unix.Gettid() == unix.Getpid() {
		// The main thread stands for the whole process in /proc and never ends, so it is no use here.
		t.elsewhere(ready)
		return
	}
	err := t.settle()
	ready <- err
	if err != nil {
		return
	}
	var last *berth
	var shown []view
	for {
		b, err := t.prepare()
		if b != nil {
			t.show(shown, b.group.views())
			shown = b.group.views()
		}
		if last != nil {
			close(last.left)
		}
		last = b
		select {
		case j := <-t.jobs:
			if err != nil { // what was wrong a while ago may be right now
				b, err = t.prepare()
				last = b
				if b != nil {
					t.show(shown, b.group.views())
					shown = b.group.views()
				}
			}
			if err != nil {
				j.result <- launched{err: err}
				continue
			}
			j.result <- t.give(b, j)
			t.rest(b)
		case <-t.closing:
			if b != nil {
				b.release() // the group itself is removed by Close, when this thread has ended
			}
			return
		}
	}
}

// elsewhere runs in another thread, which it forces by occupying its own meanwhile.
func (t *threads) elsewhere(ready chan<- error) {
	locked, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		close(locked)
		t.run(ready)
	}()
	<-locked
	runtime.UnlockOSThread()
	<-done
}

// rest waits until it is a good time to prepare for the next.
func (t *threads) rest(b *berth) {
	timer := time.NewTimer(quiet)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.hurry:
	case <-b.hurry:
	case <-t.closing:
	}
}

// settle gives the thread its own view of the mounts, in which it keeps /dev for its children. Nothing of it is ever
// seen by the host, and it ends with the thread.
func (t *threads) settle() error {
	if t.host.rootless {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("making the driver's mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("separating the driver's mounts from the host's: %w", err)
	}
	if err := makeDevices(filepath.Join(t.host.dir, deviceDir)); err != nil {
		return err
	}
	return t.settleSys()
}

func makeDevices(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=64k,nr_inodes=64"); err != nil {
		return fmt.Errorf("mounting /dev for the copies: %w", err)
	}
	for _, d := range devices {
		name := filepath.Join(dir, d.name)
		if err := makeDevice(name, d.name, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return fmt.Errorf("making device %s: %w", d.name, err)
		}
	}
	for _, l := range deviceLinks {
		if err := os.Symlink(l[1], filepath.Join(dir, l[0])); err != nil {
			return fmt.Errorf("making device link: %w", err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "shm"), 0o755); err != nil {
		return fmt.Errorf("making /dev/shm: %w", err)
	}
	return unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NOEXEC, "")
}

// makeDevice makes a node, or where that is forbidden shows the host's.
func makeDevice(path, name string, dev int) error {
	if err := unix.Mknod(path, unix.S_IFCHR|0o666, dev); err == nil {
		return unix.Chmod(path, 0o666)
	}
	if err := unix.Mknod(path, unix.S_IFREG|0o666, 0); err != nil {
		return err
	}
	return unix.Mount("/dev/"+name, path, "", unix.MS_BIND, "")
}

// prepare makes a berth and moves the thread into it.
func (t *threads) prepare() (*berth, error) {
	name := t.session + "-" + strconv.FormatUint(t.sequence.Add(1), 36)
	b := &berth{left: make(chan struct{}), hurry: make(chan struct{}, 1)}
	var err error
	if b.group, err = t.control.make(name); err != nil {
		return nil, err
	}
	if b.netns, b.wire, err = t.network.enter(); err == nil {
		err = b.group.enter()
	}
	if err != nil {
		b.release()
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = b.group.remove(now) // one try: where the thread is inside already, Close removes it
		return nil, fmt.Errorf("preparing surroundings for a copy: %w", err)
	}
	return b, nil
}

// give lets a copy be born in the berth.
func (t *threads) give(b *berth, j *launch) launched {
	r := launched{berth: b, pidfd: -1}
	guests := int64(1)
	if b.group.fd() >= 0 {
		guests = 0
	}
	if r.err = b.group.limit(j.limits, guests); r.err != nil {
		r.err = fmt.Errorf("setting limits: %w", r.err)
		return r
	}
	if t.host.rootless {
		j.plan.views = b.group.views()
	}
	if r.prog, r.err = j.plan.compile(); r.err != nil {
		return r
	}
	r.born = time.Now()
	r.pid, r.pidfd, r.err = r.prog.clone(t.flags(j.plan), b.group.fd())
	if r.err != nil {
		r.err = fmt.Errorf("making namespaces: %w", r.err)
	}
	return r
}

func (t *threads) flags(pl *plan) uint64 {
	flags := uint64(unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS)
	if t.host.rootless {
		flags |= unix.CLONE_NEWUSER
		if !pl.shareNet {
			flags |= unix.CLONE_NEWNET
		}
	}
	return flags
}

// release gives a berth back that nobody was born in, but for its group.
func (b *berth) release() {
	if b.netns != nil {
		_ = b.netns.Close()
	}
	b.wire.release()
	b.group.close()
	close(b.left)
}

// discard gives the berth back, when nothing of the copy is left in it.
func (b *berth) discard(ctx context.Context) error {
	if b.netns != nil {
		_ = b.netns.Close()
	}
	select {
	case b.hurry <- struct{}{}:
	default:
	}
	select {
	case <-b.left:
	case <-ctx.Done():
	}
	b.wire.release()
	return b.group.remove(ctx)
}
