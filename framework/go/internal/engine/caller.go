// Package engine runs functions: it makes the context of each call, runs the hooks around it and turns results into answers. What
// it knows of Dapr are two seams, so that functions without inputs and outputs link nothing of it.
package engine

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/host"
	"github.com/OpenFunction/functions-framework-go/internal/registry"
	"github.com/OpenFunction/functions-framework-go/plugin"
)

// caller makes calls of functions. It is immutable once requests come.
type caller struct {
	base      *ofctx.FunctionContext
	pre, post []plugin.Plugin
	onError   func(ofctx.RuntimeContext, error)
	maxBody   int64 // bytes that are read into memory
	log       *slog.Logger
}

// bare tells whether nothing but the function looks at a call.
func (c *caller) bare() bool { return len(c.pre) == 0 && len(c.post) == 0 && c.onError == nil }

// run runs fn between the hooks. A panic of fn is recorded as the call's error and goes on after the post hooks.
func (c *caller) run(call *ofctx.FunctionContext, fn func()) {
	pre, post, state := c.plugins()
	for _, p := range pre {
		c.hook("before", p, p.ExecPreHook(call, state))
	}
	defer func() {
		value := recover()
		if value != nil {
			call.WithError(&ofctx.PanicError{Value: value})
		}
		for _, p := range post {
			c.hook("after", p, p.ExecPostHook(call, state))
		}
		if c.onError != nil && call.Error != nil && !errors.Is(call.Error, http.ErrAbortHandler) {
			c.onError(call, call.Error)
		}
		if value != nil {
			panic(value) // the frames of the first panic are still on the stack for whoever logs it
		}
	}()
	fn()
}

// plugins makes the plugins of one call: one of each name, shared by both phases.
func (c *caller) plugins() (pre, post []plugin.Plugin, state map[string]plugin.Plugin) {
	state = make(map[string]plugin.Plugin, len(c.pre)+len(c.post))
	fresh := func(list []plugin.Plugin) []plugin.Plugin {
		out := make([]plugin.Plugin, len(list))
		for i, p := range list {
			if _, ok := state[p.Name()]; !ok {
				state[p.Name()] = p.Init()
			}
			out[i] = state[p.Name()]
		}
		return out
	}
	return fresh(c.pre), fresh(c.post), state
}

func (c *caller) hook(phase string, p plugin.Plugin, err error) {
	if err != nil {
		c.log.Warn("plugin failed", "plugin", p.Name(), "phase", phase, "error", err.Error())
	}
}

// event calls an OpenFunction function with a Dapr event. Panics end here: there is no HTTP server below to stop them.
func (c *caller) event(ctx context.Context, f *registry.Function, input string, event any) (out ofctx.Out, err error) {
	call := c.base.NewCall(ctx)
	call.SetEvent(input, event)
	defer func() {
		if value := recover(); value != nil {
			out, err = nil, &ofctx.PanicError{Value: value}
			host.Failure{Function: f.Name, Cause: err.Error(), Stack: string(debug.Stack())}.Log(c.log, nil, "input", input)
		}
	}()
	c.run(call, func() { c.openFunction(call, f, call.GetInnerEvent().GetUserData()) })
	if call.Error != nil {
		host.Failure{Function: f.Name, Cause: call.Error.Error()}.Log(c.log, nil, "input", input)
	}
	return call.Out, call.Error
}

// openFunction runs the function and records its result, which a nil pointer inside Out does not break.
func (c *caller) openFunction(call *ofctx.FunctionContext, f *registry.Function, data []byte) {
	out, err := f.OpenFunction(call, data)
	call.WithError(err)
	if out != nil {
		call.WithOut(out.GetOut())
	}
}
