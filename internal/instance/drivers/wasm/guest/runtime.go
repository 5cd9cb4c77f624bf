// Package guest runs WebAssembly modules: it finds out what a module is, makes instances of it that share what they can, and
// gives them the system interface, sockets and the handler interface. It knows nothing of copies, workers or HTTP servers.
package guest

import (
	"context"
	"errors"
	"fmt"
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
	rt    wazero.Runtime
	wasi  map[string]hostFunc
	names atomic.Uint64
	epoch time.Time // where the monotonic clock of instances begins
}

// NewRuntime makes a runtime. Close gives it and all that it made back.
func NewRuntime(ctx context.Context, o Options) (r *Runtime, err error) {
	r = &Runtime{opt: o, epoch: time.Now().Add(-time.Second)}
	config := wazero.NewRuntimeConfig().WithCloseOnContextDone(true)
	if o.CacheDir != "" {
		if r.cache, err = wazero.NewCompilationCacheWithDir(o.CacheDir); err != nil {
			return nil, fmt.Errorf("opening the cache of compiled modules: %w", err)
		}
		config = config.WithCompilationCache(r.cache)
	}
	r.rt = wazero.NewRuntimeWithConfig(ctx, config)
	if r.wasi, err = wasiFunctions(ctx, r.rt); err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	return r, nil
}

// nanotime is the monotonic clock of instances. It is the same for all, so that it goes on in an instance made of another's memory.
func (r *Runtime) nanotime() int64 { return int64(time.Since(r.epoch)) }

// Close ends everything.
func (r *Runtime) Close(ctx context.Context) error {
	err := r.rt.Close(ctx)
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
	code := wasm
	rewritten, err := binary.Rewrite(wasm)
	if err == nil {
		code = rewritten.Code
	} else {
		rewritten = nil // the engine may still know what to do with it
	}
	if r.opt.CompileWorkers > 1 {
		ctx = experimental.WithCompilationWorkers(ctx, r.opt.CompileWorkers)
	}
	compiled, err := r.rt.CompileModule(ctx, code)
	if err != nil {
		return nil, &ModuleError{ReasonInvalid, fmt.Sprintf("the module is not valid WebAssembly, or needs a feature that is not there: %v", err)}
	}
	p := &Program{runtime: r, compiled: compiled, rewritten: rewritten}
	if err := p.inspect(ctx); err != nil {
		return nil, errors.Join(err, p.Close(ctx))
	}
	return p, nil
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
		b := p.runtime.rt.NewHostModuleBuilder(module)
		for name, f := range functions {
			b.NewFunctionBuilder().WithGoModuleFunction(f.call, f.params, f.results).WithName(name).Export(name)
		}
		compiled, err := b.Compile(ctx)
		if err != nil {
			return fmt.Errorf("making host module %s: %w", module, err)
		}
		p.hostCode = append(p.hostCode, compiled)
		name := fmt.Sprintf("%s#%d", module, p.runtime.names.Add(1))
		p.hosts[module], err = p.runtime.rt.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(name))
		if err != nil {
			return fmt.Errorf("making host module %s: %w", module, err)
		}
	}
	return nil
}
