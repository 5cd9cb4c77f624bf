package main

import (
	"context"
	"time"

	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/embedded"
	"github.com/openfunction/ofn/internal/telemetry"
)

// shownKinds are what metrics call the kinds of an engine: as people who write manifests do.
var shownKinds = map[event.Kind]string{
	event.KindSource: "source", event.KindBus: "bus", event.KindTrigger: "trigger", event.KindComponent: "component",
	event.KindApp: "function", event.KindInput: "input", event.KindOutput: "output",
}

// observed is everything that events pass through, for a scrape.
func (e *eventing) observed() (out []telemetry.EventObject) {
	if e.engine == nil {
		return nil
	}
	for _, ref := range e.engine.Refs() {
		s, ok := e.engine.Status(ref)
		if !ok {
			continue
		}
		out = append(out, telemetry.EventObject{Kind: shownKinds[ref.Kind], Namespace: ref.Namespace, Name: ref.Name.Name, Part: ref.Event,
			Ready: s.Ready, Handled: s.Handled, Failed: s.Failed, DeadLetters: s.DeadLetters, Lag: s.Lag, Last: s.LastEvent})
	}
	return out
}

// scrape bounds how long a scrape waits for the store of events.
const scrape = time.Second

// kept is the number of dead letters; -1 is unknown.
func (e *eventing) kept() int64 {
	if !e.store.Exists() {
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrape)
	defer cancel()
	n, err := e.letters.Count(ctx)
	if err != nil {
		return -1
	}
	return n
}

// deliveryMetrics is a deliver.Metrics.
type deliveryMetrics struct{ *telemetry.Events }

// Attempt implements deliver.Metrics.
func (m deliveryMetrics) Attempt(from event.Ref, sink, outcome string, took time.Duration, _ error) {
	m.Delivery(shownKinds[from.Kind], from.Namespace, from.Name.Name, from.Event, sink, outcome, took)
}

// DeadLetter is counted by the object itself.
func (deliveryMetrics) DeadLetter(event.Ref) {}

// inputMetrics is a runtime.Metrics of Dapr.
type inputMetrics struct{ *telemetry.Events }

// Delivered implements runtime.Metrics.
func (m inputMetrics) Delivered(app event.Name, component, outcome string, took time.Duration) {
	m.Input(app.Namespace, app.Name, component, outcome, took)
}

// Published implements runtime.Metrics.
func (m inputMetrics) Published(app event.Name, component, outcome string) {
	m.Events.Published(app.Namespace, app.Name, component, outcome)
}

// forgetting is the engine, whose deletions the metrics follow.
type forgetting struct {
	*embedded.Engine
	metrics *telemetry.Events
}

// Delete implements event.Engine.
func (f forgetting) Delete(ctx context.Context, ref event.Ref) error {
	err := f.Engine.Delete(ctx, ref)
	if err == nil {
		f.metrics.Forget(shownKinds[ref.Kind], ref.Namespace, ref.Name.Name, ref.Event)
	}
	return err
}

// controlled is the engine for the controllers.
func (e *eventing) controlled() event.Engine { return forgetting{e.engine, e.metrics} }
