package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dapr/components-contrib/bindings"

	"github.com/openfunction/ofn/internal/event"
)

// meet is what is known of the app's revision; the first call asks.
func (a *app) meet(ctx context.Context, spec event.App, token string, dial dialer) (*contact, error) {
	known := func() *contact {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.met != nil && a.metAt == spec.Revision {
			return a.met
		}
		return nil
	}
	if c := known(); c != nil {
		return c, nil
	}
	select {
	case a.meeting <- struct{}{}:
		defer func() { <-a.meeting }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c := known(); c != nil {
		return c, nil
	}
	protocol, subs, err := ask(ctx, spec.Protocol, token, dial)
	if err != nil {
		return nil, fmt.Errorf("asking the function for its subscriptions: %w", err)
	}
	met, broken := newContact(protocol, subs)
	if broken != nil {
		a.rt.o.Log.Warn("a function asks for subscriptions that cannot be", "function", a.name.String(), "error", broken)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.met, a.metAt = met, spec.Revision
	if a.ctx.Err() == nil {
		a.arrange()
		if broken != nil {
			a.invalid = broken.Error()
		}
	}
	return met, nil
}

// askIfNeeded asks a copy for its subscriptions where nothing else would ever call the app: it has no inputs, and there is a
// pub/sub component that it may subscribe to. mu is held.
func (a *app) askIfNeeded() {
	if a.spec.Sidecar || a.rt.o.Caller == nil || a.spec.Port == 0 || a.asked == a.spec.Revision || len(a.spec.Inputs)+len(a.spec.Subscriptions) > 0 {
		return
	}
	a.asked = a.spec.Revision
	revision := a.spec.Revision
	a.rt.background(func() { a.askOnce(revision) })
}

func (a *app) askOnce(revision string) {
	wait := reconnects()
	wait.MaxInterval = time.Minute
	for a.ctx.Err() == nil {
		world := a.rt.world.changed()
		if !a.seesPubSub() {
			sleepUntil(a.ctx, nil, world)
			continue
		}
		if a.look().Revision != revision {
			return
		}
		select {
		case a.rt.asking <- struct{}{}:
		case <-a.ctx.Done():
			return
		}
		v := a.call(a.ctx, func(context.Context, channel, *contact) verdict { return verdict{} })
		<-a.rt.asking
		if v.outcome == success {
			return
		}
		sleepUntil(a.ctx, time.After(wait.NextBackOff()), nil)
	}
}

func (a *app) seesPubSub() bool {
	return slices.ContainsFunc(a.visible(), func(c event.Component) bool { return strings.HasPrefix(c.Type, "pubsub.") })
}

// visible are all components that the app may use, its own first.
func (a *app) visible() []event.Component {
	var list []event.Component
	seen := map[string]bool{}
	a.mu.Lock()
	for name, s := range a.own {
		spec, _ := s.look()
		seen[name] = true
		list = append(list, spec)
	}
	a.mu.Unlock()
	for _, s := range a.rt.namespace(a.name.Namespace) {
		if spec, _ := s.look(); !seen[spec.Name.Name] && a.inScope(spec.Scopes) {
			list = append(list, spec)
		}
	}
	if a.rt.secrets != nil && !seen[DefaultSecretStore] && a.rt.component(event.Name{Namespace: a.name.Namespace, Name: DefaultSecretStore}) == nil {
		spec, _ := a.rt.secrets.look()
		list = append(list, spec)
	}
	slices.SortFunc(list, func(x, y event.Component) int { return strings.Compare(x.Name.Name, y.Name.Name) })
	return list
}

// wanted are the inlets that the app should have, by component. mu is held.
func (a *app) wanted() (map[string]*inlet, error) {
	all := map[string]*inlet{}
	if a.spec.Sidecar {
		return all, nil
	}
	taken := map[[2]string]bool{}
	var broken []error
	add := func(s subscription) {
		if taken[s.key()] {
			return
		}
		router, err := newRouter(s.Rules, s.Default)
		if err != nil {
			broken = append(broken, fmt.Errorf("subscription %s to topic %s of %s: %w", s.Name, s.Topic, s.Component, err))
			return
		}
		taken[s.key()] = true
		key := "topics of " + s.Component
		if all[key] == nil {
			all[key] = &inlet{app: a, component: s.Component}
		}
		all[key].topics = append(all[key].topics, a.topicInlet(s, router))
	}
	for _, s := range a.spec.Subscriptions {
		add(fromDeclared(s))
	}
	for _, in := range a.spec.Inputs {
		switch {
		case in.Component == "":
			broken = append(broken, fmt.Errorf("input %q: %w", in.Name, errNoInputs))
		case isBinding(in.Type):
			all["binding "+in.Component] = &inlet{app: a, component: in.Component, input: in}
		default:
			add(fromInput(in))
		}
	}
	if a.met != nil {
		keys := make([][2]string, 0, len(a.met.listed))
		for k := range a.met.listed {
			keys = append(keys, k)
		}
		slices.SortFunc(keys, func(x, y [2]string) int { return slices.Compare(x[:], y[:]) })
		for _, k := range keys {
			add(a.met.listed[k].subscription)
		}
	}
	return all, errors.Join(broken...)
}

// topicInlet delivers a subscription to copies of the app.
func (a *app) topicInlet(s subscription, router *router) *topicInlet {
	t := &topicInlet{sub: &s, router: router}
	t.attempt = func(ctx context.Context, ev *topicEvent) verdict {
		return a.call(ctx, func(ctx context.Context, ch channel, met *contact) verdict {
			path, ok := met.path(ev, router)
			if !ok {
				return verdict{outcome: success}
			}
			ev.path = path
			return ch.topic(ctx, ev)
		})
	}
	if s.Bulk {
		t.batch = newBatcher(s.BulkMax, s.BulkWait, func(ctx context.Context, evs []*topicEvent) []verdict {
			var vs []verdict
			v := a.call(ctx, func(ctx context.Context, ch channel, _ *contact) verdict {
				vs = ch.topics(ctx, evs)
				return verdict{}
			})
			if vs == nil {
				return all(len(evs), v)
			}
			return vs
		})
		t.attempt = t.batch.give
	}
	return t
}

// attemptBinding gives an event of a binding to a copy.
func (a *app) attemptBinding(ctx context.Context, in event.Input, spec event.Component, r *bindings.ReadResponse) (*bindingAnswer, verdict) {
	ev := &bindingEvent{name: in.Component, route: in.Component, data: r.Data, metadata: r.Metadata}
	if route := spec.Metadata["route"]; route != "" {
		ev.route = route
	}
	var answer *bindingAnswer
	v := a.call(ctx, func(ctx context.Context, ch channel, _ *contact) (v verdict) {
		answer, v = ch.binding(ctx, ev)
		return v
	})
	return answer, v
}
