package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/deliver"
	"github.com/openfunction/ofn/internal/event/embedded"
	"github.com/openfunction/ofn/internal/event/source"
)

// memory is a bus.
type memory struct {
	mu     sync.Mutex
	got    []bus.Message
	err    error
	closed bool
	slow   time.Duration
}

func (m *memory) Publish(ctx context.Context, x bus.Message) (bus.Receipt, error) {
	if m.slow > 0 {
		select {
		case <-time.After(m.slow):
		case <-ctx.Done():
			return bus.Receipt{}, ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return bus.Receipt{}, errors.New("closed")
	}
	if m.err == nil {
		m.got = append(m.got, x)
	}
	return bus.Receipt{}, m.err
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *memory) messages() []bus.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]bus.Message(nil), m.got...)
}

func (m *memory) Consume(context.Context, bus.Consumer, bus.Handler) error { return bus.ErrUnsupported }

func (m *memory) Forget(context.Context, string) error { return nil }

func (m *memory) Lag(context.Context, string) (int64, error) { return 0, nil }

func (m *memory) Read(context.Context, []string, bus.From, bool, func(bus.Stored) error) error {
	return bus.ErrUnsupported
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

// feed is a source that emits what a test gives it.
type feed struct {
	forgot int
	events chan cloudevent.Event
	result chan error
	fail   chan error
	mu     sync.Mutex
	runs   int
}

func (f *feed) Run(ctx context.Context, out source.Out) error {
	f.mu.Lock()
	f.runs++
	f.mu.Unlock()
	out.Connected()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-f.fail:
			return err
		case e := <-f.events:
			f.result <- out.Emit(ctx, e)
		}
	}
}

func (f *feed) Forget(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgot++
	return nil
}

func newFeed() *feed {
	return &feed{events: make(chan cloudevent.Event), result: make(chan error, 100), fail: make(chan error)}
}

type keeper struct {
	mu  sync.Mutex
	put []deliver.Letter
}

func (k *keeper) Put(_ context.Context, l deliver.Letter) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.put = append(k.put, l)
	return nil
}

func (k *keeper) List(context.Context, deliver.Filter) ([]deliver.Letter, error) { return k.put, nil }

func (k *keeper) Get(context.Context, string) (deliver.Letter, error) {
	return deliver.Letter{}, deliver.ErrNoLetter
}

func (k *keeper) Delete(context.Context, string) error { return nil }

type world struct {
	*embedded.Engine
	bus  *memory
	feed *feed
	dead *keeper
}

func start(t *testing.T, change func(*embedded.Options)) *world {
	t.Helper()
	w := &world{bus: &memory{}, feed: newFeed(), dead: &keeper{}}
	o := embedded.Options{
		Log: slog.New(slog.DiscardHandler), State: source.State{Dir: t.TempDir()},
		Sources: map[string]source.New{"feed": func(c source.Config) (source.Source, error) {
			var spec struct{ Broken bool }
			if err := c.Decode(&spec); err != nil {
				return nil, err
			}
			if spec.Broken {
				return nil, source.Invalid{Field: "broken", Problem: "it is"}
			}
			return w.feed, nil
		}},
		Buses:   map[string]func(event.Bus) (bus.Bus, error){"embedded": func(event.Bus) (bus.Bus, error) { return w.bus, nil }},
		Deliver: deliver.Options{Letters: w.dead},
	}
	if change != nil {
		change(&o)
	}
	e, err := embedded.New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.Engine = e
	return w
}

func (w *world) close(t *testing.T) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

var (
	name   = event.Name{Namespace: "ns", Name: "es"}
	ref    = event.Ref{Kind: event.KindSource, Name: name, Event: "ev"}
	plain  = cloudevent.Event{ID: "1", Source: "/s", Type: "t", Data: []byte("x")}
	onBus  = event.Source{Name: name, Event: "ev", Kind: "feed", Spec: json.RawMessage(`{}`), Topic: "ns-es-ev", Bus: event.Name{Name: "default"}}
	status = func(w *world) event.Status { s, _ := w.Status(ref); return s }
)
