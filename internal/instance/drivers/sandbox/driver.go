//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/instance"
)

// Driver starts copies in the built-in sandbox. It implements instance.Driver and Runner.
type Driver struct {
	opts    Options
	log     *slog.Logger
	host    *host
	control controllers
	network network
	threads *threads
	lock    *os.File

	mu      sync.Mutex
	closed  bool
	live    map[string]*process // by id; nil while starting
	running sync.WaitGroup      // copies, commands and starts
	workers sync.WaitGroup      // threads
}

// New makes a driver and the surroundings of its first copies. It fails when the state directory is in use by another
// driver, or when the machine cannot make sandboxes at all; see Check.
func New(o Options) (*Driver, error) {
	o = o.withDefaults()
	h, err := newHost(o)
	if err != nil {
		return nil, err
	}
	d := &Driver{opts: o, log: o.Log, host: h, network: network{host: -1}, live: map[string]*process{}}
	if err := d.open(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Driver) open() (err error) {
	if d.lock, err = lockDir(d.host.dir); err != nil {
		return err
	}
	if !d.host.rootless {
		if d.host.userns, err = makeUserNamespace(d.opts.IDBase, d.opts.IDCount); err != nil {
			return err
		}
	}
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		d.log.Warn("reading the platform's control group", "error", err)
	}
	d.control = findControllers(d.opts.CgroupRoot, string(self), groupParent(d.host.dir))
	// What an earlier process left must go first: its groups hold limits and perhaps processes of copies with our names.
	session := strconv.FormatInt(time.Now().UnixMilli(), 36)
	clean, cancel := context.WithTimeout(context.Background(), removeTimeout)
	defer cancel()
	if err := d.control.clean(clean, session); err != nil {
		return err
	}
	if d.network, err = newNetwork(d.host, d.opts); err != nil {
		return err
	}
	d.threads = &threads{
		host: d.host, control: d.control, network: d.network,
		jobs: make(chan *launch), hurry: make(chan struct{}, d.opts.Warm), closing: make(chan struct{}),
		session: session,
	}
	return d.startThreads()
}

func (d *Driver) startThreads() error {
	ready := make(chan error, d.opts.Warm)
	for range d.opts.Warm {
		d.workers.Go(func() { d.threads.run(ready) })
	}
	var errs []error
	for range d.opts.Warm {
		errs = append(errs, <-ready)
	}
	return errors.Join(errs...)
}

// lockDir makes sure that the state directory has one driver.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the sandbox's state directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("state directory %s is in use by another process: %w", dir, err)
	}
	return f, nil
}

// Start implements instance.Driver.
func (d *Driver) Start(ctx context.Context, s instance.Spec) (instance.Instance, error) {
	return d.admitted(ctx, s, nil)
}

// admitted starts a copy, in the network of another one unless that is nil.
func (d *Driver) admitted(ctx context.Context, s instance.Spec, beside *Instance) (instance.Instance, error) {
	began := time.Now()
	if err := d.check(s); err != nil {
		return nil, fmt.Errorf("instance %s: %w", s.ID, err)
	}
	if err := d.admit(s.ID); err != nil {
		return nil, fmt.Errorf("instance %s: %w", s.ID, err)
	}
	c, err := d.start(ctx, s, beside, began)
	if err != nil {
		d.release(s.ID)
		return nil, fmt.Errorf("starting instance %s: %w", s.ID, err)
	}
	return c, nil
}

func (d *Driver) check(s instance.Spec) error {
	if err := checkID(s.ID); err != nil {
		return err
	}
	if len(s.Layers) == 0 {
		return errors.New("no layers to make a root filesystem of")
	}
	if len(s.Process.Args) == 0 || s.Process.Args[0] == "" {
		return errors.New("no command: neither the image nor the function names one")
	}
	if s.Process.UID >= d.opts.IDCount || s.Process.GID >= d.opts.IDCount {
		return fmt.Errorf("user %d:%d is out of range: must be below %d", s.Process.UID, s.Process.GID, d.opts.IDCount)
	}
	if err := checkWords(s.Process, s.Limits); err != nil {
		return err
	}
	if err := checkFiles(s.Files, d.opts.WritableBytes); err != nil {
		return err
	}
	return checkLimits(d.control, s.Limits, d.opts.AllowUnlimited)
}

// checkWords refuses arguments and environment that take a large part of the memory limit. The kernel copies them while
// the child still shares the platform's memory; see minMemory.
func checkWords(p instance.Process, l instance.Limits) error {
	size := int64(0)
	for _, w := range slices.Concat(p.Args, p.Env) {
		size += int64(len(w)) + 9
	}
	if l.MemoryBytes > 0 && size > l.MemoryBytes/4 {
		return fmt.Errorf("arguments and environment of %d bytes are too large for a memory limit of %d", size, l.MemoryBytes)
	}
	return nil
}

// checkFiles refuses files that would not fit: the kernel would cut the last one short without an error.
func checkFiles(files []instance.File, room int64) error {
	const page = 4096
	var size int64
	for _, f := range files {
		if f.Path == "" {
			return errors.New("a file without a path")
		}
		size += (int64(len(f.Data))+page-1)/page*page + page
	}
	if size > room/2 {
		return fmt.Errorf("files of %d bytes do not fit: they may take half of the %d bytes that an instance may write", size, room)
	}
	return nil
}

// admit reserves an id.
func (d *Driver) admit(id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return instance.ErrClosed
	}
	if _, taken := d.live[id]; taken {
		return errors.New("this id is taken by one that runs")
	}
	d.live[id] = nil
	d.running.Add(1)
	return nil
}

// forget makes an id free again.
func (d *Driver) forget(id string) {
	d.mu.Lock()
	delete(d.live, id)
	d.mu.Unlock()
}

// release is forget for one of which nothing is left to do.
func (d *Driver) release(id string) {
	d.forget(id)
	d.running.Done()
}

// started records a process, and kills it at once when the driver was closed meanwhile.
func (d *Driver) started(id string, p *process) {
	d.mu.Lock()
	d.live[id] = p
	closed := d.closed
	d.mu.Unlock()
	if closed {
		p.kill()
	}
}

func (d *Driver) start(ctx context.Context, s instance.Spec, beside *Instance, began time.Time) (*Instance, error) {
	out, err := newStream(d.host, s.Process.UID, s.Process.GID)
	if err != nil {
		return nil, err
	}
	in := &Instance{driver: d, id: s.ID, port: s.Listen.Port, command: s.Process, out: out, beside: beside, done: make(chan struct{})}
	listen := -1
	if s.Listen.Activation {
		in.socket = filepath.Join(d.host.dir, socketDir, s.ID)
		if listen, err = in.listen(); err != nil {
			out.abandon()
			return nil, err
		}
		defer unix.Close(listen)
	}
	pl := &plan{
		host: d.host, hostname: s.ID, layers: s.Layers, process: s.Process, courtesies: d.network.files(s.ID), files: s.Files,
		writable: d.opts.WritableBytes, stdin: d.host.null, stdout: out.w, stderr: out.w, listen: listen,
	}
	leave := func() {}
	if beside != nil {
		leave, err = beside.admitTo(pl)
	}
	if err == nil {
		in.process, err = d.bear(ctx, pl, s.Limits, s.Services, began)
		leave()
	}
	out.closeWriter()
	if err != nil {
		out.abandon()
		in.unlisten()
		return nil, err
	}
	d.started(s.ID, in.process)
	go out.copyTo(s.Log)
	go in.live()
	return in, nil
}

// Close implements instance.Driver.
func (d *Driver) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	for _, p := range d.live {
		if p != nil {
			p.kill()
		}
	}
	d.mu.Unlock()
	d.running.Wait()
	if d.threads != nil {
		close(d.threads.closing)
		d.workers.Wait()
	}
	err := d.network.close()
	d.host.close()
	if d.control != nil {
		ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
		defer cancel()
		err = errors.Join(err, d.control.clean(ctx, ""))
	}
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	return err
}

// Clean implements instance.Driver. The copies of a platform that was killed die with it; their control groups went when
// this driver was made, so that what remains are sockets.
func (d *Driver) Clean(context.Context) error {
	return errors.Join(d.network.clean(d.host), d.cleanSockets())
}

func (d *Driver) cleanSockets() error {
	dir := filepath.Join(d.host.dir, socketDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("looking for sockets left behind: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, e := range entries {
		if _, live := d.live[e.Name()]; !live {
			errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
