package run

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event"
)

// TestDrain: what a bus kept for a trigger that has another bus now is delivered, once; nobody gets what was not kept for him, and
// the bus keeps nothing for the trigger any more.
func TestDrain(t *testing.T) {
	w := newWorld(t, event.Trigger{
		Inputs:      topics("a"),
		Subscribers: []event.Subscriber{{Condition: "a", Sink: to("stays")}, {Condition: "a", Sink: to("goes")}},
	})
	w.start()
	w.publish("a", "before")
	w.expect("stays", "before")
	w.expect("goes", "before")
	w.idle()
	w.end()
	w.publish("a", "waits")
	moved := w.trigger
	moved.Subscribers = []event.Subscriber{{Condition: "a", Sink: to("comes"), From: "all"}, {Condition: "a", Sink: to("stays")}}
	r := New(nil)
	r.drainLeast = 0
	if err := r.Drain(t.Context(), context.Background(), moved, w.env(func() {})); err != nil {
		t.Fatal(err)
	}
	if got := w.got("stays"); !slices.Equal(got, []string{"before", "waits"}) {
		t.Errorf("who stays got %q", got)
	}
	if got := append(w.got("comes"), w.got("goes")[1:]...); len(got) > 0 {
		t.Errorf("%v were delivered to who had no place there", got)
	}
	if names, err := w.bus.(bus.Lister).Consumers(t.Context()); err != nil || len(names) > 0 {
		t.Errorf("the bus still keeps events for %v, %v", names, err)
	}
	if err := r.Drain(t.Context(), context.Background(), moved, w.env(func() {})); err != nil {
		t.Errorf("where there is nothing: %v", err)
	}
}

// TestDrainIsResumed: a drain that is ended goes on where it was.
func TestDrainIsResumed(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a"), Subscribers: []event.Subscriber{{Condition: "a", Sink: to("f"), Concurrency: 1}}})
	w.start()
	w.idle()
	w.end()
	w.publish("a", "1")
	w.publish("a", "2")
	ctx, cancel := context.WithCancel(t.Context())
	w.answer = func(call) int { cancel(); return 200 } // in the middle
	r := New(nil)
	r.drainLeast = 0
	if err := r.Drain(ctx, context.Background(), w.trigger, w.env(func() {})); err != nil {
		t.Fatal(err)
	}
	w.answer = nil
	if err := r.Drain(t.Context(), context.Background(), w.trigger, w.env(func() {})); err != nil {
		t.Fatal(err)
	}
	if got := w.got("f"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("%q were delivered", got)
	}
}

func TestSweep(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a"), Subscribers: []event.Subscriber{{Condition: "a", Sink: to("f")}, {Condition: "a", Sink: to("g")}}})
	w.start()
	w.end()
	other := bus.Consumer{Name: "somebody", Topics: []string{"a"}}
	w.publish("a", "1")
	ctx, cancel := context.WithCancel(t.Context())
	other.From.All = true
	if err := w.bus.Consume(ctx, other, func(context.Context, bus.Stored) bus.Verdict { cancel(); return bus.Verdict{} }); err != nil {
		t.Fatal(err)
	}
	asked := errors.New("cannot be asked")
	left := func() int {
		names, err := w.bus.(bus.Lister).Consumers(t.Context())
		if err != nil || !slices.Contains(names, "somebody") {
			t.Fatalf("%v, %v", names, err)
		}
		return len(names)
	}
	r := New(nil)
	for _, c := range []struct {
		gone bool
		err  error
		left int
	}{{true, asked, 3}, {false, nil, 3}, {true, nil, 1}} {
		err := r.Sweep(t.Context(), w.bus, func(name event.Name) (bool, error) {
			if name != w.trigger.Name {
				t.Errorf("asked for %s", name)
			}
			return c.gone, c.err
		})
		if !errors.Is(err, c.err) || left() != c.left {
			t.Errorf("%+v: %v, %d left", c, err, left())
		}
	}
}
