package components

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"time"

	"github.com/dapr/components-contrib/bindings"
	"github.com/dapr/components-contrib/configuration"
	"github.com/dapr/components-contrib/metadata"
	"github.com/dapr/components-contrib/pubsub"
	"github.com/dapr/components-contrib/secretstores"
	"github.com/dapr/components-contrib/state"

	"github.com/openfunction/ofn/internal/event"
)

// Secrets reads secrets of the platform: what the store "kubernetes" is. Both answer nil without an error where there is none.
type Secrets interface {
	Secret(ctx context.Context, namespace, name string) (map[string]string, error)
	Secrets(ctx context.Context, namespace string) (map[string]map[string]string, error)
}

// Factory opens components.
type Factory struct {
	Log *slog.Logger
	// Files is the directory whose sub-directories, one a namespace, are the root of paths that components name (localstorage,
	// sqlite, secrets from files): as in a container, they never reach the files of the machine. Empty refuses such components.
	Files string
	// Environ is what secretstores.local.env shows, as KEY=VALUE.
	Environ []string
	// Secrets is what secretstores.kubernetes shows; nil refuses it.
	Secrets Secrets
}

// Opened is a component that is connected. Of its parts those are set that its type has.
type Opened struct {
	Spec          event.Component // with the defaults that it was opened with
	Ignored       []string        // metadata that its type does not know
	PubSub        pubsub.PubSub
	Input         bindings.InputBinding
	Output        bindings.OutputBinding
	State         state.Store
	Secrets       secretstores.SecretStore
	Configuration configuration.Store
}

// Open connects a component; consumer is the name that the broker knows its reader by, where the component names none. An
// error of type *Invalid will not go away by trying again.
func (f *Factory) Open(ctx context.Context, c event.Component, consumer string) (*Opened, error) {
	made, err := find(c)
	if err != nil {
		return nil, err
	}
	o, part, err := f.construct(c, made)
	if err != nil {
		return nil, err
	}
	c.Metadata = defaults(c, consumer)
	if err := f.rebase(&c); err != nil {
		return nil, err
	}
	o.Spec = c
	timeout := c.InitTimeout
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- o.init(ctx, c) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		// Some drivers ignore their context: what comes of them later is closed by this goroutine, which ends with the driver.
		go func() {
			if <-done == nil {
				_ = part.Close()
			}
		}()
		return nil, fmt.Errorf("component %s: connecting took longer than %v: %w", c.Name, timeout, context.Cause(ctx))
	}
	if err != nil {
		return nil, fmt.Errorf("component %s (%s): %w", c.Name, c.Type, err)
	}
	return o, nil
}

// construct makes the component and finds out what it is.
func (f *Factory) construct(c event.Component, made constructor) (*Opened, io.Closer, error) {
	part := made(f, slogger{f.Log.With("component", c.Name.String(), "type", c.Type)})
	ignored, err := unknownKeys(c, part)
	if err != nil {
		return nil, nil, err
	}
	o := &Opened{Ignored: ignored}
	o.PubSub, _ = part.(pubsub.PubSub)
	o.Input, _ = part.(bindings.InputBinding)
	o.Output, _ = part.(bindings.OutputBinding)
	o.State, _ = part.(state.Store)
	o.Secrets, _ = part.(secretstores.SecretStore)
	o.Configuration, _ = part.(configuration.Store)
	closer, ok := part.(io.Closer)
	if !ok {
		return nil, nil, fmt.Errorf("component %s: type %s cannot be closed", c.Name, c.Type)
	}
	return o, closer, nil
}

// Check says what is wrong with a component as far as it can be known without connecting, and which metadata are ignored.
func (f *Factory) Check(c event.Component) (ignored []string, err error) {
	made, err := find(c)
	if err != nil {
		return nil, err
	}
	o, _, err := f.construct(c, made)
	if err != nil {
		return nil, err
	}
	return o.Ignored, nil
}

func (o *Opened) init(ctx context.Context, c event.Component) error {
	base := metadata.Base{Name: c.Name.Name, Properties: maps.Clone(c.Metadata)}
	switch {
	case o.PubSub != nil:
		return o.PubSub.Init(ctx, pubsub.Metadata{Base: base})
	case o.Input != nil:
		return o.Input.Init(ctx, bindings.Metadata{Base: base})
	case o.Output != nil:
		return o.Output.Init(ctx, bindings.Metadata{Base: base})
	case o.State != nil:
		return o.State.Init(ctx, state.Metadata{Base: base})
	case o.Secrets != nil:
		return o.Secrets.Init(ctx, secretstores.Metadata{Base: base})
	case o.Configuration != nil:
		return o.Configuration.Init(ctx, configuration.Metadata{Base: base})
	}
	return errors.New("it is none of the kinds of components that are known")
}

// Close ends the connection. Contexts of what reads from it must have ended.
func (o *Opened) Close() error {
	switch {
	case o.PubSub != nil:
		return o.PubSub.Close()
	case o.Input != nil:
		return o.Input.Close()
	case o.Output != nil:
		return o.Output.Close()
	case o.State != nil:
		return o.State.Close()
	case o.Secrets != nil:
		return o.Secrets.Close()
	case o.Configuration != nil:
		return o.Configuration.Close()
	}
	return nil
}
