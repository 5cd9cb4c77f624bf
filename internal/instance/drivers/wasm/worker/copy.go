package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openfunction/ofn/internal/instance/drivers/wasm/guest"
	"github.com/openfunction/ofn/internal/instance/drivers/wasm/wire"
)

// abortCode is the exit code of a copy that trapped, as a shell tells an aborted process.
const abortCode = 134

// settleTime is how long after its start a copy is taken to have had its first request: then there is time to prepare for the next copy.
const settleTime = 10 * time.Millisecond

// errStopped is the cause of what ends because its copy does.
var errStopped = errors.New("the copy is stopped")

// copyOf is one copy of a function.
type copyOf struct {
	id       string
	spec     wire.Start
	program  *guest.Program
	maker    *guest.Maker
	budget   *guest.Budget
	log      *copyLog
	root     string // directory of its files; may be empty
	owner    *worker
	listener *guest.Listener // of a server
	pool     *pool           // of the others

	ctx    context.Context //nolint:containedctx // the life of the copy, which no call is
	cancel context.CancelCauseFunc
	busy   atomic.Int64 // nanoseconds that requests ran
	calls  sync.WaitGroup

	mu     sync.Mutex
	conns  map[*copyConn]struct{}
	active int
	idle   chan struct{} // closed when active is 0 after leaving began
	ending bool
}

// newCopy makes a copy and, of a handler, its first instance.
func (w *worker) newCopy(ctx context.Context, s wire.Start, log *copyLog) (*copyOf, error) {
	w.mu.Lock()
	m := w.modules[s.Module]
	w.mu.Unlock()
	if m == nil {
		return nil, fmt.Errorf("module %s was not loaded", s.Module)
	}
	c := &copyOf{id: s.ID, spec: s, program: m.program, log: log, owner: w, budget: guest.NewBudget(s.Memory),
		conns: map[*copyConn]struct{}{}, idle: make(chan struct{})}
	if c.budget.Limit() < m.program.Min {
		return nil, &guest.TooLargeError{Needs: m.program.Min, Limit: c.budget.Limit()}
	}
	if err := c.writeFiles(); err != nil {
		return nil, errors.Join(err, c.removeFiles())
	}
	switch m.program.Kind {
	case guest.Handler:
		s.Env = wire.Lasting(s.Env)
	case guest.Server:
		s.Env = append(s.Env, "LISTEN_FDS=1")
	}
	c.maker = m.program.NewMaker(guest.Surroundings{Args: s.Args, Env: s.Env, Root: c.root, Log: log, Budget: c.budget, Share: s.Share})
	if m.program.Kind == guest.Server {
		c.listener = guest.NewListener(s.Early)
	} else {
		c.pool = newPool()
	}
	if m.program.Kind == guest.Handler {
		if err := c.first(ctx); err != nil {
			return nil, errors.Join(err, c.removeFiles())
		}
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.copies[s.ID] != nil {
		c.pool.close()
		return nil, errors.Join(fmt.Errorf("copy %s is there already", s.ID), c.removeFiles())
	}
	w.copies[s.ID] = c
	return c, nil
}

// first makes the instance that proves that the module can be initialised.
func (c *copyOf) first(ctx context.Context) error {
	i, err := c.maker.Handler(ctx)
	if err != nil {
		return err
	}
	c.pool.total++
	c.pool.put(i, true)
	return nil
}

// live is the copy's life until driver ends or a grace comes from stopping. It returns when nothing of it runs.
func (c *copyOf) live(driver context.Context, stopping <-chan time.Duration) wire.Exit {
	served := make(chan error, 1)
	if c.listener != nil {
		c.calls.Go(func() { served <- c.maker.Serve(c.ctx, c.listener) })
	}
	settled := time.NewTimer(settleTime)
	defer settled.Stop()
	var exit wire.Exit
	for going := true; going; {
		select {
		case <-driver.Done():
			exit, going = wire.Exit{Code: -1, Signal: "killed"}, false
		case grace := <-stopping:
			exit, going = c.drain(driver, grace, stopping), false
		case err := <-served:
			exit, going = c.exit(err), false
		case <-settled.C:
			c.learn()
			c.prepare()
		}
	}
	c.cancel(errStopped)
	c.cut()
	c.calls.Wait()
	c.learn()
	c.pool.close()
	if err := c.removeFiles(); err != nil {
		c.owner.log.Error("giving back what a copy used", "copy", c.id, "error", err)
	}
	return exit
}

// learn has spares learn from what the copy's requests did.
func (c *copyOf) learn() {
	if c.program.Kind != guest.Handler {
		return
	}
	var err error
	c.pool.look(func(i *guest.Instance) { err = c.maker.Learn(i) })
	if err != nil {
		c.owner.log.Warn("looking at what a copy uses", "copy", c.id, "error", err)
	}
}

// prepare has an instance ready for the next copy of this kind.
func (c *copyOf) prepare() {
	if c.program.Kind != guest.Handler {
		return
	}
	if err := c.maker.Prepare(context.Background()); err != nil {
		c.owner.log.Warn("preparing for the next copy", "copy", c.id, "error", err)
	}
}

// drain waits for the requests inside. A module that listens cannot be told to end, so that it is ended at once.
func (c *copyOf) drain(driver context.Context, grace time.Duration, stopping <-chan time.Duration) wire.Exit {
	killed := wire.Exit{Code: -1, Signal: "killed"}
	if c.listener != nil || grace <= 0 {
		return killed
	}
	idle := c.leave()
	t := time.NewTimer(grace)
	defer t.Stop()
	for {
		select {
		case <-idle:
			return wire.Exit{}
		case grace = <-stopping:
			t.Reset(grace)
		case <-t.C:
			return killed
		case <-driver.Done():
			return killed
		}
	}
}

// exit says how a server ended by itself.
func (c *copyOf) exit(err error) wire.Exit {
	if err == nil {
		return wire.Exit{}
	}
	if e, ok := errors.AsType[*guest.ExitError](err); ok {
		return wire.Exit{Code: int(e.Code), OutOfMemory: e.OutOfMemory}
	}
	c.log.line("the module trapped: %v", err)
	return wire.Exit{Code: abortCode, OutOfMemory: guest.OutOfMemory(err)}
}

// leave refuses new requests; the channel is closed when none is left.
func (c *copyOf) leave() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	if c.active == 0 {
		close(c.idle)
	}
	return c.idle
}

// enter begins a request; false when the copy ends.
func (c *copyOf) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return false
	}
	c.active++
	c.calls.Add(1)
	return true
}

func (c *copyOf) exitRequest() {
	c.mu.Lock()
	c.active--
	if c.ending && c.active == 0 {
		select {
		case <-c.idle:
		default:
			close(c.idle)
		}
	}
	c.mu.Unlock()
	c.calls.Done()
}

// cut closes all connections, so that nothing waits for what they bring.
func (c *copyOf) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ending = true
	for conn := range c.conns {
		_ = conn.Close()
	}
}

func (c *copyOf) tidy() {
	if c.pool != nil {
		c.pool.tidy()
	}
}

func (c *copyOf) usage() wire.Usage {
	return wire.Usage{Memory: c.budget.Used(), CPU: time.Duration(c.busy.Load())}
}

// writeFiles puts the files of the copy where the engine can show them to it.
func (c *copyOf) writeFiles() error {
	if len(c.spec.Files) == 0 {
		return nil
	}
	dir, err := os.MkdirTemp(c.owner.opt.TempDir, "files-")
	if err != nil {
		return fmt.Errorf("making files: %w", err)
	}
	c.root = dir
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("making files: %w", err)
	}
	defer root.Close()
	for _, f := range c.spec.Files {
		name := filepath.FromSlash(path.Clean("/" + f.Path)[1:])
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return fmt.Errorf("making file %s: %w", f.Path, err)
		}
		if err := root.WriteFile(name, f.Data, 0o444); err != nil {
			return fmt.Errorf("making file %s: %w", f.Path, err)
		}
	}
	return nil
}

func (c *copyOf) removeFiles() error {
	if c.root == "" {
		return nil
	}
	return os.RemoveAll(c.root)
}
