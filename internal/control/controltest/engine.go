package controltest

import (
	"context"
	"sync"

	"github.com/openfunction/ofn/internal/event"
)

// Engine remembers what it was handed and answers with the statuses that a test sets. The zero Engine is ready to use.
type Engine struct {
	mu         sync.Mutex
	Components map[event.Name]event.Component
	Apps       map[event.Name]event.App
	Buses      map[event.Name]event.Bus
	Sources    map[event.Ref]event.Source
	Triggers   map[event.Name]event.Trigger
	statuses   map[event.Ref]event.Status
	changed    []func(event.Ref)
	// Refuse, when set, is what every method answers.
	Refuse error
}

var _ event.Engine = (*Engine)(nil)

func put[K comparable, V any](e *Engine, m *map[K]V, k K, v V, ref event.Ref) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.Refuse != nil {
		return e.Refuse
	}
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[k] = v
	if e.statuses == nil {
		e.statuses = map[event.Ref]event.Status{}
	}
	if _, ok := e.statuses[ref]; !ok {
		e.statuses[ref] = event.Status{Reason: "Connecting"}
	}
	return nil
}

// ApplyComponent implements event.Engine.
func (e *Engine) ApplyComponent(_ context.Context, c event.Component) error {
	return put(e, &e.Components, c.Name, c, event.Ref{Kind: event.KindComponent, Name: c.Name})
}

// ApplyApp implements event.Engine.
func (e *Engine) ApplyApp(_ context.Context, a event.App) error {
	return put(e, &e.Apps, a.Name, a, event.Ref{Kind: event.KindApp, Name: a.Name})
}

// ApplyBus implements event.Engine.
func (e *Engine) ApplyBus(_ context.Context, b event.Bus) error {
	return put(e, &e.Buses, b.Name, b, event.Ref{Kind: event.KindBus, Name: b.Name})
}

// ApplySource implements event.Engine.
func (e *Engine) ApplySource(_ context.Context, s event.Source) error {
	ref := event.Ref{Kind: event.KindSource, Name: s.Name, Event: s.Event}
	return put(e, &e.Sources, ref, s, ref)
}

// ApplyTrigger implements event.Engine.
func (e *Engine) ApplyTrigger(_ context.Context, t event.Trigger) error {
	return put(e, &e.Triggers, t.Name, t, event.Ref{Kind: event.KindTrigger, Name: t.Name})
}

// Delete implements event.Engine.
func (e *Engine) Delete(_ context.Context, r event.Ref) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.Refuse != nil {
		return e.Refuse
	}
	delete(e.statuses, r)
	switch r.Kind {
	case event.KindComponent:
		delete(e.Components, r.Name)
	case event.KindApp:
		delete(e.Apps, r.Name)
	case event.KindBus:
		delete(e.Buses, r.Name)
	case event.KindSource:
		delete(e.Sources, r)
	case event.KindTrigger:
		delete(e.Triggers, r.Name)
	}
	return nil
}

// Status implements event.Engine.
func (e *Engine) Status(r event.Ref) (event.Status, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, ok := e.statuses[r]
	return s, ok
}

// Watch implements event.Engine.
func (e *Engine) Watch(ctx context.Context, changed func(event.Ref)) {
	e.mu.Lock()
	e.changed = append(e.changed, changed)
	e.mu.Unlock()
	<-ctx.Done()
}

// Watched says how many watch.
func (e *Engine) Watched() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.changed)
}

// Set sets a status; those who watch are told when tell is set.
func (e *Engine) Set(r event.Ref, s event.Status, tell bool) {
	e.mu.Lock()
	if e.statuses == nil {
		e.statuses = map[event.Ref]event.Status{}
	}
	e.statuses[r] = s
	watching := e.changed
	e.mu.Unlock()
	if !tell {
		return
	}
	for _, changed := range watching {
		changed(r)
	}
}
