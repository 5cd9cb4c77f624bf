package guest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"github.com/openfunction/ofn/internal/instance/drivers/wasm/binary"
)

// Surroundings are what the instances of one copy have in common.
type Surroundings struct {
	Args   []string
	Env    []string  // "KEY=value"
	Root   string    // a directory that is the root of its files, to be read only; empty: it has none
	Log    io.Writer // takes standard error, and standard output where nobody else does; safe for concurrent use
	Budget *Budget
	// Share is equal for copies whose instances are initialised to the same: those with equal arguments, environments and files.
	Share string
}

// Maker makes instances of a program for one copy. The first instance of a handler is initialised; those after it, of this copy and
// of others with the same Share, begin with what its memory was then, where that can be.
type Maker struct {
	program *Program
	s       Surroundings
	config  wazero.ModuleConfig
	env     []string
	sockets int32 // the first socket descriptor: files come before it
	shared  *shared
}

// NewMaker prepares what is the same for all instances.
func (p *Program) NewMaker(s Surroundings) *Maker {
	m := &Maker{program: p, s: s, sockets: 3, shared: p.share(s.Share)}
	m.config = wazero.NewModuleConfig().WithName("").WithArgs(s.Args...).WithStartFunctions().WithStdout(s.Log).WithStderr(s.Log).
		WithSysWalltime().WithNanotime(p.runtime.nanotime, sys.ClockResolution(1000)).WithOsyield(runtime.Gosched).WithRandSource(rand.Reader)
	for _, kv := range s.Env {
		if k, _, ok := strings.Cut(kv, "="); ok && k != "" && !strings.Contains(kv, "\x00") {
			m.env = append(m.env, kv)
		}
	}
	m.env = slices.Clip(m.env)
	files := wazero.NewFSConfig()
	if s.Root != "" {
		files = files.WithReadOnlyDirMount(s.Root, "/")
		m.sockets++
	}
	if p.Kind == Server && p.wasiAccept { // the engine must not give the descriptor of the socket to a file
		files = files.WithFSMount(noFiles{}, "/dev/listener")
	}
	m.config = m.config.WithFSConfig(files)
	return m
}

// noFiles is a file system without files.
type noFiles struct{}

// Open implements fs.FS.
func (noFiles) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// ErrNoRoom says that the budget does not allow another instance now.
var ErrNoRoom = errors.New("the memory limit does not allow another instance")

// TrapError says that an instance did what ends it.
type TrapError struct {
	// OutOfMemory is set when a growth of its memory was refused before.
	OutOfMemory bool
	Cause       error
}

func (e *TrapError) Error() string {
	msg := strings.TrimSuffix(e.Cause.Error(), " (recovered by wazero)")
	if e.OutOfMemory {
		return "out of memory: its memory may not grow beyond its limit; then: " + msg
	}
	return msg
}

// Unwrap gives the engine's error.
func (e *TrapError) Unwrap() error { return e.Cause }

// ExitError says that an instance ended itself with a code that is not 0.
type ExitError struct {
	Code uint32
	// OutOfMemory is set when a growth of its memory was refused before.
	OutOfMemory bool
}

func (e *ExitError) Error() string {
	if e.OutOfMemory {
		return fmt.Sprintf("out of memory: its memory may not grow beyond its limit; then it exited with code %d", e.Code)
	}
	return fmt.Sprintf("it exited with code %d", e.Code)
}

// Instance is one instance of a program. It is used by one goroutine at a time.
type Instance struct {
	maker    *Maker
	module   api.Module
	memory   *memory
	sockets  *sockets
	env      []string
	handle   api.Function
	exchange *Exchange // of the request that a handler handles
	open     int       // files it opened and did not close
	out      *output   // of a spare
}

type instanceKey struct{}

// of is the instance a host function was called by.
func of(ctx context.Context) *Instance {
	i, _ := ctx.Value(instanceKey{}).(*Instance)
	return i
}

// IO is what a command reads and writes, beyond what its copy gives to all.
type IO struct {
	Stdin  io.Reader
	Stdout io.Writer
	Env    []string // "KEY=value"
}

// Command makes an instance and runs it to its end.
func (m *Maker) Command(ctx context.Context, io IO) error {
	config := m.config.WithStdin(io.Stdin).WithStdout(io.Stdout)
	i, err := m.instantiate(ctx, config, m.program.initial, nil)
	if err != nil {
		return err
	}
	defer i.Close()
	i.env = append(m.env, io.Env...) // m.env has no room of its own
	return i.call(ctx, exportStart)
}

// Serve makes an instance and runs it until it ends, or ctx does. Connections reach it through the listener.
func (m *Maker) Serve(ctx context.Context, l *Listener) error {
	i, err := m.instantiate(ctx, m.config, m.program.initial, l)
	if err != nil {
		return err
	}
	defer i.Close()
	return i.call(ctx, exportStart)
}

// instantiate makes an instance whose memory begins as image says.
func (m *Maker) instantiate(ctx context.Context, config wazero.ModuleConfig, image *Image, listener *Listener) (i *Instance, err error) {
	i = &Instance{maker: m, env: m.env, memory: &memory{image: image, budget: m.s.Budget}}
	i.sockets = newSockets(listener)
	if listener != nil && m.program.wasiAccept {
		i.sockets.give(m.sockets)
	}
	if need := m.needs(image); need > m.s.Budget.Limit() {
		return nil, &TooLargeError{Needs: need, Limit: m.s.Budget.Limit()}
	}
	ctx = i.context(ctx)
	ctx = experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(func(_, most uint64) experimental.LinearMemory {
		if err := i.memory.reserve(most); err != nil {
			i.memory.base = nil
		}
		return i.memory
	}))
	ctx = experimental.WithImportResolver(ctx, func(name string) api.Module { return m.program.hosts[name] })
	defer func() {
		if problem := recover(); problem != nil { // the engine cannot be told that there is no memory
			i.memory.Free()
			if !i.memory.denied {
				panic(problem)
			}
			i, err = nil, ErrNoRoom
		}
	}()
	i.module, err = m.program.engine.InstantiateModule(ctx, m.program.compiled, config)
	if err != nil {
		i.memory.Free()
		return nil, i.explain(err)
	}
	if m.program.Kind == Handler {
		i.handle = i.module.ExportedFunction(exportHandle)
		if m.program.httpWasm {
			i.handle = i.module.ExportedFunction(exportHTTPWasm)
		}
	}
	return i, nil
}

func (m *Maker) needs(image *Image) int64 {
	if image == nil {
		return m.program.Min
	}
	return max(m.program.Min, int64(image.size))
}

// context lets host functions find their instance.
func (i *Instance) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, instanceKey{}, i)
}

// call calls an exported function without parameters and results.
func (i *Instance) call(ctx context.Context, name string) error {
	_, err := i.run(ctx, i.module.ExportedFunction(name))
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), i.explain(err))
	}
	return i.explain(err)
}

// errStopped is of a call that ended by itself at the moment when it was to be stopped.
var errStopped = errors.New("the instance was stopped")

// run calls a function until it ends or ctx does, after which the instance must not be used again.
func (i *Instance) run(ctx context.Context, f api.Function) ([]uint64, error) {
	stop, _ := i.module.ExportedGlobal(binary.StopGlobal).(api.MutableGlobal)
	if stop == nil || ctx.Done() == nil { // the engine stops it
		return f.Call(i.context(ctx))
	}
	told := make(chan struct{})
	going := context.AfterFunc(ctx, func() {
		defer close(told)
		stop.Set(1)
	})
	results, err := f.Call(i.context(ctx))
	if !going() {
		<-told
		if err == nil {
			err = errStopped
		}
	}
	return results, err
}

// explain makes our errors of the engine's.
func (i *Instance) explain(err error) error {
	var exit *sys.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.ExitCode() == 0:
		return nil
	case errors.As(err, &exit):
		return &ExitError{exit.ExitCode(), i.memory.denied}
	}
	return &TrapError{OutOfMemory: i.memory.denied, Cause: err}
}

// OutOfMemory is whether an error is that of an instance that was refused memory.
func OutOfMemory(err error) bool {
	trap, trapped := errors.AsType[*TrapError](err)
	exit, exited := errors.AsType[*ExitError](err)
	return trapped && trap.OutOfMemory || exited && exit.OutOfMemory
}

// Close ends the instance.
func (i *Instance) Close() {
	i.sockets.close()
	_ = i.module.Close(context.Background())
	i.memory.Free() // the module did it already unless the instance was ended from outside
}
