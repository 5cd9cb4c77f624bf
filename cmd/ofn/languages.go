package main

import (
	"fmt"
	"os"
	"path/filepath"

	functionsframework "github.com/OpenFunction/functions-framework-go"

	javaframework "github.com/openfunction/ofn/framework/java"
	"github.com/openfunction/ofn/framework/nodejs"
	pythonframework "github.com/openfunction/ofn/framework/python"
	rustframework "github.com/openfunction/ofn/framework/rust"
	wasmfn "github.com/openfunction/ofn/framework/wasm/go"
	"github.com/openfunction/ofn/internal/build/native/golang"
	"github.com/openfunction/ofn/internal/build/native/java"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/native/module"
	"github.com/openfunction/ofn/internal/build/native/node"
	"github.com/openfunction/ofn/internal/build/native/python"
	"github.com/openfunction/ofn/internal/build/native/rust"
)

// languages are what the native builder builds with the Go distribution in goRoot.
func languages(tools lang.Tools, goRoot string) ([]lang.Entry, error) {
	g, err := newGolang(within(tools, "go"), goRoot)
	if err != nil {
		return nil, fmt.Errorf("preparing to build Go: %w", err)
	}
	return withGo(tools, g)
}

// withGo are all languages, in the order in which they are asked whether a source is theirs. Each has a directory of its own below
// tools.Cache.
func withGo(tools lang.Tools, g *golang.Golang) ([]lang.Entry, error) {
	n, err := node.New(node.Options{Tools: within(tools, "node"), Framework: nodejs.Files(), FrameworkVersion: version})
	if err != nil {
		return nil, fmt.Errorf("preparing to build Node.js: %w", err)
	}
	p, err := python.New(python.Options{Tools: within(tools, "python"), Framework: pythonframework.Source(),
		Requirements: pythonframework.Requirements(), FrameworkVersion: version})
	if err != nil {
		return nil, fmt.Errorf("preparing to build Python: %w", err)
	}
	r, err := rust.New(rust.Options{Tools: within(tools, "rust"), Framework: rustframework.Files(), FrameworkVersion: version})
	if err != nil {
		return nil, fmt.Errorf("preparing to build Rust: %w", err)
	}
	j, err := newJava(within(tools, "java"))
	if err != nil {
		return nil, fmt.Errorf("preparing to build Java: %w", err)
	}
	return []lang.Entry{
		{Name: "Go", Runtimes: []string{"go", "golang"}, Language: g},
		{Name: "Node.js", Runtimes: []string{"node", "nodejs", "javascript", "typescript"}, Language: n},
		{Name: "Python", Runtimes: []string{"python"}, Language: p},
		{Name: "Java", Runtimes: []string{"java", "jvm"}, Language: j},
		{Name: "Rust", Runtimes: []string{"rust"}, Language: r},
		{Name: "WebAssembly modules", Runtimes: []string{"wasm"}, Language: module.Language{}},
	}, nil
}

func newJava(tools lang.Tools) (*java.Java, error) {
	return java.New(java.Options{Tools: tools,
		Framework: javaframework.Framework(), CloudEvents: javaframework.CloudEvents(), Stubs: javaframework.Stubs(), FrameworkVersion: version,
		Names: java.Names{Group: javaframework.Group, Artifact: javaframework.Artifact, Main: javaframework.Main, Inspect: javaframework.Inspect,
			Training: javaframework.Training, Launch: javaframework.Launch},
	})
}

// within gives a language its own part of the cache.
func within(tools lang.Tools, name string) lang.Tools {
	tools.Cache = filepath.Join(tools.Cache, name)
	return tools
}

func newGolang(tools lang.Tools, root string) (*golang.Golang, error) {
	o := golang.Options{Tools: tools, GoRoot: root, Framework: goFramework()}
	if root == "" {
		return golang.New(o)
	}
	var err error
	if o.GoProxy, err = goEnv(filepath.Join(root, "bin", "go"), "GOPROXY"); err != nil {
		return nil, err
	}
	if o.GoSumDB, err = goEnv(filepath.Join(root, "bin", "go"), "GOSUMDB"); err != nil {
		return nil, err
	}
	return golang.New(o)
}

func goFramework() golang.Framework {
	return golang.Framework{Version: version, Full: functionsframework.Full(), Lean: functionsframework.Lean(), Wasm: wasmfn.Source()}
}

// zones are the time zones of a Go distribution, which images get for programs that look in ZONEINFO; nil without one.
func zones(goRoot string) []byte {
	data, err := os.ReadFile(filepath.Join(goRoot, "lib/time/zoneinfo.zip"))
	if err != nil {
		return nil
	}
	return data
}
