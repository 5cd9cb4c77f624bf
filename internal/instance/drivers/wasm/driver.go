package wasm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/wasm/wire"
)

const (
	programName    = "ofn"
	compileTimeout = 5 * time.Minute
	// format changes when what is kept of a module does.
	format = "3"
)

// Driver runs WebAssembly modules. It implements instance.Driver.
type Driver struct {
	opt      Options
	modules  *modules
	cache    cache
	workers  *workers
	compiles singleflight.Group
	ctx      context.Context //nolint:containedctx // ends what no caller waits for, when the driver is closed
	cancel   context.CancelFunc

	mu      sync.Mutex
	closed  bool
	live    map[string]*Instance // nil while starting
	running sync.WaitGroup       // copies, starts and compilations
}

var (
	_ instance.Driver     = (*Driver)(nil)
	_ instance.Restricted = (*Driver)(nil)
)

// Restrictions implements instance.Restricted: there is no other program in a module, and it is reached in one way.
func (d *Driver) Restrictions() instance.Restrictions {
	return instance.Restrictions{NoExec: true, OnePort: true}
}

// New makes a driver. Workers start when they are needed.
func New(o Options) (*Driver, error) {
	o = o.withDefaults()
	dir, err := filepath.Abs(o.StateDir)
	if err != nil || o.StateDir == "" || o.Host == nil || o.Program == "" {
		return nil, errors.Join(errors.New("making a wasm driver: it needs a state directory, a host and a program"), err)
	}
	layer, cached := filepath.Join(dir, "worker"), filepath.Join(dir, "compiled")
	for _, d := range []string{layer, cached} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("making the state directory of the wasm driver: %w", err)
		}
	}
	program, err := openProgram(o.Program)
	if err != nil {
		return nil, fmt.Errorf("opening the program of workers: %w", err)
	}
	d := &Driver{
		opt: o, modules: &modules{most: o.ModuleBytes}, cache: cache{dir: cached, tag: compilerTag(), most: o.CacheBytes},
		workers: &workers{opt: o, layer: layer, program: program, live: map[string]*birth{}}, live: map[string]*Instance{},
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d, nil
}

// compilerTag names what compiles modules: what another version compiled is of no use.
func compilerTag() string {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == "github.com/tetratelabs/wazero" {
				version = dep.Version
			}
		}
	}
	return format + "-" + version + "-" + runtime.GOARCH
}

// Start implements instance.Driver. Errors about the module are an *Error.
func (d *Driver) Start(ctx context.Context, s instance.Spec) (instance.Instance, error) {
	began := time.Now()
	if err := check(s); err != nil {
		return nil, fmt.Errorf("instance %s: %w", s.ID, err)
	}
	if err := d.admit(s.ID); err != nil {
		return nil, fmt.Errorf("instance %s: %w", s.ID, err)
	}
	in, err := d.start(ctx, s, began)
	if err != nil {
		d.forget(s.ID)
		d.running.Done()
		return nil, err
	}
	d.mu.Lock()
	d.live[s.ID] = in
	closed := d.closed
	d.mu.Unlock()
	go in.live()
	if closed {
		in.Stop(0)
	}
	return in, nil
}

func check(s instance.Spec) error {
	ok := len(s.ID) > 0 && len(s.ID) <= 63
	for _, c := range []byte(s.ID) {
		ok = ok && (c == '-' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9')
	}
	switch {
	case !ok:
		return fmt.Errorf("instance id %q: must be 1 to 63 characters of a-z, 0-9 and -", s.ID)
	case len(s.Layers) == 0:
		return errors.New("no layers to look for the module in")
	case s.Limits.MemoryBytes < 0 || s.Limits.CPUMillis < 0 || s.Limits.PIDs < 0:
		return errors.New("a limit is negative")
	}
	return nil
}

// admit reserves an id, until forget, and has Close wait, until running is done.
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
	defer d.mu.Unlock()
	delete(d.live, id)
}

func (d *Driver) start(ctx context.Context, s instance.Spec, began time.Time) (*Instance, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	m, err := d.modules.find(s)
	if err != nil {
		return nil, err
	}
	if key, _, _ := d.place(s); !d.workers.has(key, m.digest) {
		if err := d.ensure(ctx, m); err != nil {
			return nil, err
		}
	}
	in, err := d.startIn(ctx, m, s)
	if _, died := errors.AsType[endedError](err); died { // not by this copy's fault, or it will again
		in, err = d.startIn(ctx, m, s)
	}
	if err != nil {
		return nil, err
	}
	in.timing = instance.Timing{Prepare: in.asked.Sub(began), Sandbox: time.Since(in.asked)}
	return in, nil
}

// startIn makes the copy in its worker.
func (d *Driver) startIn(ctx context.Context, m module, s instance.Spec) (*Instance, error) {
	key, limits, idle := d.place(s)
	p, err := d.workers.enlist(ctx, key, limits)
	if err != nil {
		return nil, err
	}
	err = p.load(ctx, m.digest, func() ([]byte, compiled, error) { return d.fetch(m) })
	var in *Instance
	if err == nil {
		in, err = d.begin(ctx, p, m, s)
	}
	if err != nil {
		p.leave(idle)
		return nil, err
	}
	in.idle = idle
	return in, nil
}

// place says which worker a copy belongs into, what that is limited to, and how long it stays when the copy is gone.
func (d *Driver) place(s instance.Spec) (key string, l instance.Limits, idle time.Duration) {
	l = instance.Limits{MemoryBytes: d.opt.WorkerMemory, PIDs: workerPIDs}
	if s.Limits.CPUMillis == 0 && s.Limits.MemoryBytes <= d.opt.WorkerMemory/2 {
		return "namespace " + s.Namespace, l, d.opt.Idle
	}
	l.CPUMillis = s.Limits.CPUMillis
	if s.Limits.MemoryBytes > 0 {
		l.MemoryBytes = s.Limits.MemoryBytes + workerOverhead
	}
	return "copy " + s.ID, l, 0
}

// ensure makes sure that a module is compiled. The compilation goes on when the caller gives up.
func (d *Driver) ensure(ctx context.Context, m module) error {
	if _, err := os.Stat(d.cache.path(m.digest)); err == nil {
		return nil
	}
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return instance.ErrClosed
	}
	d.running.Add(1)
	d.mu.Unlock()
	result := d.compiles.DoChan(m.digest, func() (any, error) { return nil, d.compile(m) })
	done := make(chan error, 1)
	go func() {
		defer d.running.Done()
		done <- (<-result).Err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("compiling the module: %w", context.Cause(ctx))
	}
}

func (d *Driver) compile(m module) error {
	ctx, cancel := context.WithTimeout(d.ctx, compileTimeout)
	defer cancel()
	code, err := m.read()
	if err != nil {
		return err
	}
	c, err := d.workers.compile(ctx, code)
	if err != nil {
		return err
	}
	return d.cache.put(m.digest, c)
}

// fetch reads a module and what it was compiled to. When that is damaged it is dropped, and compiled anew at the next start.
func (d *Driver) fetch(m module) ([]byte, compiled, error) {
	c, ok := d.cache.get(m.digest)
	if !ok {
		return nil, c, errors.Join(errors.New("the compiled module is gone or damaged"), os.Remove(d.cache.path(m.digest)))
	}
	code, err := m.read()
	return code, c, err
}

// begin has a worker make the copy. One like it that the worker made before shows that it can be made, so that nobody waits for it: its
// first request waits in its connection instead.
func (d *Driver) begin(ctx context.Context, p *process, m module, s instance.Spec) (*Instance, error) {
	start := wire.Start{
		ID: s.ID, Module: m.digest, Args: s.Process.Args, Env: ownEnv(s), Memory: s.Limits.MemoryBytes, Timeout: s.RequestTimeout, Early: s.Listen.Activation,
		Output: d.opt.OutputBytes, Log: d.opt.LogBytes,
	}
	for _, f := range s.Files {
		start.Files = append(start.Files, wire.File{Path: f.Path, Data: f.Data})
	}
	start.Sharing()
	like := likeness{m.digest, start.Share, start.Memory}
	start.Sure = start.Early && p.made(like)
	c, err := p.cradle(ctx)
	if err != nil {
		return nil, err
	}
	in := &Instance{driver: d, id: s.ID, process: p, log: s.Log, early: start.Early, life: c.life, from: c.from, first: c.first, done: make(chan struct{}), asked: time.Now()}
	if !in.early {
		in.untaken() // it must be seen when nothing listens
	}
	if err := in.start(ctx, start); err != nil {
		return nil, err
	}
	p.remember(like)
	return in, nil
}

// ownEnv is the environment without what only the platform says.
func ownEnv(s instance.Spec) []string {
	return slices.DeleteFunc(slices.Clone(s.Process.Env), func(kv string) bool {
		return strings.HasPrefix(kv, "LISTEN_FDS=") || strings.HasPrefix(kv, "LISTEN_PID=")
	})
}

// Clean implements instance.Driver. Workers die with the platform; what may remain is a file that was being written.
func (d *Driver) Clean(context.Context) error { return d.cache.clean() }

// Close implements instance.Driver.
func (d *Driver) Close() error {
	d.mu.Lock()
	d.closed = true
	for _, in := range d.live {
		if in != nil {
			in.Stop(0)
		}
	}
	d.mu.Unlock()
	d.cancel()
	d.workers.close()
	d.running.Wait()
	return d.workers.program.Close()
}
