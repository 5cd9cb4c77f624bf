package main

import (
	"context"
	"fmt"
	"os/exec"

	"github.com/openfunction/ofn/framework/shim"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/native/server"
)

// withServers adds to the languages what is ready to run, asked last, and gives what starts the programs of all of them. The Go distribution and
// its build cache are for the shim.
func withServers(tools lang.Tools, goRoot, buildCache string, known []lang.Entry) ([]lang.Entry, lang.Launcher, error) {
	source, err := shim.Source()
	if err != nil {
		return nil, nil, err
	}
	s, err := server.New(server.Options{Tools: within(tools, "server"), Shim: source, ShimPackage: shim.Command, GoRoot: goRoot,
		BuildCache: buildCache})
	if err != nil {
		return nil, nil, fmt.Errorf("preparing to build servers: %w", err)
	}
	return append(known, lang.Entry{Name: "ready programs", Runtimes: []string{"server"}, Language: s.Language()}), s, nil
}

// developersServers is withServers with the Go of the developer, if there is one.
func developersServers(ctx context.Context, tools lang.Tools, known []lang.Entry) ([]lang.Entry, lang.Launcher, error) {
	compiler, err := exec.LookPath("go")
	if err != nil {
		return withServers(tools, "", "", known)
	}
	set, err := goSettings(ctx, compiler, "GOROOT", "GOCACHE")
	if err != nil {
		return nil, nil, err
	}
	return withServers(tools, set["GOROOT"], set["GOCACHE"], known)
}
