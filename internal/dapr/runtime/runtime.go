package runtime

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/dapr/components"
	"github.com/openfunction/ofn/internal/event"
)

// Runtime is all namespaces together.
type Runtime struct {
	o       Options
	factory *components.Factory
	ctx     context.Context //nolint:containedctx // the life of everything within
	cancel  context.CancelFunc
	world   broadcast
	asking  chan struct{} // held by who starts a copy only to ask it something
	wg      sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	named    map[event.Name]*slot
	secrets  *slot // the store "kubernetes" that every app has; nil if the platform offers none
	apps     map[event.Name]*app
	watchers map[*func(event.Ref)]bool
}

// New starts an empty runtime.
func New(o Options) *Runtime {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	r := &Runtime{o: o, named: map[event.Name]*slot{}, apps: map[event.Name]*app{}, watchers: map[*func(event.Ref)]bool{}, asking: make(chan struct{}, asksAtOnce)}
	r.factory = &components.Factory{Log: o.Log, Files: o.Files, Environ: o.Environ, Secrets: o.Secrets}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if o.Secrets != nil {
		spec := event.Component{Name: event.Name{Name: DefaultSecretStore}, Type: "secretstores.kubernetes"}
		r.secrets = newSlot(r.ctx, spec, false, func(ctx context.Context, c event.Component) (*components.Opened, error) {
			return r.factory.Open(ctx, c, "")
		}, func() {})
	}
	return r
}

// DefaultSecretStore is the name of the secret store that every app has: the secrets of its namespace.
const DefaultSecretStore = "kubernetes"

// asksAtOnce bounds the copies that are started only to be asked for their subscriptions, as when a platform starts again.
const asksAtOnce = 2

// ErrClosed says that the runtime was closed.
var ErrClosed = errors.New("the Dapr runtime is closed")

// broadcast tells whoever waits that something changed.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

func (b *broadcast) changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) tell() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// background runs work that Close waits for.
func (r *Runtime) background(work func()) { r.wg.Go(work) }

// ApplyComponent makes or changes a component of a namespace. What is wrong with it is in its status.
func (r *Runtime) ApplyComponent(_ context.Context, c event.Component) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return ErrClosed
	}
	s, ok := r.named[c.Name]
	if !ok {
		name := c.Name
		r.named[name] = newSlot(r.ctx, c, true, func(ctx context.Context, c event.Component) (*components.Opened, error) {
			return r.factory.Open(ctx, c, name.Namespace+"-"+name.Name)
		}, func() { r.notify(event.Ref{Kind: event.KindComponent, Name: name}) })
	}
	r.mu.Unlock()
	if ok && !s.revise(c) {
		return nil
	}
	r.world.tell()
	return nil
}

// DeleteComponent ends a component; requests that use it are waited for until ctx ends. An unknown one is no error.
func (r *Runtime) DeleteComponent(ctx context.Context, n event.Name) error {
	r.mu.Lock()
	s, ok := r.named[n]
	delete(r.named, n)
	r.mu.Unlock()
	if !ok {
		return nil
	}
	r.world.tell()
	return r.await(ctx, s.close)
}

// await waits for work, at most until ctx ends; the work goes on.
func (r *Runtime) await(ctx context.Context, work func()) error {
	done := make(chan struct{})
	r.background(func() {
		defer close(done)
		work()
	})
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ApplyApp makes or changes an app. What is wrong with it is in its status.
func (r *Runtime) ApplyApp(_ context.Context, spec event.App) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return ErrClosed
	}
	a, ok := r.apps[spec.Name]
	if !ok {
		a = newApp(r, spec.Name)
		r.apps[spec.Name] = a
	}
	r.mu.Unlock()
	a.apply(spec)
	return nil
}

// DeleteApp ends what calls an app, and its own components. Deliveries under way are waited for until ctx ends.
func (r *Runtime) DeleteApp(ctx context.Context, n event.Name) error {
	r.mu.Lock()
	a, ok := r.apps[n]
	delete(r.apps, n)
	r.mu.Unlock()
	if !ok {
		return nil
	}
	return r.await(ctx, a.end)
}

// Status is what is known of a component (event.KindComponent), an app (event.KindApp), or one of the components that call it
// (event.KindInput) or that it sends to (event.KindOutput).
func (r *Runtime) Status(ref event.Ref) (event.Status, bool) {
	switch ref.Kind {
	case event.KindComponent:
		if s := r.component(ref.Name); s != nil {
			return s.status(), true
		}
	case event.KindApp:
		if a := r.app(ref.Name); a != nil {
			return a.status(), true
		}
	case event.KindInput:
		if a := r.app(ref.Name); a != nil {
			return a.part(ref.Event)
		}
	case event.KindOutput:
		if a := r.app(ref.Name); a != nil {
			return a.sink(ref.Event)
		}
	}
	return event.Status{}, false
}

// Refs are all that Status knows something of: of outputs, those that something was sent to.
func (r *Runtime) Refs() []event.Ref {
	r.mu.Lock()
	var out []event.Ref
	for name := range r.named {
		out = append(out, event.Ref{Kind: event.KindComponent, Name: name})
	}
	apps := slices.Collect(maps.Values(r.apps))
	r.mu.Unlock()
	for _, a := range apps {
		out = append(out, a.refs()...)
	}
	return out
}

// Watch calls changed, from any goroutine, whenever a status may have changed, until ctx ends.
func (r *Runtime) Watch(ctx context.Context, changed func(event.Ref)) {
	r.mu.Lock()
	r.watchers[&changed] = true
	r.mu.Unlock()
	<-ctx.Done()
	r.mu.Lock()
	delete(r.watchers, &changed)
	r.mu.Unlock()
}

func (r *Runtime) notify(ref event.Ref) {
	r.mu.Lock()
	var all []func(event.Ref)
	for w := range r.watchers {
		all = append(all, *w)
	}
	r.mu.Unlock()
	for _, changed := range all {
		changed(ref)
	}
}

func (r *Runtime) component(n event.Name) *slot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.named[n]
}

func (r *Runtime) namespace(ns string) []*slot {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*slot
	for n, s := range r.named {
		if n.Namespace == ns {
			list = append(list, s)
		}
	}
	return list
}

func (r *Runtime) app(n event.Name) *app {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.apps[n]
}

func (r *Runtime) appToken(n event.Name) string {
	if r.o.AppToken == nil {
		return ""
	}
	return r.o.AppToken(n)
}

func (r *Runtime) delivered(app event.Name, component string, o outcome, took time.Duration) {
	if r.o.Metrics != nil {
		r.o.Metrics.Delivered(app, component, o.String(), took)
	}
}

func (r *Runtime) deadLettered(app event.Name, component string) {
	if r.o.Metrics != nil {
		r.o.Metrics.Delivered(app, component, "deadletter", 0)
	}
}

// Binding connects an input binding for a caller of its own, who closes it.
func (r *Runtime) Binding(ctx context.Context, c event.Component) (components.Input, error) {
	return r.factory.OpenInput(ctx, c, consumerOf(c))
}

// PubSub connects a pub/sub component for a caller of its own, who closes it.
func (r *Runtime) PubSub(ctx context.Context, c event.Component) (components.PubSub, error) {
	return r.factory.OpenPubSub(ctx, c, consumerOf(c))
}

func consumerOf(c event.Component) string { return strings.Trim(c.Namespace+"-"+c.Name.Name, "-") }

// Check says what is wrong with a component as far as it can be known without connecting, and which metadata are ignored.
func (r *Runtime) Check(c event.Component) (ignored []string, err error) { return r.factory.Check(c) }

// Close ends all apps, then all components, and waits for them.
func (r *Runtime) Close() error {
	r.mu.Lock()
	r.closed = true
	var apps []*app
	for _, a := range r.apps {
		apps = append(apps, a)
	}
	var slots []*slot
	for _, s := range r.named {
		slots = append(slots, s)
	}
	if r.secrets != nil {
		slots = append(slots, r.secrets)
	}
	r.apps, r.named = map[event.Name]*app{}, map[event.Name]*slot{}
	r.mu.Unlock()
	var wg sync.WaitGroup
	for _, a := range apps {
		wg.Go(a.end)
	}
	wg.Wait()
	r.cancel()
	for _, s := range slots {
		wg.Go(s.close)
	}
	wg.Wait()
	r.wg.Wait()
	return nil
}

// Apps are the names of all apps of a namespace, sorted.
func (r *Runtime) Apps(ns string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for n := range r.apps {
		if n.Namespace == ns {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	return names
}
