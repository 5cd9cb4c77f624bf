package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/wasm"
	"github.com/openfunction/ofn/internal/instance/drivers/wasm/worker"
)

// wasmWorker is the argument that makes this program a worker of WebAssembly functions.
const wasmWorker = "wasm-worker"

// workerGCPercent makes the collector run seldom: what lives long in a worker is little, and modules' memories are outside its heap.
const workerGCPercent = 200

// openWasm makes the driver of WebAssembly modules, whose workers are copies of this program in the sandbox.
func (p *platform) openWasm() (*wasm.Driver, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	d, err := wasm.New(wasm.Options{
		StateDir: filepath.Join(p.settings.dataDir, "wasm"), Host: p.driver, Program: program, Args: []string{wasmWorker}, Log: p.log,
		UnlimitedWorkers: p.settings.allowUnlimited,
	})
	if err != nil {
		return nil, err
	}
	return d, d.Clean(context.Background())
}

// runtimes are the drivers by runtime class. On a cluster a WebAssembly function names the class of its crun; here that is ours.
func (p *platform) runtimes() map[string]instance.Driver {
	return map[string]instance.Driver{"": p.driver, "wasm": p.wasm, "wasmedge": p.wasm, v1beta2.WasmRuntimeClass: p.wasm}
}

// serveWasm is a worker: it takes connections from the socket that it was started with until it is told to end.
func serveWasm(ctx context.Context) error {
	debug.SetGCPercent(workerGCPercent)
	f := os.NewFile(3, "listener")
	l, err := net.FileListener(f)
	if err != nil {
		return fmt.Errorf("%s is started by the platform only: %w", wasmWorker, err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	return worker.Serve(ctx, l, worker.Options{TempDir: os.TempDir(), Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
}
