package runtime

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/dapr/dapr/pkg/scopes"

	"github.com/openfunction/ofn/internal/dapr/components"
	"github.com/openfunction/ofn/internal/event"
)

const (
	defaultTimeout     = time.Minute
	defaultConcurrency = 64
	mostGrace          = 10 * time.Second
)

// app is one event-driven function: what calls it, and how it is reached.
type app struct {
	rt       *Runtime
	name     event.Name
	count    counters
	channels channels
	meeting  chan struct{} // held by who asks a copy
	ctx      context.Context
	cancel   context.CancelFunc

	mu      sync.Mutex
	spec    event.App
	own     map[string]*slot // its own components
	inlets  map[string]*inlet
	streams map[*inlet]bool
	slots   chan struct{} // what bounds its concurrency
	met     *contact
	metAt   string // revision of met
	asked   string // revision that a question is under way for
	invalid string // what is wrong with its specification
	joined  map[string]*joint
}

func newApp(rt *Runtime, name event.Name) *app {
	a := &app{
		rt: rt, name: name, meeting: make(chan struct{}, 1), own: map[string]*slot{}, inlets: map[string]*inlet{},
		streams: map[*inlet]bool{}, joined: map[string]*joint{},
	}
	a.ctx, a.cancel = context.WithCancel(rt.ctx)
	return a
}

func equal(a, b any) bool { return reflect.DeepEqual(a, b) }

// id is what Dapr knows the app by: in keys of state, names of consumers, and scopes.
func (a *app) id() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return appID(a.spec, a.name)
}

func appID(spec event.App, name event.Name) string {
	if spec.ID != "" {
		return spec.ID
	}
	return name.Name + "-" + name.Namespace
}

func (a *app) look() event.App {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.spec
}

func (a *app) grace() time.Duration {
	if t := a.look().Timeout; t > 0 {
		return min(t, mostGrace)
	}
	return mostGrace
}

// inScope tells whether a component with these scopes is for the app.
func (a *app) inScope(list []string) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(s string) bool {
		return s == a.id() || s == a.name.Name || s == a.name.Name+"-"+a.name.Namespace
	})
}

// find is the component that the app knows by a name: its own, or one of its namespace that it is in the scope of.
func (a *app) find(name string) (*slot, error) {
	a.mu.Lock()
	s, ok := a.own[name]
	a.mu.Unlock()
	if ok {
		return s, nil
	}
	s = a.rt.component(event.Name{Namespace: a.name.Namespace, Name: name})
	if s == nil && name == DefaultSecretStore && a.rt.secrets != nil {
		return a.rt.secrets, nil
	}
	if s == nil {
		return nil, &NotFound{Component: name, App: a.name}
	}
	if spec, _ := s.look(); !a.inScope(spec.Scopes) {
		return nil, &NotFound{Component: name, App: a.name, OutOfScope: true}
	}
	return s, nil
}

// NotFound says that an app has no component of a name.
type NotFound struct {
	Component  string
	App        event.Name
	OutOfScope bool
}

func (e *NotFound) Error() string {
	if e.OutOfScope {
		return fmt.Sprintf("component %q is not for function %s: its scopes do not name it", e.Component, e.App)
	}
	return fmt.Sprintf("there is no component %q: neither of function %s nor in its namespace", e.Component, e.App)
}

// maySubscribe applies the topics that a component allows (allowedTopics, subscriptionScopes, protectedTopics).
func (a *app) maySubscribe(spec event.Component, topic string) error {
	if topicAllowed(spec, topic, a.id(), scopes.SubscriptionScopes) {
		return nil
	}
	return &components.Invalid{Component: spec.Name, Reason: "TopicForbidden", Message: fmt.Sprintf("its metadata do not allow function %s to subscribe to topic %q", a.name, topic)}
}

// topicAllowed is Dapr's rule of topic scopes.
func topicAllowed(spec event.Component, topic, id, kind string) bool {
	allowed, protected := scopes.GetAllowedTopics(spec.Metadata), scopes.GetProtectedTopics(spec.Metadata)
	scoped := scopes.GetScopedTopics(kind, id, spec.Metadata)
	if len(allowed) > 0 && !slices.Contains(allowed, topic) && !slices.Contains(protected, topic) {
		return false
	}
	if slices.Contains(protected, topic) {
		return slices.Contains(scoped, topic)
	}
	return len(scoped) == 0 || slices.Contains(scoped, topic)
}

// apply gives the app another specification. It returns before what is replaced has ended.
func (a *app) apply(spec event.App) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx.Err() != nil || (cap(a.slots) > 0 && equal(a.spec, spec)) {
		return
	}
	if cap(a.slots) == 0 || spec.MaxConcurrency != a.spec.MaxConcurrency {
		n := spec.MaxConcurrency
		if n <= 0 {
			n = defaultConcurrency
		}
		a.slots = make(chan struct{}, n)
	}
	a.spec = spec
	a.applyComponents()
	a.arrange()
	a.askIfNeeded()
}

// applyComponents brings the app's own components to its specification. mu is held.
func (a *app) applyComponents() {
	wanted := map[string]bool{}
	for _, c := range a.spec.Components {
		if a.spec.Sidecar {
			break
		}
		wanted[c.Name.Name] = true
		if s, ok := a.own[c.Name.Name]; ok {
			s.revise(c)
			continue
		}
		onlyRead := slices.ContainsFunc(a.spec.Inputs, func(in event.Input) bool { return in.Component == c.Name.Name })
		consumer := appID(a.spec, a.name) + "-" + c.Name.Name
		a.own[c.Name.Name] = newSlot(a.rt.ctx, c, !onlyRead, func(ctx context.Context, c event.Component) (*components.Opened, error) {
			return a.rt.factory.Open(ctx, c, consumer)
		}, func() { a.rt.notify(event.Ref{Kind: event.KindApp, Name: a.name}) })
	}
	for name, s := range a.own {
		if !wanted[name] {
			delete(a.own, name)
			a.rt.background(s.close)
		}
	}
	a.rt.world.tell()
}

// arrange makes the inlets that the specification, and what the app asks for itself, want. mu is held.
func (a *app) arrange() {
	wanted, err := a.wanted()
	a.invalid = ""
	if err != nil {
		a.invalid = err.Error()
	}
	for key, in := range a.inlets {
		if next, ok := wanted[key]; ok && in.same(next) {
			delete(wanted, key)
			continue
		}
		delete(a.inlets, key)
		ended := make(chan struct{})
		if next, ok := wanted[key]; ok {
			next.after = ended
		}
		a.rt.background(func() {
			defer close(ended)
			in.stop()
		})
	}
	for key, in := range wanted {
		a.inlets[key] = in
		in.start()
	}
}

// status is that of the worst of the app's parts.
func (a *app) status() event.Status {
	a.mu.Lock()
	s := event.Status{Ready: true, Reason: "Ready", Message: "nothing calls it", Lag: -1}
	if len(a.inlets) > 0 {
		s.Message = fmt.Sprintf("reading from %d components", len(a.inlets))
	}
	parts := map[string]event.Status{}
	for _, in := range a.inlets {
		parts["input from component "+in.component] = in.status()
	}
	for name, slot := range a.own {
		if spec, _ := slot.look(); !spec.IgnoreErrors {
			parts["component "+name] = slot.status()
		}
	}
	if a.spec.Sidecar {
		s.Message = "a daprd beside each copy reads for it"
	}
	invalid := a.invalid
	a.mu.Unlock()
	for name, part := range parts {
		if !part.Ready && (s.Ready || s.Since.Before(part.Since)) {
			s = part
			s.Message = name + ": " + part.Message
		}
	}
	if invalid != "" {
		s.Ready, s.Reason, s.Message = false, "InvalidSubscription", invalid
	}
	a.count.all.into(&s, time.Now())
	return s
}

// part is what is known of one component that calls the app.
func (a *app) part(component string) (event.Status, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, in := range a.inlets {
		if in.component == component {
			s := in.status()
			a.count.input(component).into(&s, time.Now())
			return s, true
		}
	}
	return event.Status{}, false
}

// sink is what is known of one component that the app sends to.
func (a *app) sink(component string) (event.Status, bool) {
	slot, err := a.find(component)
	if err != nil {
		return event.Status{}, false
	}
	s := slot.status()
	a.count.output(component).into(&s, time.Now())
	return s, true
}

// refs are the app and its parts.
func (a *app) refs() []event.Ref {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := []event.Ref{{Kind: event.KindApp, Name: a.name}}
	for _, in := range a.inlets {
		out = append(out, event.Ref{Kind: event.KindInput, Name: a.name, Event: in.component})
	}
	for _, component := range a.count.used() {
		out = append(out, event.Ref{Kind: event.KindOutput, Name: a.name, Event: component})
	}
	return out
}

// end stops what calls the app, then closes what is its own.
func (a *app) end() {
	a.mu.Lock()
	a.cancel()
	var inlets []*inlet
	for _, in := range a.inlets {
		inlets = append(inlets, in)
	}
	for in := range a.streams {
		inlets = append(inlets, in)
	}
	own := a.own
	a.inlets, a.own, a.streams = map[string]*inlet{}, map[string]*slot{}, map[*inlet]bool{}
	a.mu.Unlock()
	var wg sync.WaitGroup
	for _, in := range inlets {
		wg.Go(in.stop)
	}
	wg.Wait()
	for _, s := range own {
		wg.Go(s.close)
	}
	wg.Wait()
	a.channels.close()
}

// call reaches a copy, within the app's concurrency. The verdict is waiting when none was reached.
func (a *app) call(ctx context.Context, use func(context.Context, channel, *contact) verdict) verdict {
	a.mu.Lock()
	spec, slots := a.spec, a.slots
	a.mu.Unlock()
	if a.rt.o.Caller == nil {
		return verdict{outcome: waiting, cause: fmt.Errorf("functions cannot be called on this platform")}
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return verdict{outcome: waiting, cause: ctx.Err()}
	}
	v, reached := verdict{}, false
	err := a.rt.o.Caller.Call(ctx, a.name.Namespace, spec.Revision, func(ctx context.Context, name string, dial func(context.Context) (net.Conn, error)) error {
		reached = true
		v = a.use(ctx, spec, name, dial, use)
		return nil
	})
	if !reached {
		return verdict{outcome: waiting, cause: fmt.Errorf("reaching a copy of function %s: %w", a.name, err)}
	}
	return v
}

func (a *app) use(ctx context.Context, spec event.App, name string, dial dialer, use func(context.Context, channel, *contact) verdict) verdict {
	timeout := spec.Timeout
	if timeout <= 0 {
		timeout = a.rt.o.Timeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the function did not answer within %v", timeout))
	defer cancel()
	token := a.rt.appToken(a.name)
	met, err := a.meet(ctx, spec, token, dial)
	if err != nil {
		return failed(because(ctx, err), 0)
	}
	p, err := a.channels.get(name, dial, func(d dialer) (channel, error) { return newChannel(met.protocol, token, d) })
	if err != nil {
		return failed(err, 0)
	}
	v := use(ctx, p, met)
	a.channels.put(p, v.broken)
	if v.cause != nil {
		v.cause = because(ctx, v.cause)
	}
	return v
}

// because prefers the reason that a context ended for.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
