// Package embedded runs the event half on one machine: it is the event.Engine of `ofn up`. What is applied runs in goroutines of
// its own, is started again with growing pauses when it fails, and is stopped by draining: what is under way may end. Brokers,
// buses, triggers and Dapr come in as constructors and small interfaces.
package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/deliver"
	"github.com/openfunction/ofn/internal/event/source"
)

// Options are what an Engine is made of.
type Options struct {
	// Dapr runs components and apps. Nil refuses them.
	Dapr Dapr
	// Sources are the kinds of sources.
	Sources map[string]source.New
	// State is where sources keep their places; forgotten with them.
	State source.State
	// Buses make a bus of each kind. They return at once, and reach for their servers when they are used.
	Buses map[string]func(event.Bus) (bus.Bus, error)
	// Triggers runs triggers. Nil refuses them.
	Triggers Triggers
	// Deliver is how events are delivered. Topics is filled in: the engine's buses.
	Deliver deliver.Options
	Log     *slog.Logger
	// Drain is how long what is under way may take to end after a delete, a change or Close; 0 is 10 s.
	Drain time.Duration
}

// Dapr is the Dapr runtime.
type Dapr interface {
	ApplyComponent(context.Context, event.Component) error
	DeleteComponent(context.Context, event.Name) error
	ApplyApp(context.Context, event.App) error
	DeleteApp(context.Context, event.Name) error
	Status(event.Ref) (event.Status, bool)
	// Refs are all that Status knows something of.
	Refs() []event.Ref
	Watch(ctx context.Context, changed func(event.Ref))
}

// Triggers runs triggers on buses.
type Triggers interface {
	// Run handles the events of a trigger until ctx ends. After that, work stays usable for what is under way until it ends too.
	Run(ctx, work context.Context, t event.Trigger, env Env) error
	// Forget removes what the bus keeps for a trigger that was deleted.
	Forget(ctx context.Context, t event.Trigger, on bus.Bus) error
	// Drain handles what a bus that the trigger used before keeps for it, until nothing is left, and has the bus forget the
	// trigger then. It returns at once where there is nothing.
	Drain(ctx, work context.Context, t event.Trigger, env Env) error
	// Sweep removes what the bus keeps for triggers that are gone.
	Sweep(ctx context.Context, on bus.Bus, gone func(event.Name) (bool, error)) error
	// Lag is how many events wait for it; -1 is unknown.
	Lag(ctx context.Context, t event.Trigger, on bus.Bus) int64
}

// Env is what a running trigger works with.
type Env struct {
	Bus     bus.Bus
	Deliver *deliver.Deliverer
	Log     *slog.Logger
	// Connected says that events are handled from now on; Trouble what is wrong while it mends itself.
	Connected func()
	Trouble   func(error)
	// Handled and Failed count events that were handled, and attempts that failed; Dead those given up.
	Handled func()
	Failed  func(error)
	Dead    func()
}

// Engine is an event.Engine.
type Engine struct {
	o       Options
	deliver *deliver.Deliverer
	watch   watchers

	ctx  context.Context // of everything that runs; ended by Close
	end  context.CancelFunc
	work sync.WaitGroup

	mu     sync.Mutex
	tasks  map[event.Ref]*task
	tails  map[event.Ref]chan struct{} // closed when the last task of a ref has ended
	buses  map[event.Name]*slot
	came   chan struct{} // closed and replaced when a bus comes
	closed bool          // nothing new is taken
	shut   bool          // the buses are closed
}

var _ event.Engine = (*Engine)(nil)

// New makes an engine that runs nothing yet. Close ends it.
func New(o Options) (*Engine, error) {
	if o.Log == nil {
		return nil, errors.New("the event engine needs a logger")
	}
	if o.Drain <= 0 {
		o.Drain = 10 * time.Second
	}
	e := &Engine{o: o, tasks: map[event.Ref]*task{}, tails: map[event.Ref]chan struct{}{}, buses: map[event.Name]*slot{}, came: make(chan struct{})}
	e.ctx, e.end = context.WithCancel(context.Background())
	o.Deliver.Topics = e
	if o.Deliver.Log == nil {
		o.Deliver.Log = o.Log
	}
	o.Deliver.Metrics = &tally{engine: e, next: o.Deliver.Metrics}
	e.deliver = deliver.New(o.Deliver)
	if o.Dapr != nil {
		e.work.Go(func() { o.Dapr.Watch(e.ctx, e.watch.notify) })
	}
	return e, nil
}

// Deliverer is the engine's own, for those who deliver events of their own: it knows the engine's buses.
func (e *Engine) Deliverer() *deliver.Deliverer { return e.deliver }

// Close stops everything, lets what is under way end, and closes the buses.
func (e *Engine) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.end()
	e.work.Wait() // what is under way still uses the buses
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shut = true
	var errs []error
	for name, s := range e.buses {
		if err := s.close(); err != nil {
			errs = append(errs, fmt.Errorf("closing bus %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the event engine is closed")

var errNoDapr = errors.New("this platform runs no Dapr components")

// ApplyComponent hands a component to Dapr.
func (e *Engine) ApplyComponent(ctx context.Context, c event.Component) error {
	if e.o.Dapr == nil {
		return errNoDapr
	}
	return e.o.Dapr.ApplyComponent(ctx, c)
}

// ApplyApp hands an app to Dapr.
func (e *Engine) ApplyApp(ctx context.Context, a event.App) error {
	if e.o.Dapr == nil {
		return errNoDapr
	}
	return e.o.Dapr.ApplyApp(ctx, a)
}

// Delete stops what ref names, and forgets it. It returns without waiting for what is under way.
func (e *Engine) Delete(ctx context.Context, ref event.Ref) error {
	switch ref.Kind {
	case event.KindInput, event.KindOutput:
		return nil // they go with their App
	case event.KindComponent, event.KindApp:
		if e.o.Dapr == nil {
			return nil
		}
		if ref.Kind == event.KindComponent {
			return e.o.Dapr.DeleteComponent(ctx, ref.Name)
		}
		return e.o.Dapr.DeleteApp(ctx, ref.Name)
	case event.KindBus:
		e.deleteBus(ref.Name)
		return nil
	case event.KindSource, event.KindTrigger:
		e.mu.Lock()
		t := e.tasks[ref]
		delete(e.tasks, ref)
		e.mu.Unlock()
		if t != nil {
			t.forget.Store(true)
			t.cancel()
		}
		return nil
	}
	return fmt.Errorf("nothing of kind %q runs here", ref.Kind)
}

// Status is what is known of ref.
func (e *Engine) Status(ref event.Ref) (event.Status, bool) {
	switch ref.Kind {
	case event.KindComponent, event.KindApp, event.KindInput, event.KindOutput:
		if e.o.Dapr == nil {
			return event.Status{}, false
		}
		return e.o.Dapr.Status(ref)
	case event.KindBus:
		return e.busStatus(ref.Name)
	}
	e.mu.Lock()
	t := e.tasks[ref]
	e.mu.Unlock()
	if t == nil {
		return event.Status{}, false
	}
	return t.count.status(time.Now()), true
}

// Refs are all that Status knows something of, each once.
func (e *Engine) Refs() []event.Ref {
	e.mu.Lock()
	out := slices.Collect(maps.Keys(e.tasks))
	for name := range e.buses {
		out = append(out, event.Ref{Kind: event.KindBus, Name: name})
	}
	e.mu.Unlock()
	if e.o.Dapr == nil {
		return out
	}
	seen := map[event.Ref]bool{}
	for _, ref := range e.o.Dapr.Refs() {
		if !seen[ref] {
			seen[ref] = true
			out = append(out, ref)
		}
	}
	return out
}

// Watch calls changed whenever a status may have changed, until ctx ends.
func (e *Engine) Watch(ctx context.Context, changed func(event.Ref)) { e.watch.watch(ctx, changed) }

// fingerprint tells whether what is applied is what runs already.
func fingerprint(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("reading what was applied: %w", err)
	}
	return string(b), nil
}

// start runs a task in place of the one of the same name, after that has ended. What runs already is left alone.
func (e *Engine) start(ref event.Ref, spec any, t *task) error {
	print, err := fingerprint(spec)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	old := e.tasks[ref]
	if old != nil && old.print == print {
		return nil
	}
	t.ref, t.print, t.engine, t.count = ref, print, e, newCounter()
	if old != nil {
		t.count.inherit(old.count)
		old.cancel()
	}
	before, done := e.tails[ref], make(chan struct{})
	e.tasks[ref], e.tails[ref] = t, done
	ctx, cancel := context.WithCancel(e.ctx)
	t.cancel = cancel
	e.work.Go(func() {
		defer cancel()
		defer e.ended(ref, done)
		if before != nil {
			<-before // it drains; Close waits for it as well
		}
		t.supervise(ctx)
	})
	return nil
}

func (e *Engine) ended(ref event.Ref, done chan struct{}) {
	close(done)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tails[ref] == done {
		delete(e.tails, ref)
	}
}
