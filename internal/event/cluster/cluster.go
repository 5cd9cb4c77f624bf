package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/internal/event"
)

// Options are what an Engine is made of.
type Options struct {
	// Objects reads what has LabelEvents from a cache, and writes. It sees nothing else.
	Objects client.Client
	// Live reads the same without a cache.
	Live client.Reader
	// Manifests reads EventSources, EventBuses, Triggers and Functions.
	Manifests client.Reader
	// Image has ofn as its entrypoint. Without it nothing is run, which is told.
	Image string
	// Namespace is where the buses of the whole cluster are.
	Namespace string
	// ClusterDomain of the names of services.
	ClusterDomain string
	// Storage is the size of the volume of a bus, and StorageClass its class; an empty class is the cluster's choice. Zero is
	// no volume: events are kept in the pod, and go with it.
	Storage      resource.Quantity
	StorageClass string
	// KEDA says whether it is there. Nil is never.
	KEDA func(context.Context) (bool, error)
	// Queues reads the lag of triggers for KEDA. Nil: triggers are not scaled.
	Queues func(event.Bus, event.Trigger) []Queue
	// Ask asks a handler at a host and port how its parts stand.
	Ask func(ctx context.Context, address string) ([]Report, error)
	// Tidier removes what buses keep for triggers that are gone. Nil: nothing does.
	Tidier Tidier
	Log    *slog.Logger
}

// Report is how one part of a handler stands.
type Report struct {
	Ref    event.Ref    `json:"ref"`
	Status event.Status `json:"status"`
}

// Tidier removes what buses keep for triggers that are gone.
type Tidier interface {
	// Forget removes what a bus keeps for a trigger.
	Forget(ctx context.Context, on event.Bus, t event.Trigger) error
	// Sweep removes what a bus keeps for triggers that are gone.
	Sweep(ctx context.Context, on event.Bus, gone func(event.Name) (bool, error)) error
}

// Engine is an event.Engine.
type Engine struct {
	o     Options
	watch watchers
	kick  chan event.Ref // to be asked soon

	mu      sync.Mutex
	parts   map[event.Ref]*part
	ids     map[string]event.Ref // by LabelEvents
	buses   map[event.Name]reach
	left    []*remains
	scalers func() error // watches the objects of KEDA; nil once it does
}

// part is something that was applied.
type part struct {
	status event.Status
	bus    event.Name
	calls  map[event.Name]string // functions, and where they were when it was applied
	// trigger is what is to be forgotten with it; nil for others.
	trigger *event.Trigger
	asked   map[string]Report // by pod
}

// reach is how a bus is used.
type reach struct {
	bus     event.Bus // of any kind but "embedded"
	own     bool      // it is one of the platform's own
	letters int64     // MaxBytes of dead letters there
}

var _ event.Engine = (*Engine)(nil)

// New makes an engine that has been told of nothing. It is to be started.
func New(o Options) *Engine {
	return &Engine{o: o, kick: make(chan event.Ref, 256), parts: map[event.Ref]*part{}, ids: map[string]event.Ref{}, buses: map[event.Name]reach{}}
}

var errDapr = errors.New("on a cluster components and event-driven functions are Dapr's own")

// ApplyComponent implements event.Engine: components are Dapr's.
func (e *Engine) ApplyComponent(context.Context, event.Component) error { return errDapr }

// ApplyApp implements event.Engine: package run/dapr runs such functions.
func (e *Engine) ApplyApp(context.Context, event.App) error { return errDapr }

// errNoImage is what to do about an operator that does not know what to run.
var errNoImage = errors.New("the operator does not know the image of ofn, which event handlers run: start it with --own-pod (its own pod's name) or --event-image")

// Delete forgets what ref names. Its objects go with what they were made for, and those of one event of several with the next
// ApplySource of another.
func (e *Engine) Delete(_ context.Context, ref event.Ref) error {
	e.watch.notify(e.drop(ref)...)
	return nil
}

// drop gives those who use what was dropped.
func (e *Engine) drop(ref event.Ref) (users []event.Ref) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.parts[ref]
	delete(e.parts, ref)
	delete(e.ids, identity(ref))
	switch {
	case ref.Kind == event.KindBus:
		delete(e.buses, ref.Name)
		return e.users(ref.Name)
	case p != nil && p.trigger != nil:
		if on, known := e.buses[p.bus]; known {
			e.left = append(e.left, &remains{id: identity(ref), trigger: *p.trigger, on: on.bus})
		}
	}
	return nil
}

// Status implements event.Engine.
func (e *Engine) Status(ref event.Ref) (event.Status, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.parts[ref]
	if p == nil {
		return event.Status{}, false
	}
	return p.status, true
}

// Watch implements event.Engine.
func (e *Engine) Watch(ctx context.Context, changed func(event.Ref)) { e.watch.watch(ctx, changed) }

// settle keeps how something stands.
func (e *Engine) settle(ref event.Ref, next part) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if old := e.parts[ref]; old != nil {
		if old.status.Ready == next.status.Ready && old.status.Reason == next.status.Reason {
			next.status.Since = old.status.Since
		}
		next.asked = old.asked
	}
	if next.status.Since.IsZero() {
		next.status.Since = time.Now()
	}
	if next.asked == nil {
		next.asked = map[string]Report{}
	}
	e.parts[ref] = &next
	e.ids[identity(ref)] = ref
}

// pending is the status of what waits for something else.
func pending(format string, args ...any) event.Status {
	return event.Status{Reason: "Pending", Message: fmt.Sprintf(format, args...), Lag: -1}
}

// bus is how a bus is used, if it is known yet.
func (e *Engine) bus(name event.Name) (reach, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r, ok := e.buses[name]
	return r, ok
}

// users are those who use a bus; e.mu is held.
func (e *Engine) users(bus event.Name) (out []event.Ref) {
	for ref, p := range e.parts {
		if p.bus == bus && ref.Kind != event.KindBus {
			out = append(out, ref)
		}
	}
	return out
}

// refs are all that was applied.
func (e *Engine) refs() []event.Ref {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.parts))
}
