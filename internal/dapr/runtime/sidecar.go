package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/event"
)

// errNoSidecar is what is said when the wait of Sidecar is over.
var errNoSidecar = errors.New("the platform does not know it as an application of Dapr with a daprd of its own: see the condition EventsReady of the function")

// Sidecar is what the daprd of an app is to know: the app, and the components of its namespace that it is in the scope of and has
// none of the same name as. It waits until there is an app that wants a daprd.
func (r *Runtime) Sidecar(ctx context.Context, name event.Name) (event.App, []event.Component, error) {
	for {
		changed := r.world.changed()
		if a := r.app(name); a != nil {
			if spec := a.look(); spec.Sidecar {
				spec.ID = appID(spec, name)
				return spec, a.inSight(spec), nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return event.App{}, nil, fmt.Errorf("function %s: %w", name, errors.Join(errNoSidecar, ctx.Err()))
		case <-r.ctx.Done():
			return event.App{}, nil, ErrClosed
		}
	}
}

// inSight are the components of the namespace that the app sees, ordered by name.
func (a *app) inSight(spec event.App) []event.Component {
	var out []event.Component
	for _, s := range a.rt.namespace(a.name.Namespace) {
		c, _ := s.look()
		if a.inScope(c.Scopes) && !slices.ContainsFunc(spec.Components, func(own event.Component) bool { return own.Name == c.Name }) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(x, y event.Component) int { return strings.Compare(x.Name.Name, y.Name.Name) })
	return out
}
