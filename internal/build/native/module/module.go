// Package module takes sources that are one WebAssembly module, made already with whatever makes them: the module becomes the image.
package module

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// Language is the language of modules.
type Language struct{}

var _ lang.Language = Language{}

// magic begins a module of version 1.
var magic = []byte("\x00asm\x01\x00\x00\x00")

// modules are the modules in the directory where the build begins.
func modules(t *lang.Tree) []lang.File {
	var found []lang.File
	for _, f := range t.Files {
		if rel, in := lang.Below(t.Sub, f.Path); in && !strings.Contains(rel, "/") && f.Mode.IsRegular() && path.Ext(rel) == ".wasm" {
			found = append(found, f)
		}
	}
	return found
}

// Detect implements lang.Language. It is to be asked after the languages that modules are made with.
func (Language) Detect(t *lang.Tree, _ lang.Env) bool { return len(modules(t)) > 0 }

// Identity implements lang.Language.
func (Language) Identity(context.Context) (string, error) { return "1", nil }

// Compile implements lang.Language.
func (Language) Compile(_ context.Context, j *lang.Job) (lang.Program, error) {
	j.Env.Unknown(j.Log, func(string) bool { return false })
	f, err := choose(j)
	if err != nil {
		return lang.Program{}, err
	}
	if j.Request.Target != build.TargetWasm {
		return lang.Program{}, lang.Failure("RuntimeMismatch", "%s is a WebAssembly module: set workloadRuntime: WasmEdge, or runtimeClassName: wasm in the template, so that it is run as one", f.Path)
	}
	if err := check(j.Tree.Abs(f.Path)); err != nil {
		return lang.Program{}, lang.Failure("InvalidModule", "%s is no WebAssembly module: %v", f.Path, err)
	}
	name := path.Base(f.Path)
	fmt.Fprintf(j.Log, "found the WebAssembly module %s\n", f.Path)
	out := filepath.Join(j.Work, name)
	if err := keep(j.Tree.Abs(f.Path), out); err != nil {
		return lang.Program{}, fmt.Errorf("taking the module: %w", err)
	}
	return lang.Program{
		Layers:     []build.Layer{{{Path: name, Mode: 0o644, File: out}}},
		Entrypoint: []string{"/" + name}, Bare: true, Platform: "wasip1/wasm",
	}, nil
}

// choose takes the only module, or the one that is named.
func choose(j *lang.Job) (lang.File, error) {
	var names []string
	found := modules(j.Tree)
	for _, f := range found {
		name := path.Base(f.Path)
		if j.Env.Source == name || j.Env.Source == "" && len(found) == 1 {
			return f, nil
		}
		names = append(names, name)
	}
	if j.Env.Source != "" {
		return lang.File{}, lang.Failure("SourceEmpty", "FUNC_SRC of build.env is %q, and the source has no such module; there are: %s", j.Env.Source, strings.Join(names, ", "))
	}
	return lang.File{}, lang.Failure("SourceEmpty", "the source has several WebAssembly modules: say which in FUNC_SRC of build.env; there are: %s", strings.Join(names, ", "))
}

// check looks at how a file begins. The rest the platform does when it compiles the module.
func check(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, len(magic))
	n, _ := io.ReadFull(f, head) // a short file is one
	switch {
	case bytes.Equal(head[:n], magic):
		return nil
	case n == len(head) && bytes.HasPrefix(head, magic[:4]) && head[6] != 0:
		return fmt.Errorf("it is a component; the platform runs core modules for wasm32-wasip1")
	}
	return fmt.Errorf("it begins with %q", head[:n])
}

// keep copies what the image is made of: the source may change meanwhile.
func keep(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}
