package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/dapr/components-contrib/configuration"
	"github.com/dapr/components-contrib/pubsub"
	"github.com/dapr/components-contrib/state"

	"github.com/openfunction/ofn/internal/event"
)

// configured is a channel that takes changes of configuration: the HTTP one.
type configured interface {
	configuration(ctx context.Context, path string, body []byte) verdict
}

func (h *httpChannel) configuration(ctx context.Context, path string, body []byte) verdict {
	code, answer, err := h.send(ctx, http.MethodPost, path, "application/json", body, nil)
	if err != nil {
		return unreachable(err)
	}
	if v, bad := failure(code, path, answer); bad {
		return v
	}
	return verdict{outcome: success, code: code}
}

// PushConfiguration posts a change of configuration to an app, once for each key, as Dapr does.
func (r *Runtime) PushConfiguration(ctx context.Context, app event.Name, store string, e *configuration.UpdateEvent) error {
	a := r.app(app)
	if a == nil {
		return ErrNoApp
	}
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("writing the change: %w", err)
	}
	var errs []error
	for key := range e.Items {
		v := a.call(ctx, func(ctx context.Context, ch channel, _ *contact) verdict {
			p, ok := ch.(*pooled).channel.(configured)
			if !ok {
				return refusal(errors.New("changes of configuration reach functions over HTTP, or by a stream of their own"), 0)
			}
			return p.configuration(ctx, "/configuration/"+store+"/"+key, body)
		})
		if v.outcome != success {
			errs = append(errs, v.cause)
		}
	}
	return errors.Join(errs...)
}

// Connection is how an app is reached: its port, protocol as far as it is known, and the bound of its concurrency.
func (r *Runtime) Connection(app event.Name) (port int, protocol string, most int) {
	a := r.app(app)
	if a == nil {
		return 0, "", 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	protocol = a.spec.Protocol
	if protocol == "" && a.met != nil {
		protocol = a.met.protocol
	}
	return a.spec.Port, protocol, a.spec.MaxConcurrency
}

// Capabilities are what a component that is connected can do, as Dapr's metadata name it.
func (r *Runtime) Capabilities(app event.Name, name string) []string {
	slot, err := r.view(app).find(name)
	if err != nil {
		return nil
	}
	slot.mu.Lock()
	defer slot.mu.Unlock()
	h := slot.current
	if h == nil {
		return nil
	}
	var list []string
	switch {
	case h.State != nil:
		for _, f := range h.State.Features() {
			list = append(list, string(f))
		}
		if _, ok := h.State.(state.Querier); ok {
			list = append(list, "QUERY_API")
		}
	case h.PubSub != nil:
		for _, f := range h.PubSub.Features() {
			list = append(list, string(f))
		}
		if _, ok := h.PubSub.(pubsub.BulkPublisher); ok {
			list = append(list, "BULK_PUBLISH")
		}
	case h.Secrets != nil:
		for _, f := range h.Secrets.Features() {
			list = append(list, string(f))
		}
	}
	if h.Input != nil {
		list = append(list, "INPUT_BINDING")
	}
	if h.Output != nil {
		list = append(list, "OUTPUT_BINDING")
	}
	return list
}
