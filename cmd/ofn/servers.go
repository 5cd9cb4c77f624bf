package main

import (
	"fmt"
	"path/filepath"

	"github.com/openfunction/ofn/framework/shim"
	"github.com/openfunction/ofn/internal/build/native/lang"
	"github.com/openfunction/ofn/internal/build/native/server"
)

// withServers adds to the languages what is ready to run, asked last, and gives what starts the programs of all of them.
func withServers(tools lang.Tools, goRoot string, known []lang.Entry) ([]lang.Entry, lang.Launcher, error) {
	source, err := shim.Source()
	if err != nil {
		return nil, nil, err
	}
	s, err := server.New(server.Options{Tools: within(tools, "server"), Find: program, Shim: source, ShimPackage: shim.Command, GoRoot: goRoot,
		BuildCache: filepath.Join(tools.Cache, "go", "build")})
	if err != nil {
		return nil, nil, fmt.Errorf("preparing to build servers: %w", err)
	}
	return append(known, lang.Entry{Name: "ready programs", Runtimes: []string{"server"}, Language: s.Language()}), s, nil
}
