package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/host"
	"github.com/OpenFunction/functions-framework-go/internal/registry"
	"github.com/OpenFunction/functions-framework-go/plugin"
	plugin_example "github.com/OpenFunction/functions-framework-go/plugin/plugin-example"
)

// TargetEnvName names the one declared function to serve; without it all are served.
const TargetEnvName = "FUNCTION_TARGET"

// Events makes the handler of Dapr's calls to the function. Requests that are not Dapr's go to next.
type Events func(inputs map[string]*ofctx.Input, call EventCall, next http.Handler, log *slog.Logger) (http.Handler, error)

// EventCall runs the function on an event and never panics.
type EventCall = func(ctx context.Context, input string, event any) (ofctx.Out, error)

// Config is what an engine is made of. Everything but Getenv and Declared may be left out.
type Config struct {
	Getenv   func(string) string
	Declared *registry.Registry
	// Server is how to serve; its Function is ignored.
	Server host.Config
	// Log receives what goes wrong; nil is that of Server, or JSON on standard error.
	Log *slog.Logger
	// OnError sees the error of every call that failed, panics included. Several goroutines may call it at once.
	OnError func(ofctx.RuntimeContext, error)
	// Sender carries what functions send.
	Sender ofctx.Sender
	// Events is needed when the function has inputs.
	Events Events
}

// Engine is a set of functions and what runs them.
type Engine struct {
	config    Config
	ctx       *ofctx.FunctionContext
	plugins   map[string]plugin.Plugin
	functions []*registry.Function
	declared  bool // the declared functions were taken
	targeted  bool
}

// New reads the context of the function.
func New(c Config) (*Engine, error) {
	if c.Log == nil {
		c.Log = c.Server.Log
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewJSONHandler(os.Stderr, nil))
	}
	c.Server.Log = c.Log
	if c.Server.MaxBody == 0 {
		c.Server.MaxBody = host.DefaultMaxBody
	}
	ctx, err := ofctx.Parse(c.Getenv)
	if err != nil {
		return nil, err
	}
	if c.Sender != nil {
		ctx = ctx.WithSender(c.Sender)
	}
	example := plugin_example.New()
	return &Engine{config: c, ctx: ctx, plugins: map[string]plugin.Plugin{example.Name(): example}}, nil
}

// RegisterPlugins adds plugins by name. Built-in ones cannot be replaced.
func (e *Engine) RegisterPlugins(custom map[string]plugin.Plugin) {
	for name, p := range custom {
		if _, taken := e.plugins[name]; taken {
			e.config.Log.Warn("plugin ignored: its name is that of a registered one", "plugin", name)
			continue
		}
		e.plugins[name] = p
	}
}

// Register adds a function of any of the signatures, under the name and at the path of the context.
func (e *Engine) Register(_ context.Context, fn interface{}) error {
	f, err := registry.New(e.ctx.Name, fn, registry.WithPath(e.ctx.HttpPattern))
	if err != nil {
		return fmt.Errorf("registering the function: %w", err)
	}
	return e.add(f)
}

func (e *Engine) add(f *registry.Function) error {
	for _, other := range e.functions {
		if other.Path == f.Path {
			return fmt.Errorf("registering the function: %q is already registered at path %s", other.Name, f.Path)
		}
	}
	if e.eventful() && len(e.functions) > 0 {
		return errors.New("registering the function: only one function can take the events of the inputs; select it with " + TargetEnvName)
	}
	if e.eventful() && f.OpenFunction == nil {
		return fmt.Errorf("function %q: events of inputs need the signature func(ofctx.Context, []byte) (ofctx.Out, error)", f.Name)
	}
	if f.OpenFunction != nil && e.ctx.HasOutputs() && e.config.Sender == nil {
		return fmt.Errorf("function %q: %w, but it has outputs: use framework.NewFramework in the main of this program", f.Name, ofctx.ErrNoSender)
	}
	e.functions = append(e.functions, f)
	return nil
}

// TryRegisterFunctions adds the declared functions: the one that FUNCTION_TARGET names, or all. Further calls do nothing.
func (e *Engine) TryRegisterFunctions(context.Context) error {
	if e.declared {
		return nil
	}
	functions, err := e.config.Declared.All()
	if err != nil {
		return fmt.Errorf("declaring functions: %w", err)
	}
	if target := e.config.Getenv(TargetEnvName); target != "" && (len(functions) > 0 || len(e.functions) == 0) {
		if functions, err = choose(functions, target); err != nil {
			return err
		}
		e.targeted = true
	}
	for _, f := range functions {
		if err := e.add(f); err != nil {
			return err
		}
	}
	e.declared = true
	return nil
}

func choose(functions []*registry.Function, target string) ([]*registry.Function, error) {
	var names []string
	for i, f := range functions {
		if f.Name == target {
			return functions[i : i+1], nil
		}
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return nil, fmt.Errorf("%s is %q but no function of that name is declared; there are: %s", TargetEnvName, target,
		strings.Join(names, ", "))
}

// Start serves until ctx ends or the process gets SIGTERM or SIGINT, then drains. It returns nil after a complete drain.
func (e *Engine) Start(ctx context.Context) error {
	if err := e.TryRegisterFunctions(ctx); err != nil {
		return err
	}
	h, err := e.Handler()
	if err != nil {
		return err
	}
	if closer, ok := e.config.Sender.(io.Closer); ok {
		defer closer.Close()
	}
	serve := e.config.Server
	serve.Function = e.functions[0].Name // with several each call names its own
	defer e.closePlugins()
	return host.Run(ctx, h, serve)
}

// closePlugins lets plugins that are io.Closers end, such as one that has spans to send.
func (e *Engine) closePlugins() {
	for name, p := range e.plugins {
		if closer, ok := p.(io.Closer); ok {
			if err := closer.Close(); err != nil {
				e.config.Log.Warn("plugin did not end well", "plugin", name, "error", err.Error())
			}
		}
	}
}

// Handler serves the functions registered so far.
func (e *Engine) Handler() (http.Handler, error) {
	if len(e.functions) == 0 {
		return nil, errors.New("no function is registered: declare one with functions.HTTP, functions.CloudEvent, " +
			"functions.OpenFunction or functions.Typed in an init function, or call Register")
	}
	c := e.caller()
	router, err := newRouter(placed(e.functions, e.targeted), len(e.functions) > 1, c.handler)
	if err != nil || !e.eventful() {
		return router, err
	}
	if e.config.Events == nil {
		return nil, errors.New("the function has inputs but this program was built without Dapr: use framework.NewFramework in its main")
	}
	f := e.functions[0]
	return e.config.Events(e.ctx.Inputs, func(ctx context.Context, input string, event any) (ofctx.Out, error) {
		return c.event(ctx, f, input, event)
	}, router, e.config.Log)
}

// eventful tells whether Dapr events call the function. Inputs of a function that is only called over HTTP call nobody.
func (e *Engine) eventful() bool { return e.ctx.Runtime == ofctx.Async && e.ctx.HasInputs() }

func (e *Engine) caller() *caller {
	pre, post := withTracing(e.ctx)
	return &caller{
		base:    e.ctx,
		pre:     e.named("prePlugins", pre),
		post:    e.named("postPlugins", post),
		onError: e.config.OnError,
		maxBody: e.config.Server.MaxBody,
		log:     e.config.Log,
	}
}

// withTracing are the names of the plugins with that of the tracing provider where it belongs: it sees what all others did. Only
// documents of old operators have it there.
func withTracing(ctx *ofctx.FunctionContext) (pre, post []string) {
	pre, post = ctx.PrePlugins, ctx.PostPlugins
	t := ctx.PluginsTracing
	if t == nil || !t.Enabled {
		return pre, post
	}
	if name := t.ProviderName(); !slices.Contains(pre, name) && !slices.Contains(post, name) {
		pre, post = append(slices.Clone(pre), name), append([]string{name}, post...)
	}
	return pre, post
}

// named returns the plugins a list of the context names.
func (e *Engine) named(list string, names []string) []plugin.Plugin {
	var out []plugin.Plugin
	for _, name := range names {
		if p, ok := e.plugins[name]; ok {
			out = append(out, p)
			continue
		}
		e.config.Log.Warn("plugin not found: register it with RegisterPlugins", "plugin", name, "list", list)
	}
	return out
}

// Runtime says how the functions are called.
func (e *Engine) Runtime() ofctx.Runtime { return e.ctx.Runtime }
