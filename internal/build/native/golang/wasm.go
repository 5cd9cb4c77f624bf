package golang

import (
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// What Go calls WebAssembly with WASI preview 1, and the module that makes handlers for it.
const (
	wasmOS, wasmArch = "wasip1", "wasm"
	wasmModule       = "github.com/openfunction/ofn/framework/wasm/go"
	wasmFile         = "function.wasm"
)

// wasm is whether the build is to make a WebAssembly module.
func (j *job) wasm() bool { return j.Request.Target == build.TargetWasm }

// checkWasm refuses what cannot be a module: the framework needs a network to listen on.
func (p *plan) checkWasm() error {
	if !p.wasm || p.kind == completeMain || p.kind == httpFunc && len(p.plugins) == 0 {
		return nil
	}
	return lang.Failure("SignatureUnsupported", "%s cannot become a WebAssembly module: one is made of a function func(http.ResponseWriter, *http.Request) or of a complete program; "+
		"leave workloadRuntime and runtimeClassName out to run it as a process", p.describe())
}

// moduleProgram is an image that holds nothing but the module.
func moduleProgram(file string, env []string) lang.Program {
	return lang.Program{
		Layers:     []build.Layer{{{Path: wasmFile, Mode: 0o644, File: file}}},
		Entrypoint: []string{"/" + wasmFile}, Env: env, Bare: true, Platform: wasmOS + "/" + wasmArch,
	}
}
