package run

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/bus/jetstream"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/deliver"
	"github.com/openfunction/ofn/internal/event/embedded"
)

const patience = 60 * time.Second

// world is a bus, functions that answer as told, and a trigger that may be stopped and started.
type world struct {
	t       *testing.T
	bus     bus.Bus
	trigger event.Trigger
	stop    func()

	mu      sync.Mutex
	calls   []call
	letters []deliver.Letter
	refuse  int // letters that are not taken at first
	failed  []string
	answer  func(call) int // nil: 200
	changed chan struct{}
}

type call struct{ function, id, typ, data string }

func newWorld(t *testing.T, tr event.Trigger) *world {
	t.Helper()
	e := jetstream.NewEmbedded(jetstream.EmbeddedOptions{Dir: t.TempDir()})
	w := &world{t: t, bus: jetstream.New(e, jetstream.Options{Name: "ns/default"}), trigger: tr, changed: make(chan struct{}, 1)}
	w.trigger.Name, w.trigger.Bus = event.Name{Namespace: "ns", Name: "tr"}, event.Name{Namespace: "ns", Name: "default"}
	t.Cleanup(func() {
		w.end()
		_ = w.bus.Close()
		_ = e.Close()
	})
	return w
}

// start runs the trigger, and returns when its subscribers get what comes.
func (w *world) start() {
	w.t.Helper()
	w.startNow(context.Background())
	for _, name := range consumers(w.trigger) { // a new subscriber gets what comes after it
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
			if _, err := w.bus.Lag(w.t.Context(), name); err == nil {
				break
			}
		}
	}
}

func (w *world) startNow(ctx context.Context) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	ended, ready := make(chan error, 1), make(chan struct{})
	var once sync.Once
	env := w.env(func() { once.Do(func() { close(ready) }) })
	go func() { ended <- New(nil).Run(ctx, context.Background(), w.trigger, env) }()
	select {
	case <-ready:
	case err := <-ended:
		w.t.Fatalf("running: %v", err)
	}
	w.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("running: %v", err)
		}
	}
}

func (w *world) env(connected func()) embedded.Env {
	return embedded.Env{
		Bus: w.bus, Log: slog.New(slog.DiscardHandler), Connected: connected,
		Trouble: func(err error) { w.note(func() { w.failed = append(w.failed, "trouble: "+err.Error()) }) },
		Handled: func() {}, Dead: func() {}, Failed: func(err error) { w.note(func() { w.failed = append(w.failed, err.Error()) }) },
		Deliver: deliver.New(deliver.Options{Functions: w, HostOf: func(n event.Name) string { return n.Name }, Letters: w, Timeout: patience}),
	}
}

func (w *world) end() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

func (w *world) note(change func()) {
	w.mu.Lock()
	change()
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// RoundTrip is the functions.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	data, _ := io.ReadAll(r.Body)
	c := call{function: r.URL.Host, id: r.Header.Get("ce-id"), typ: r.Header.Get("ce-type"), data: string(data)}
	code := 200
	w.note(func() {
		w.calls = append(w.calls, c)
		if w.answer != nil {
			code = w.answer(c)
		}
	})
	return &http.Response{StatusCode: code, Body: http.NoBody, Header: http.Header{}}, nil
}

func (w *world) Put(_ context.Context, l deliver.Letter) error {
	w.mu.Lock()
	w.refuse--
	refuse := w.refuse >= 0
	w.mu.Unlock()
	if refuse {
		return errors.New("the letter box is full")
	}
	w.note(func() { w.letters = append(w.letters, l) })
	return nil
}

func (w *world) List(context.Context, deliver.Filter) ([]deliver.Letter, error) { return nil, nil }

func (w *world) Get(context.Context, string) (deliver.Letter, error) {
	return deliver.Letter{}, deliver.ErrNoLetter
}

func (w *world) Delete(context.Context, string) error { return nil }

// publish puts an event on a topic; its id is the topic and the data.
func (w *world) publish(topic, data string) {
	w.t.Helper()
	e := cloudevent.Event{ID: topic + " " + data, Source: "/test", Type: "type." + topic, DataContentType: "application/json", Data: []byte(data)}
	if _, err := w.bus.Publish(w.t.Context(), deliver.Message(e, topic)); err != nil {
		w.t.Fatal(err)
	}
}

// got lists the calls of a function by their data, in order.
func (w *world) got(function string) (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.calls {
		if c.function == function {
			all = append(all, c.data)
		}
	}
	return all
}

func (w *world) wait(enough func() bool) {
	w.t.Helper()
	limit := time.After(patience)
	for !enough() {
		select {
		case <-w.changed:
		case <-time.After(20 * time.Millisecond):
		case <-limit:
			w.mu.Lock()
			defer w.mu.Unlock()
			w.t.Fatalf("still waiting: calls %+v, letters %d, failed %q", w.calls, len(w.letters), w.failed)
		}
	}
}

// expect waits for the calls of a function, and for all events to be handled: then there is no further one.
func (w *world) expect(function string, want ...string) {
	w.t.Helper()
	w.wait(func() bool { return len(w.got(function)) >= len(want) })
	w.idle()
	got := w.got(function)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Errorf("%s got %q, want %q", function, got, want)
	}
}

func (w *world) idle() {
	w.t.Helper()
	w.wait(func() bool { return New(nil).Lag(w.t.Context(), w.trigger, w.bus) == 0 })
}

func to(function string) *event.Sink {
	return &event.Sink{Function: &event.Name{Namespace: "ns", Name: function}}
}

func topics(names ...string) map[string]event.TriggerInput {
	all := map[string]event.TriggerInput{}
	for _, n := range names {
		all[n] = event.TriggerInput{Topic: n}
	}
	return all
}

var quick = event.Policy{Attempts: 4, Initial: 5 * time.Millisecond, Max: 20 * time.Millisecond}
