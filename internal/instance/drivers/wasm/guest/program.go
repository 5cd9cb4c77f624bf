package guest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/openfunction/ofn/internal/instance/drivers/wasm/binary"
)

// Kind is how a module takes requests.
type Kind string

// The kinds.
const (
	// Command runs from its start to its end for each request, as a CGI program does.
	Command Kind = "command"
	// Handler is called for each request and keeps its state between them.
	Handler Kind = "handler"
	// Server listens on a socket.
	Server Kind = "server"
)

// What modules export.
const (
	exportStart      = "_start"
	exportInitialize = "_initialize"
	exportHandle     = "ofn_handle"
	exportHTTPWasm   = "handle_request"
	// exportFresh, a function or a global of any type, says that the memory after initialisation must not be copied.
	exportFresh = "ofn_no_snapshot"
)

// Names of the modules that the platform provides.
const (
	moduleWASI     = "wasi_snapshot_preview1"
	moduleOFN      = "ofn_v1"
	moduleHTTPWasm = "http_handler"
)

// Program is a compiled module. Its methods may be called at the same time, Close only when no instance is left.
type Program struct {
	// Kind is what the exports and imports of the module make it.
	Kind Kind
	// Min is the memory an instance has at least, in bytes.
	Min int64

	runtime   *Runtime
	engine    wazero.Runtime
	compiled  wazero.CompiledModule
	rewritten *binary.Module // nil: instances are made as the module says
	initial   *Image
	hosts     map[string]api.Module
	hostCode  []wazero.CompiledModule
	mu        sync.Mutex
	shared    map[string]*shared // snapshots by what they depend on
	// wasiAccept is whether it accepts connections as WASI does, from a socket that it is given, and not as WasmEdge does.
	wasiAccept bool
	// httpWasm is whether its handler has the interface of http-wasm.
	httpWasm bool
}

// Close gives the program back.
func (p *Program) Close(ctx context.Context) error {
	p.mu.Lock()
	for _, s := range p.shared {
		s.spares.close()
	}
	p.mu.Unlock()
	err := p.compiled.Close(ctx)
	for _, h := range p.hosts {
		err = errors.Join(err, h.Close(ctx))
	}
	for _, c := range p.hostCode {
		err = errors.Join(err, c.Close(ctx))
	}
	if p.initial != nil {
		err = errors.Join(err, p.initial.Close())
	}
	return err
}

// kindOf decides by what is exported and imported.
func kindOf(c wazero.CompiledModule) (Kind, error) {
	exports := c.ExportedFunctions()
	has := func(name string) bool { return exports[name] != nil && len(exports[name].ParamTypes()) == 0 }
	switch {
	case has(exportHandle) || has(exportHTTPWasm):
		return Handler, nil
	case has(exportStart):
		for _, f := range c.ImportedFunctions() {
			module, name, _ := f.Import()
			if module == moduleWASI && (name == "sock_accept" || name == "sock_listen") {
				return Server, nil
			}
		}
		return Command, nil
	}
	var names []string
	for name := range exports {
		names = append(names, name)
	}
	slices.Sort(names)
	return "", &ModuleError{ReasonNoInterface, fmt.Sprintf("the module exports neither %s (a program) nor %s (a handler), so that nothing can be called; it exports: %s",
		exportStart, exportHandle, list(names))}
}

func list(names []string) string {
	const most = 20
	if len(names) == 0 {
		return "nothing"
	}
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// wanted are the host functions that the program imports. It names all that there are not.
func (p *Program) wanted() (map[string]map[string]hostFunc, error) {
	wanted := map[string]map[string]hostFunc{}
	var unknown, different []string
	for _, f := range p.compiled.ImportedFunctions() {
		module, name, _ := f.Import()
		h, ok := p.provided(module, name)
		switch {
		case !ok:
			unknown = append(unknown, module+"."+name)
			continue
		case h.variable:
			p.wasiAccept = p.wasiAccept || name == "sock_accept" && len(f.ParamTypes()) == 3
			h.params, h.results = f.ParamTypes(), f.ResultTypes()
		case !slices.Equal(h.params, f.ParamTypes()) || !slices.Equal(h.results, f.ResultTypes()):
			different = append(different, module+"."+name)
			continue
		}
		if wanted[module] == nil {
			wanted[module] = map[string]hostFunc{}
		}
		wanted[module][name] = h
	}
	if len(unknown) > 0 {
		return nil, &ModuleError{ReasonImports, fmt.Sprintf("the module imports functions that the platform does not have: %s; it has those of WASI preview 1 (%s) with the sockets of WasmEdge, of the handler interface (%s) and of http-wasm (%s): build for wasm32-wasip1 without other host bindings",
			list(unknown), moduleWASI, moduleOFN, moduleHTTPWasm)}
	}
	if len(different) > 0 {
		return nil, &ModuleError{ReasonImports, fmt.Sprintf("the module imports functions with other parameters or results than the platform's: %s", list(different))}
	}
	return wanted, nil
}

// provided finds a host function.
func (p *Program) provided(module, name string) (hostFunc, bool) {
	var h hostFunc
	var ok bool
	switch module {
	case moduleWASI:
		h, ok = p.runtime.wasi[name]
	case moduleOFN:
		h, ok = handlerFunctions()[name]
	case moduleHTTPWasm:
		h, ok = httpWasmFunctions()[name]
	}
	return h, ok
}
