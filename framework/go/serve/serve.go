// Package serve is the main program of declared functions that neither have inputs nor send to outputs. It links nothing of Dapr, so it
// starts in half the time of package framework:
//
//	import _ "example.com/user/function"
//
//	func main() { serve.Main(nil) }
package serve

import (
	"context"
	"os"

	"github.com/OpenFunction/functions-framework-go/host"
	"github.com/OpenFunction/functions-framework-go/internal/engine"
	"github.com/OpenFunction/functions-framework-go/internal/registry"
	"github.com/OpenFunction/functions-framework-go/plugin"
)

// Main serves the declared functions, and those given, until the process is told to end, then drains and exits: 0 after a complete drain, 1
// when it could not start or had to cut requests off. plugins may be nil.
func Main(plugins map[string]plugin.Plugin, functions ...any) {
	server, err := host.FromEnv(os.Getenv)
	if err == nil {
		err = run(context.Background(), server, plugins, functions)
	}
	host.End(server.Log, err)
}

func run(ctx context.Context, server host.Config, plugins map[string]plugin.Plugin, functions []any) error {
	e, err := engine.New(engine.Config{Getenv: os.Getenv, Declared: registry.Declared(), Server: server})
	if err != nil {
		return err
	}
	e.RegisterPlugins(plugins)
	for _, fn := range functions {
		if err := e.Register(ctx, fn); err != nil {
			return err
		}
	}
	return e.Start(ctx)
}
