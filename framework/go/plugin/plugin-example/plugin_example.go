// Package plugin_example is a plugin to start one's own from: it counts its hooks.
package plugin_example

import (
	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/plugin"
)

// Name and Version are what the context calls the plugin.
const (
	Name    = "plugin-example"
	Version = "v1"
)

// PluginExample counts how many of its hooks ran in one call.
type PluginExample struct {
	PluginName    string
	PluginVersion string

	hooks int64
}

var _ plugin.Plugin = (*PluginExample)(nil)

// New returns the plugin to register.
func New() *PluginExample { return &PluginExample{PluginName: Name, PluginVersion: Version} }

// Name is the constant of that name.
func (p *PluginExample) Name() string { return Name }

// Version is the constant of that name.
func (p *PluginExample) Version() string { return Version }

// Init makes the plugin of one call.
func (p *PluginExample) Init() plugin.Plugin { return New() }

// ExecPreHook counts.
func (p *PluginExample) ExecPreHook(ofctx.RuntimeContext, map[string]plugin.Plugin) error {
	p.hooks++
	return nil
}

// ExecPostHook counts.
func (p *PluginExample) ExecPostHook(ofctx.RuntimeContext, map[string]plugin.Plugin) error {
	p.hooks++
	return nil
}

// Get knows "PluginName", "PluginVersion" and "Hooks".
func (p *PluginExample) Get(fieldName string) (interface{}, bool) {
	switch fieldName {
	case "PluginName":
		return p.PluginName, true
	case "PluginVersion":
		return p.PluginVersion, true
	case "Hooks":
		return p.hooks, true
	}
	return nil, false
}
