// Package framework runs functions: those declared with package functions, and those registered here.
//
//	func main() {
//		ctx := context.Background()
//		fwk, err := framework.NewFramework()
//		if err != nil { log.Fatal(err) }
//		if err := fwk.Register(ctx, HelloWorld); err != nil { log.Fatal(err) }
//		if err := fwk.Start(ctx); err != nil { log.Fatal(err) }
//	}
package framework

import (
	"context"
	"log/slog"
	"net/http"
	"os"

	ofctx "github.com/OpenFunction/functions-framework-go/context"
	"github.com/OpenFunction/functions-framework-go/host"
	"github.com/OpenFunction/functions-framework-go/internal/dapr"
	"github.com/OpenFunction/functions-framework-go/internal/engine"
	"github.com/OpenFunction/functions-framework-go/internal/registry"
	"github.com/OpenFunction/functions-framework-go/plugin"
	"github.com/OpenFunction/functions-framework-go/runtime"
	"github.com/OpenFunction/functions-framework-go/runtime/async"
)

// Framework runs the functions of one process.
type Framework interface {
	// Register adds a function of any of the three signatures, under the name and at the path that the context (FUNC_CONTEXT) gives.
	Register(ctx context.Context, fn interface{}) error
	// RegisterPlugins makes plugins known by the names that prePlugins and postPlugins of the context use. Names of built-in ones are ignored.
	RegisterPlugins(customPlugins map[string]plugin.Plugin)
	// Start adds the declared functions and serves until ctx ends or the process gets SIGTERM or SIGINT. Then it accepts no more,
	// finishes what runs for at most OFN_GRACE (30s), and returns nil, or host.ErrCut when something had to be cut off.
	Start(ctx context.Context) error
	// TryRegisterFunctions adds the declared functions: the one that FUNCTION_TARGET names, or all. Start does it too; further calls do nothing.
	TryRegisterFunctions(ctx context.Context) error
	// GetRuntime gives tests a handler that serves the functions.
	GetRuntime() runtime.Interface
}

// Option changes a framework.
type Option func(*engine.Config)

// WithErrorHandler lets handle see the error of every call that failed, as the function returned it; a panic is an *ofctx.PanicError.
// It runs after the post hooks, in the goroutine of the call, so several may run at once.
func WithErrorHandler(handle func(ctx ofctx.RuntimeContext, err error)) Option {
	return func(c *engine.Config) { c.OnError = handle }
}

// WithLogger replaces the log, which is JSON on standard error.
func WithLogger(log *slog.Logger) Option {
	return func(c *engine.Config) { c.Log = log }
}

// WithEnv reads settings from getenv instead of the environment of the process.
func WithEnv(getenv func(string) string) Option {
	return func(c *engine.Config) { c.Getenv = getenv }
}

// NewFramework reads the function's context from FUNC_CONTEXT_V1BETA2 and FUNC_CONTEXT. Without both it serves plain HTTP on PORT.
func NewFramework(options ...Option) (Framework, error) {
	c := engine.Config{Getenv: os.Getenv, Declared: registry.Declared(), Events: events}
	for _, o := range options {
		o(&c)
	}
	var err error
	if c.Server, err = host.FromEnv(c.Getenv); err != nil {
		return nil, err
	}
	c.Sender = dapr.FromEnv(c.Getenv)
	e, err := engine.New(c)
	if err != nil {
		return nil, err
	}
	return framework{e}, nil
}

func events(inputs map[string]*ofctx.Input, call engine.EventCall, next http.Handler, log *slog.Logger) (http.Handler, error) {
	return async.New(inputs, call, next, log)
}

type framework struct{ *engine.Engine }

func (f framework) GetRuntime() runtime.Interface { return served(f) }

// served is the runtime of a framework.
type served framework

func (s served) Start(ctx context.Context) error { return s.Engine.Start(ctx) }

func (s served) Name() ofctx.Runtime { return s.Runtime() }

// GetHandler answers every request with 500 and the reason when the functions cannot be served.
func (s served) GetHandler() interface{} {
	h, err := s.Handler()
	if err != nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		})
	}
	return h
}
