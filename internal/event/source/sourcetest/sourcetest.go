// Package sourcetest runs sources in tests: it takes their events, fails, stops them and starts them again, as the platform does.
package sourcetest

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/source"
)

// patience is how long a test waits for what must come: brokers of a loaded machine are slow.
const patience = 90 * time.Second

// Config describes a source by its fields.
func Config(t testing.TB, kind string, spec map[string]any) source.Config {
	t.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	return source.Config{
		Identity: source.Identity{Namespace: "ns", Name: "es", Event: "ev", Kind: kind}, Spec: b, Log: slog.New(slog.DiscardHandler),
	}
}

// Run is a source that runs.
type Run struct {
	t         testing.TB
	connected chan struct{}
	trouble   chan error
	events    chan cloudevent.Event
	cancel    context.CancelCauseFunc
	ended     chan struct{}
	err       error
	once      sync.Once

	mu   sync.Mutex
	open chan struct{} // closed while events are let in
	last error         // trouble
}

// Start runs what make makes, anew after a short pause when it fails, until the test or Stop ends it.
func Start(t testing.TB, newSource source.New, c source.Config) *Run {
	t.Helper()
	if _, err := newSource(c); err != nil {
		t.Fatalf("making the source: %v", err)
	}
	r := &Run{
		t: t, connected: make(chan struct{}, 1), trouble: make(chan error, 64), events: make(chan cloudevent.Event, 1<<17), ended: make(chan struct{}), open: make(chan struct{}),
	}
	close(r.open)
	ctx, cancel := context.WithCancelCause(context.Background())
	r.cancel = cancel
	go func() {
		defer close(r.ended)
		r.err = r.loop(ctx, newSource, c)
	}()
	t.Cleanup(func() { r.Stop() })
	return r
}

func (r *Run) loop(ctx context.Context, newSource source.New, c source.Config) error {
	for {
		s, err := newSource(c)
		if err != nil {
			return err
		}
		err = s.Run(ctx, source.Out{Emit: r.emit, Connected: r.isConnected, Trouble: r.troubled})
		if ctx.Err() != nil {
			return err
		}
		if err == nil {
			r.t.Error("the source returned nil though nobody stopped it")
			return nil
		}
		r.troubled(err)
		pause := time.NewTimer(100 * time.Millisecond)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

func (r *Run) emit(ctx context.Context, e cloudevent.Event) error {
	r.mu.Lock()
	open := r.open
	r.mu.Unlock()
	select {
	case <-open:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := e.Validate(); err != nil {
		r.t.Errorf("the source made %+v: %v", e, err)
	}
	r.events <- e
	return nil
}

func (r *Run) isConnected() {
	select {
	case r.connected <- struct{}{}:
	default:
	}
}

func (r *Run) troubled(err error) {
	r.mu.Lock()
	r.last = err
	r.mu.Unlock()
	select {
	case r.trouble <- err:
	default:
	}
}

// Connected waits until the source says that it takes events.
func (r *Run) Connected() {
	r.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		select {
		case <-r.connected:
			return
		case <-deadline.C:
			r.t.Fatalf("the source did not connect: %v", r.lastTrouble())
		}
	}
}

func (r *Run) lastTrouble() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// Trouble waits for the source to say what is wrong.
func (r *Run) Trouble() error {
	r.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	select {
	case err := <-r.trouble:
		return err
	case <-deadline.C:
		r.t.Fatal("the source says nothing of its trouble")
		return nil
	}
}

// Next waits for an event.
func (r *Run) Next() cloudevent.Event {
	r.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	select {
	case e := <-r.events:
		return e
	case <-deadline.C:
		r.t.Fatalf("no event comes; the last trouble was: %v", r.lastTrouble())
		return cloudevent.Event{}
	}
}

// Until waits until every one of want has come as data, in any order and any number of times, and returns how many events came.
func (r *Run) Until(want map[string]bool) int {
	r.t.Helper()
	n := 0
	for len(want) > 0 {
		e := r.Next()
		n++
		delete(want, string(e.Data))
	}
	return n
}

// None tells how many events are waiting in the test.
func (r *Run) None() bool { return len(r.events) == 0 }

// Hold lets no event be safe until Release: emits wait.
func (r *Run) Hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = make(chan struct{})
}

// Release ends a Hold.
func (r *Run) Release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.open)
}

// Stop ends the source and waits for it.
func (r *Run) Stop() {
	r.t.Helper()
	r.once.Do(func() {
		r.cancel(context.Canceled)
		deadline := time.NewTimer(patience)
		defer deadline.Stop()
		select {
		case <-r.ended:
		case <-deadline.C:
			r.t.Fatal("the source does not end")
		}
		if r.err != nil {
			r.t.Errorf("the source ended with %v", r.err)
		}
	})
}
