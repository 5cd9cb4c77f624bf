package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/wasm"
	"github.com/openfunction/ofn/internal/instance/drivers/wasm/worker"
)

// wasmWorker is the argument that makes this program a worker of WebAssembly functions.
const wasmWorker = "wasm-worker"

// wasmAlone and the file of a module are the arguments that make this program the server of that module, for `ofn dev`.
const wasmAlone = "wasm-alone"

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
	l, err := activated(wasmWorker)
	if err != nil {
		return err
	}
	return worker.Serve(ctx, l, worker.Options{TempDir: os.TempDir(), Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
}

// serveModule serves the module of a file from the socket that it was started with.
func serveModule(ctx context.Context, file string) error {
	l, err := activated(wasmAlone)
	if err != nil {
		return err
	}
	code, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the module: %w", err)
	}
	dir, err := os.MkdirTemp("", "ofn-wasm-")
	if err != nil {
		return fmt.Errorf("making a directory for the module: %w", err)
	}
	defer os.RemoveAll(dir)
	return worker.ServeAlone(ctx, l, worker.Options{TempDir: dir, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))},
		worker.Alone{Module: code, Args: []string{file}, Env: os.Environ(), Log: os.Stderr})
}

// activated is the socket that a role was started with.
func activated(role string) (net.Listener, error) {
	f := os.NewFile(3, "listener")
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("%s is started by ofn only: %w", role, err)
	}
	return l, f.Close()
}

// modulesHere lets modules run on this machine, each served by this program. It implements build.Images.
type modulesHere struct {
	build.Images
	self string
}

// Write implements build.Images.
func (m modulesHere) Write(ctx context.Context, out build.Output, img build.Image) (string, int64, error) {
	if img.Local == nil && img.Arch == "wasm" && len(img.Entrypoint) == 1 {
		img.Local = &build.Local{Layers: img.Layers, Args: []string{m.self, wasmAlone, build.LocalRoot + img.Entrypoint[0]}, ListenFD: true}
	}
	return m.Images.Write(ctx, out, img)
}

// intoModules has a strategy make modules.
type intoModules struct{ build.Strategy }

// Build implements build.Strategy.
func (m intoModules) Build(ctx context.Context, r build.Request, log io.Writer) (build.Result, error) {
	r.Target = build.TargetWasm
	return m.Strategy.Build(ctx, r, log)
}

// wantsWasm is whether a function is to be a module, as the platform decides it.
func wantsWasm(function *unstructured.Unstructured) bool {
	text := func(path ...string) string {
		s, _, _ := unstructured.NestedString(function.Object, path...) // what is no text names no runtime
		return s
	}
	class := text("spec", "serving", "template", "runtimeClassName")
	return strings.EqualFold(text("spec", "workloadRuntime"), v1beta2.WorkloadRuntimeWasmEdge) || class == v1beta2.OwnWasmRuntimeClass || class == v1beta2.WasmRuntimeClass
}
