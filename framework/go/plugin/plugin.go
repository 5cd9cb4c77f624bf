// Package plugin is what runs before and after a function: hooks that see its context and its result.
package plugin

import ofctx "github.com/OpenFunction/functions-framework-go/context"

// Metadata names a plugin.
type Metadata interface {
	// Name is what prePlugins and postPlugins of the function's context call it.
	Name() string
	Version() string
}

// Plugin runs before a function, after it, or both.
type Plugin interface {
	Metadata
	// Init makes the plugin of one call; it may be called by several goroutines at once. The same plugin runs before and after the function.
	Init() Plugin
	// ExecPreHook runs before the function. plugins are all of this call, by name. An error is logged; the function runs all the same.
	ExecPreHook(ctx ofctx.RuntimeContext, plugins map[string]Plugin) error
	// ExecPostHook runs after the function, also when it failed or panicked: see GetOut and GetError of ctx.
	ExecPostHook(ctx ofctx.RuntimeContext, plugins map[string]Plugin) error
	// Get returns a value that the plugin shares with others.
	Get(fieldName string) (interface{}, bool)
}
