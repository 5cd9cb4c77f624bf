// Package dapr is the Dapr runtime in process: components of components-contrib, event-driven functions that they call, and
// Dapr's API for functions, on listeners that tell who calls. It stands for one sidecar beside every function.
//
//	components  type -> constructor, metadata checks, logs
//	runtime     what is loaded, subscriptions, bindings, delivery to functions
//	api         gRPC and HTTP for the functions
package dapr

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/openfunction/ofn/internal/dapr/api"
	"github.com/openfunction/ofn/internal/dapr/runtime"
	"github.com/openfunction/ofn/internal/event"
)

// Options are what the runtime needs of its platform.
type Options struct {
	Log *slog.Logger
	// Caller reaches the copies of functions. Without it nothing is delivered.
	Caller runtime.Caller
	// DeadLetters keeps what no function could handle. Without it such events stay with their brokers.
	DeadLetters runtime.DeadLetters
	// Invoker takes requests for FUNCTION.NAMESPACE.svc.CLUSTERDOMAIN to that function. Nil refuses service invocation.
	Invoker http.RoundTripper
	// ClusterDomain is "cluster.local" when empty.
	ClusterDomain string
	// Secrets is the store "kubernetes". Nil is none.
	Secrets runtime.Secrets
	// Metrics may be nil.
	Metrics runtime.Metrics
	// Tracer may be nil: then no delivery is traced.
	Tracer runtime.Tracer
	// Token is the API token that requests of an app must carry; nil, or an empty one, is none.
	Token func(app event.Name) string
	// AppToken is the token that Dapr's calls of an app carry (APP_API_TOKEN); nil, or an empty one, is none.
	AppToken func(app event.Name) string
	// Files is a directory for what components call files (localstorage, sqlite, secrets from files): each namespace's paths lie
	// within a directory of its own. Empty refuses such components.
	Files string
	// Environ is what secretstores.local.env shows, as KEY=VALUE.
	Environ []string
	// Timeout of one call of a function that names none; 0 is 60 s.
	Timeout time.Duration
	// MaxBody bounds requests to the API, in bytes; 0 is 4 MiB, as daprd's.
	MaxBody int
	// Version is told in metadata.
	Version string
}

// Runtime is the Dapr runtime of a platform: everything of runtime.Runtime, and Serve.
type Runtime struct {
	*runtime.Runtime
	api *api.Server
}

// New starts a runtime without components or apps. Close ends it.
func New(o Options) (*Runtime, error) {
	if o.Log == nil {
		return nil, errors.New("the Dapr runtime needs a logger")
	}
	rt := runtime.New(runtime.Options{
		Log: o.Log, Caller: o.Caller, DeadLetters: o.DeadLetters, Secrets: o.Secrets, Metrics: o.Metrics, Tracer: o.Tracer, Timeout: o.Timeout,
		AppToken: o.AppToken, Files: o.Files, Environ: o.Environ,
	})
	return &Runtime{Runtime: rt, api: api.New(api.Options{
		Log: o.Log, Runtime: rt, Invoker: o.Invoker, ClusterDomain: o.ClusterDomain, Token: o.Token, MaxBody: o.MaxBody, Version: o.Version,
	})}, nil
}

// Serve answers Dapr's API for one app on its own listeners, either of which may be nil, until ctx ends; then it closes them
// with their connections and returns nil. The listener is the identity of who calls: it must be reachable by the app alone.
func (r *Runtime) Serve(ctx context.Context, app event.Name, grpc, http net.Listener) error {
	return r.api.Serve(ctx, app, grpc, http)
}

// Close ends what is served, then deliveries, then components. It waits for them.
func (r *Runtime) Close() error {
	return errors.Join(r.api.Close(), r.Runtime.Close())
}
