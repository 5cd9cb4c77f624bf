package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/deliver"
	"github.com/openfunction/ofn/internal/event/source"
)

// ApplySource runs a source. A source that cannot be as it is described is told in its status as well.
func (e *Engine) ApplySource(_ context.Context, s event.Source) error {
	newSource := e.o.Sources[s.Kind]
	if newSource == nil {
		return fmt.Errorf("event %s of %s: this platform has no sources of kind %q; it has %s",
			s.Event, s.Name, s.Kind, strings.Join(slices.Sorted(maps.Keys(e.o.Sources)), ", "))
	}
	if s.Topic == "" && s.Sink == nil { // what it acknowledged would be gone
		return fmt.Errorf("event %s of %s: its events would go nowhere: it needs a bus or a sink", s.Event, s.Name)
	}
	id := source.Identity{Namespace: s.Namespace, Name: s.Name.Name, Event: s.Event, Kind: s.Kind, Type: eventType(s.Spec)}
	config := source.Config{Identity: id, Spec: s.Spec, Log: e.o.Log.With("source", id.URI())}
	ref := event.Ref{Kind: event.KindSource, Name: s.Name, Event: s.Event}
	return e.start(ref, s, &task{
		run: func(ctx, work context.Context, t *task) error {
			made, err := newSource(config)
			if err != nil {
				return err
			}
			out := source.Out{Connected: t.connected, Trouble: t.failed, Lag: t.count.lag}
			out.Emit = func(ctx context.Context, ev cloudevent.Event) error { return e.emit(ctx, work, t, s, ev) }
			return made.Run(ctx, out)
		},
		forgotten: func(ctx context.Context) error {
			err := e.o.State.Forget(id)
			if made, cannot := newSource(config); cannot == nil {
				if f, ok := made.(source.Forgetter); ok {
					err = errors.Join(err, f.Forget(ctx))
				}
			}
			return err
		},
	})
}

func eventType(spec json.RawMessage) string {
	var own struct {
		EventType string `json:"eventType"`
	}
	_ = json.Unmarshal(spec, &own) // what is broken is told by the kind
	return own.EventType
}

// emit makes one event safe: durable on the bus, taken by the sink, or a durable dead letter. It goes on trying until its context
// ends, which is that of the caller as far as it has a deadline, else that of what is under way.
func (e *Engine) emit(ctx, work context.Context, t *task, s event.Source, ev cloudevent.Event) error {
	if at, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		work, cancel = context.WithDeadline(work, at)
		defer cancel()
	}
	if ev.Extension(cloudevent.TraceParent) == "" {
		ev = ev.Clone()
		ev.SetExtension(cloudevent.TraceParent, newTrace())
	}
	accepted := time.Now()
	v := deliver.Delivery{Event: ev, DeadLetter: s.DeadLetter, From: t.ref, Part: s.Topic, Accepted: accepted}
	if s.Topic != "" {
		v.Sink, v.Retry = event.Sink{Topic: s.Topic, Bus: s.Bus}, event.Policy{Attempts: math.MaxInt, Max: 10 * time.Second}
		if err := e.deliverSafely(work, t, v); err != nil {
			return err
		}
	}
	if s.Sink != nil {
		v.Sink, v.Retry, v.Part = *s.Sink, s.Retry, "sink"
		if err := e.deliverSafely(work, t, v); err != nil {
			return err
		}
	}
	t.count.handled(time.Now())
	return nil
}

// deliverSafely ends only when the event is safe, or ctx has ended.
func (e *Engine) deliverSafely(ctx context.Context, t *task, v deliver.Delivery) error {
	waits := deliver.Waits(event.Policy{Max: 30 * time.Second})
	for {
		_, err := e.deliver.Deliver(ctx, v)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		t.count.failed(err)
		pause := time.NewTimer(waits.NextBackOff())
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}
