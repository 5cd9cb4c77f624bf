package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/openfunction/ofn/internal/compile"
	"github.com/openfunction/ofn/internal/lag"
	"github.com/openfunction/ofn/internal/lag/helper"
)

// scalersProgram asks the sources of scaling triggers.
const scalersProgram = "ofn-scalers"

// helpersDir is where programs are that the platform builds for itself, in its data directory.
const helpersDir = "helpers"

// openTriggers makes what tells how much waits for functions. Nothing is started before a function has triggers that need it.
func (p *platform) openTriggers() *lag.Triggers {
	h := helper.New(helper.Options{Dir: filepath.Join(p.settings.dataDir, helpersDir), Find: builtScalers(), Compiler: p.compiler(), Env: os.Environ(), Log: p.log})
	p.onClose(func(context.Context) error { h.Close(); return nil })
	return lag.New(lag.Options{Helper: h, Bus: busLag{p}})
}

// compiler builds the programs of helpersDir.
func (p *platform) compiler() *compile.Compiler {
	if p.compiles != nil {
		return p.compiles
	}
	dir := filepath.Join(p.settings.dataDir, helpersDir)
	o := compile.Options{Dir: dir, Env: os.Environ(), Log: p.log}
	if p.settings.goRoot != "" {
		o.Go = filepath.Join(p.settings.goRoot, "bin", "go")
	} else if path, err := exec.LookPath("go"); err == nil {
		o.Go = path
	}
	if os.Getenv("HOME") == "" { // a service may have none, and go has nowhere to keep anything then
		o.Env = append(o.Env, "GOCACHE="+filepath.Join(dir, "cache"), "GOPATH="+filepath.Join(dir, "go"))
	}
	p.compiles = compile.New(o)
	return p.compiles
}

// builtScalers is where the program may be, built.
func builtScalers() []string { return beside(scalersProgram) }
