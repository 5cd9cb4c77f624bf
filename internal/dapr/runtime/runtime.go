package runtime

import (
	"context"
	"errors"

	"github.com/openfunction/ofn/internal/dapr/components"
	"github.com/openfunction/ofn/internal/event"
)

// Runtime is all namespaces together.
type Runtime struct{ options Options }

// New starts an empty runtime.
func New(o Options) *Runtime { return &Runtime{options: o} }

var errSoon = errors.New("not there yet")

// ApplyComponent makes or changes a component of a namespace.
func (r *Runtime) ApplyComponent(ctx context.Context, c event.Component) error { return errSoon }

// DeleteComponent ends a component; what still uses it fails.
func (r *Runtime) DeleteComponent(ctx context.Context, n event.Name) error { return errSoon }

// ApplyApp makes or changes an app.
func (r *Runtime) ApplyApp(ctx context.Context, a event.App) error { return errSoon }

// DeleteApp ends deliveries to an app and its own components. Deliveries under way are waited for.
func (r *Runtime) DeleteApp(ctx context.Context, n event.Name) error { return errSoon }

// ApplySubscription makes or changes a declared subscription.
func (r *Runtime) ApplySubscription(ctx context.Context, namespace string, s event.Subscription) error { return errSoon }

// DeleteSubscription ends one.
func (r *Runtime) DeleteSubscription(ctx context.Context, n event.Name) error { return errSoon }

// Status is what is known of a component (event.KindComponent) or app (event.KindApp).
func (r *Runtime) Status(ref event.Ref) (event.Status, bool) { return event.Status{}, false }

// Watch calls changed until ctx ends.
func (r *Runtime) Watch(ctx context.Context, changed func(event.Ref)) { <-ctx.Done() }

// Binding connects an input binding for a caller of its own, who closes it.
func (r *Runtime) Binding(ctx context.Context, c event.Component) (components.Input, error) {
	return nil, errSoon
}

// PubSub connects a pub/sub component for a caller of its own, who closes it.
func (r *Runtime) PubSub(ctx context.Context, c event.Component) (components.PubSub, error) {
	return nil, errSoon
}

// Close ends all.
func (r *Runtime) Close() error { return nil }
