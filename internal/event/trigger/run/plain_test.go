package run

import (
	"context"
	"testing"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event"
)

// plain is a bus that can do only what every bus can: its events have no place.
type plain struct{ bus.Bus }

func (p plain) Consume(ctx context.Context, c bus.Consumer, handle bus.Handler) error {
	return p.Bus.Consume(ctx, c, func(ctx context.Context, m bus.Stored) bus.Verdict {
		m.Sequence = 0
		return handle(ctx, m)
	})
}

func (plain) Lag(context.Context, string) (int64, error) { return 0, bus.ErrUnsupported }

func (plain) Read(context.Context, []string, bus.From, bool, func(bus.Stored) error) error {
	return bus.ErrUnsupported
}

func TestOnABusThatCanDoLittle(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a", "b"), Subscribers: []event.Subscriber{
		{Condition: "a && b", Sink: to("latch"), From: "all"}, {Sink: to("gather"), Correlate: &event.Correlation{}, From: "all"},
	}})
	full := w.bus
	w.bus = plain{full}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.publish("a", "1")
	w.publish("b", "2")
	w.startNow(ctx)
	w.wait(func() bool { return len(w.got("latch")) == 1 && len(w.got("gather")) == 1 })
	w.bus = full
	w.idle()
	if got := w.got("latch"); len(got) != 1 {
		t.Errorf("the latch let through %q", got)
	}
	if n := New(nil).Lag(t.Context(), w.trigger, plain{full}); n != -1 {
		t.Errorf("lag is %d", n)
	}
}
