package main

import (
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/cli/scaffold"
	"github.com/openfunction/ofn/internal/dev"
)

// Every template builds, as `ofn dev` builds it, where the tools of its language are and package registries answer.
func TestTemplatesBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("dependencies are downloaded")
	}
	tools := lang.Tools{Cache: t.TempDir(), Runner: unlimited{}, OS: runtime.GOOS, Arch: runtime.GOARCH, Find: program, Env: developersEnv(), Local: true}
	g, err := developersGo(t.Context(), tools)
	if err != nil {
		t.Fatal(err)
	}
	known, err := withGo(tools, g)
	if err != nil {
		t.Fatal(err)
	}
	known, launcher, err := developersServers(t.Context(), tools, known)
	if err != nil {
		t.Fatal(err)
	}
	for _, tpl := range scaffold.Templates() {
		t.Run(tpl.Name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "greeter")
			if _, err := scaffold.Write(dir, tpl.Name, scaffold.Values{Name: "greeter"}); err != nil {
				t.Fatal(err)
			}
			d := development{dir: dir}
			if err := d.readManifest(); err != nil {
				t.Fatal(err)
			}
			programs := dev.NewPrograms(t.TempDir())
			strategy, err := native.New(native.Options{Dir: t.TempDir(), Languages: known, Launcher: launcher, OS: runtime.GOOS, Sources: dev.Source{Dir: dir}, Images: programs, Local: true})
			if err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			_, err = strategy.Build(t.Context(), build.Request{ID: "dev/greeter", Function: "greeter", Env: d.buildEnv, Output: build.Output{Image: "greeter"}}, io.Writer(&log))
			if f, ok := errors.AsType[*build.Failure](err); ok && slices.Contains([]string{"ToolMissing", "RegistryUnreachable", "LocalUnsupported"}, f.Reason) {
				t.Skip(f.Message)
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, &log)
			}
			if len(programs.Last().Args) == 0 {
				t.Errorf("nothing to start\n%s", &log)
			}
		})
	}
}
