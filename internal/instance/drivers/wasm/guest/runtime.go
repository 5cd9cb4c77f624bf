// Package guest runs WebAssembly modules: it finds out what a module is, makes instances of it that share what they can, and
// gives them the system interface, sockets and the handler interface. It knows nothing of copies, workers or HTTP servers.
package guest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/openfunction/ofn/internal/instance/drivers/wasm/binary"
)

// Options make a Runtime.
type Options struct {
	// CacheDir keeps compiled modules; empty keeps none.
	CacheDir string
	// CompileWorkers is how many threads compile one module; 0 is one.
	CompileWorkers int
}

// Runtime makes programs of modules.
type Runtime struct {
	opt   Options
	cache wazero.CompilationCache
	rt    wazero.Runtime // of modules that can be stopped because they were rewritten so
	wasi  map[string]hostFunc
	names atomic.Uint64
	epoch time.Time // where the monotonic clock of instances begins

	mu      sync.Mutex
	careful wazero.Runtime // of all others, which the engine stops; nil until there is one
}

// NewRuntime makes a runtime. Close gives it and all that it made back.
func NewRuntime(ctx context.Context, o Options) (r *Runtime, err error) {
	r = &Runtime{opt: o, epoch: time.Now().Add(-time.Second)}
	if o.CacheDir != "" {
		if r.cache, err = wazero.NewCompilationCacheWithDir(o.CacheDir); err != nil {
			return nil, fmt.Errorf("opening the cache of compiled modules: %w", err)
		}
	}
	r.rt = wazero.NewRuntimeWithConfig(ctx, r.config())
	if r.wasi, err = wasiFunctions(ctx, r.rt); err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	return r, nil
}

func (r *Runtime) config() wazero.RuntimeConfig {
	config := wazero.NewRuntimeConfig()
	if r.cache != nil {
		config = config.WithCompilationCache(r.cache)
	}
	return config
}

// stopping is the runtime that stops modules itself, which makes them slow.
func (r *Runtime) stopping(ctx context.Context) wazero.Runtime {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.careful == nil {
		r.careful = wazero.NewRuntimeWithConfig(ctx, r.config().WithCloseOnContextDone(true))
	}
	return r.careful
}

// nanotime is the monotonic clock of instances. It is the same for all, so that it goes on in an instance made of another's memory.
func (r *Runtime) nanotime() int64 { return int64(time.Since(r.epoch)) }

// Close ends everything.
func (r *Runtime) Close(ctx context.Context) error {
	err := r.rt.Close(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.careful != nil {
		err = errors.Join(err, r.careful.Close(ctx))
	}
	if r.cache != nil {
		err = errors.Join(err, r.cache.Close(ctx))
	}
	return err
}

// ModuleError says what is wrong with a module, for the one who made it.
type ModuleError struct {
	Reason  string // CamelCase
	Message string
}

func (e *ModuleError) Error() string { return e.Message }

// Reasons of a ModuleError.
const (
	ReasonInvalid     = "InvalidModule"
	ReasonImports     = "UnknownImports"
	ReasonNoInterface = "NoInterface"
	ReasonInit        = "InitializationFailed"
	ReasonMemory      = "OutOfMemory"
)

// Compile makes a program of a module. Errors about the module are a *ModuleError.
func (r *Runtime) Compile(ctx context.Context, wasm []byte) (*Program, error) {
	if r.opt.CompileWorkers > 1 {
		ctx = experimental.WithCompilationWorkers(ctx, r.opt.CompileWorkers)
	}
	p, err := r.metered(ctx, wasm)
	if err != nil { // the engine may know what we do not, and else says better what is wrong
		p, err = r.program(ctx, r.stopping(context.WithoutCancel(ctx)), wasm)
	}
	if err != nil {
		return nil, &ModuleError{ReasonInvalid, fmt.Sprintf("the module is not valid WebAssembly, or needs a feature that is not there: %v", err)}
	}
	if err := p.inspect(ctx); err != nil {
		return nil, errors.Join(err, p.Close(ctx))
	}
	return p, nil
}

// metered makes a program that can be stopped because it looks itself whether it is to.
func (r *Runtime) metered(ctx context.Context, wasm []byte) (*Program, error) {
	code, err := binary.Meter(wasm)
	if err != nil {
		return nil, err
	}
	return r.program(ctx, r.rt, code)
}

// program compiles a module, rewritten where that can be.
func (r *Runtime) program(ctx context.Context, rt wazero.Runtime, code []byte) (*Program, error) {
	rewritten, err := binary.Rewrite(code)
	if err == nil {
		code = rewritten.Code
	} else {
		rewritten = nil // the engine may still know what to do with it
	}
	compiled, err := rt.CompileModule(ctx, code)
	if err != nil {
		return nil, err
	}
	return &Program{runtime: r, engine: rt, compiled: compiled, rewritten: rewritten}, nil
}

// inspect finds out what the program is and prepares what its instances share.
func (p *Program) inspect(ctx context.Context) (err error) {
	if p.Kind, err = kindOf(p.compiled); err != nil {
		return err
	}
	p.httpWasm = p.Kind == Handler && p.compiled.ExportedFunctions()[exportHandle] == nil
	if len(p.compiled.ImportedMemories()) > 0 {
		return &ModuleError{ReasonImports, "the module imports its memory; it must define one itself and export it as \"memory\""}
	}
	memory := p.compiled.ExportedMemories()["memory"]
	if memory == nil {
		return &ModuleError{ReasonNoInterface, "the module exports no memory named \"memory\", through which requests and responses pass"}
	}
	p.Min = int64(memory.Min()) * binary.PageSize
	if p.rewritten != nil {
		if p.initial, err = initialImage(uint64(p.Min), p.rewritten.Memory); err != nil {
			return &ModuleError{ReasonInvalid, err.Error()}
		}
		p.rewritten.Code, p.rewritten.Memory = nil, nil // the image and the compiled code have it
	}
	return p.link(ctx)
}

// link makes the host modules that the program imports, with just the functions it wants.
func (p *Program) link(ctx context.Context) error {
	wanted, err := p.wanted()
	if err != nil {
		return err
	}
	p.hosts = map[string]api.Module{}
	for module, functions := range wanted {
		b := p.engine.NewHostModuleBuilder(module)
		for name, f := range functions {
			b.NewFunctionBuilder().WithGoModuleFunction(f.call, f.params, f.results).WithName(name).Export(name)
		}
		compiled, err := b.Compile(ctx)
		if err != nil {
			return fmt.Errorf("making host module %s: %w", module, err)
		}
		p.hostCode = append(p.hostCode, compiled)
		name := fmt.Sprintf("%s#%d", module, p.runtime.names.Add(1))
		p.hosts[module], err = p.engine.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(name))
		if err != nil {
			return fmt.Errorf("making host module %s: %w", module, err)
		}
	}
	return nil
}
