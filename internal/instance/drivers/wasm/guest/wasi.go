package guest

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// errno is an error number of WASI preview 1.
type errno uint32

// The numbers that are used here.
const (
	success      errno = 0
	errAgain     errno = 6
	errBadFD     errno = 8
	errAborted   errno = 13
	errRefused   errno = 14
	errReset     errno = 15
	errFault     errno = 21
	errHost      errno = 23
	errIntr      errno = 27
	errInvalid   errno = 28
	errIO        errno = 29
	errConnected errno = 30
	errFiles     errno = 41
	errNotConn   errno = 53
	errNotSock   errno = 57
	errNotSup    errno = 58
	errPipe      errno = 64
)

// hostFunc is a function that modules import.
type hostFunc struct {
	call            api.GoModuleFunction
	params, results []api.ValueType
	variable        bool // its parameters are those that the module says: it differs between versions of its interface
}

const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
)

// hostCall is a function of the platform's own. Its arguments and its result are on the stack.
type hostCall func(ctx context.Context, i *Instance, mem api.Memory, stack []uint64) errno

// Call implements api.GoModuleFunction.
func (f hostCall) Call(ctx context.Context, mod api.Module, stack []uint64) {
	i := of(ctx)
	if i == nil {
		stack[0] = uint64(errNotSup)
		return
	}
	stack[0] = uint64(f(ctx, i, mod.Memory(), narrow(stack)))
}

// wasiFunctions are the engine's functions of WASI, with those about descriptors and waiting made to know our sockets.
func wasiFunctions(ctx context.Context, rt wazero.Runtime) (map[string]hostFunc, error) {
	b := rt.NewHostModuleBuilder(moduleWASI)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	compiled, err := b.Compile(ctx)
	if err != nil {
		return nil, fmt.Errorf("making the functions of WASI: %w", err)
	}
	defer compiled.Close(ctx)
	all := map[string]hostFunc{}
	for name, d := range compiled.ExportedFunctions() {
		call, ok := d.GoFunction().(api.GoModuleFunction)
		if !ok {
			return nil, fmt.Errorf("the engine's function %s is a %T", name, d.GoFunction())
		}
		all[name] = hostFunc{call: call, params: d.ParamTypes(), results: d.ResultTypes()}
	}
	for name, f := range descriptorFunctions() {
		original := all[name]
		all[name] = hostFunc{call: onSockets{f, original.call}, params: original.params, results: original.results}
	}
	opened := all["path_open"]
	opened.call = counted{opened.call, +1}
	all["path_open"] = opened
	closed := all["fd_close"]
	closed.call = onSockets{closeSocket, counted{closed.call, -1}}
	all["fd_close"] = closed
	for name, f := range socketFunctions() {
		all[name] = f
	}
	for name, f := range map[string]hostCall{"environ_sizes_get": environmentSizes, "environ_get": environment} {
		all[name] = hostFunc{call: f, params: all[name].params, results: all[name].results}
	}
	return all, nil
}

// onSockets is a function whose first argument is a descriptor: ours go one way, the others that of the engine.
type onSockets struct {
	ours     hostCall
	original api.GoModuleFunction
}

// Call implements api.GoModuleFunction.
func (f onSockets) Call(ctx context.Context, mod api.Module, stack []uint64) {
	if i := of(ctx); i != nil && i.sockets.has(int32(stack[0])) {
		f.ours.Call(ctx, mod, stack)
		return
	}
	f.original.Call(ctx, mod, stack)
}

// counted counts the files that an instance has open.
type counted struct {
	original api.GoModuleFunction
	by       int
}

// Call implements api.GoModuleFunction.
func (f counted) Call(ctx context.Context, mod api.Module, stack []uint64) {
	f.original.Call(ctx, mod, stack)
	if i := of(ctx); i != nil && stack[0] == 0 {
		i.open += f.by
	}
}

// The environment is ours because the engine's configuration is slow to extend for each request, and shares memory when two do it
// at the same time.

func environmentSizes(_ context.Context, i *Instance, mem api.Memory, s []uint64) errno {
	size := 0
	for _, kv := range i.env {
		size += len(kv) + 1
	}
	if !mem.WriteUint32Le(uint32(s[0]), uint32(len(i.env))) || !mem.WriteUint32Le(uint32(s[1]), uint32(size)) {
		return errFault
	}
	return success
}

func environment(_ context.Context, i *Instance, mem api.Memory, s []uint64) errno {
	list, at := uint32(s[0]), uint32(s[1])
	for _, kv := range i.env {
		if !mem.WriteUint32Le(list, at) || !mem.WriteString(at, kv) || !mem.WriteByte(at+uint32(len(kv)), 0) {
			return errFault
		}
		list += 4
		at += uint32(len(kv)) + 1
	}
	return success
}

// narrow makes numbers of 32 bits of what is on the stack, whose upper halves mean nothing.
func narrow(stack []uint64) []uint64 {
	for i := range stack {
		stack[i] = uint64(uint32(stack[i]))
	}
	return stack
}

func parameters(n int) []api.ValueType {
	p := make([]api.ValueType, n)
	for i := range p {
		p[i] = i32
	}
	return p
}
