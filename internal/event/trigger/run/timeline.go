package run

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/trigger"
)

const (
	timelineAhead = 1 << 15         // events that are read before anybody asks for them
	timelineKept  = 5 * time.Minute // events before the last that was asked for
	timelinePrune = 4096

	timelinePatience = 30 * time.Second
)

// timeline tells which inputs were true when an event came, by reading the bus a second time beside the consumer: as a latch
// that is kept nowhere but on the bus it outlives the platform, and does not mind when an event is tried again.
type timeline struct {
	bus    bus.Bus
	inputs *inputs
	on     event.Name
	log    *slog.Logger

	mu      sync.Mutex
	moved   *sync.Cond
	history *trigger.History
	begin   time.Time // what history knows from
	asked   bus.Stored
	err     error // why reading ended
	stop    context.CancelFunc
	ended   chan struct{}
	// plain is what happens on a bus that cannot be read: what came to this process, by its clock.
	plain bool
	seen  uint64
}

func newTimeline(b bus.Bus, in *inputs, on event.Name, log *slog.Logger) *timeline {
	t := &timeline{bus: b, inputs: in, on: on, log: log}
	t.moved = sync.NewCond(&t.mu)
	return t
}

// at tells what was true when m came, names being the inputs it is of. It waits until what came before m is known.
func (t *timeline) at(ctx context.Context, m bus.Stored, names []string) (func(string) bool, error) {
	ctx, cancel := context.WithTimeout(ctx, timelinePatience) // m itself may have grown too old, and never be read
	defer cancel()
	wake := context.AfterFunc(ctx, func() {
		t.mu.Lock()
		t.moved.Broadcast()
		t.mu.Unlock()
	})
	defer wake()
	t.mu.Lock()
	defer t.mu.Unlock()
	begin := m.Time.Add(-trigger.Latch)
	for ctx.Err() == nil {
		if m.Sequence == 0 { // it has no place that reading could reach
			t.forgetful()
		}
		if t.plain {
			return t.arrived(names), nil
		}
		if t.stop == nil || begin.Before(t.begin) {
			t.restart(begin.Add(-time.Second))
		}
		if m.Sequence > t.asked.Sequence {
			t.asked = m
			t.moved.Broadcast()
		}
		if t.err != nil || t.history.Reached() >= m.Sequence {
			break
		}
		t.moved.Wait()
	}
	switch {
	case errors.Is(t.err, bus.ErrUnsupported):
		t.forgetful()
		return t.arrived(names), nil
	case t.err != nil:
		t.halt() // it is tried anew with the next event
		return nil, t.err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return t.history.At(m.Sequence, m.Time), nil
}

// forgetful gives up reading; t.mu is held.
func (t *timeline) forgetful() {
	if t.plain {
		return
	}
	t.log.Warn("this bus cannot be read again: which inputs are true is forgotten when the platform ends", "bus", t.on.String())
	t.plain, t.history, t.err = true, trigger.NewHistory(), nil
	t.halt()
}

func (t *timeline) arrived(names []string) func(string) bool {
	t.seen++
	now := time.Now()
	t.history.Add(t.seen, now, names)
	if t.seen%timelinePrune == 0 {
		t.history.Forget(now)
	}
	return t.history.At(t.seen, now)
}

// restart reads from a time on; t.mu is held, and let go while the reader before ends.
func (t *timeline) restart(begin time.Time) {
	for t.stop != nil {
		t.halt()
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.history, t.begin, t.err, t.asked = trigger.NewHistory(), begin, nil, bus.Stored{}
	t.stop, t.ended = cancel, make(chan struct{})
	go t.read(ctx, t.history, begin, t.ended)
}

func (t *timeline) halt() {
	if t.stop == nil {
		return
	}
	stop, ended := t.stop, t.ended
	t.stop = nil
	stop()
	t.moved.Broadcast()
	t.mu.Unlock()
	<-ended
	t.mu.Lock()
}

func (t *timeline) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.halt()
}

func (t *timeline) read(ctx context.Context, h *trigger.History, begin time.Time, ended chan struct{}) {
	defer close(ended)
	n := 0
	err := t.bus.Read(ctx, t.inputs.list(), bus.From{Time: begin}, true, func(m bus.Stored) error {
		e := read(m, t.on)
		names, _ := t.inputs.of(m.Topic, &e) // the consumer tells of filters that fail
		h.Add(m.Sequence, m.Time, names)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.moved.Broadcast()
		for ctx.Err() == nil && m.Sequence > t.asked.Sequence+timelineAhead {
			t.moved.Wait()
		}
		if n++; n%timelinePrune == 0 && !t.asked.Time.IsZero() && t.history == h {
			keep := t.asked.Time.Add(-timelineKept)
			h.Forget(keep)
			if from := keep.Add(-trigger.Latch); from.After(t.begin) {
				t.begin = from
			}
		}
		return ctx.Err()
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.history == h && ctx.Err() == nil {
		if err == nil {
			err = errors.New("reading the bus ended")
		}
		t.err = err
		t.moved.Broadcast()
	}
}
