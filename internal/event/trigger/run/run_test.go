package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

func TestEverySubscriberGetsWhatItAsksFor(t *testing.T) {
	w := newWorld(t, event.Trigger{
		Inputs: map[string]event.TriggerInput{"a": {Topic: "a"}, "big": {Topic: "a", Filter: "type = 'type.a' AND EXISTS id"}, "none": {Topic: "a", Filter: "type = 'other'"}},
		Subscribers: []event.Subscriber{
			{Condition: "a", Sink: to("one")}, {Condition: "a", Sink: to("two")}, {Condition: "a && data.n > 1", Sink: to("large")},
			{Condition: "none", Sink: to("never")}, {Condition: "big", Sink: to("big")}, {Filter: "id LIKE '%3%'", Sink: to("filtered")},
			{Condition: "a", Sink: to("made"), Transform: json.RawMessage(`{"json": {"double": "${data.n * 2.0}"}, "attributes": {"type": "'made'"}}`)},
		},
	})
	w.start()
	for i := 1; i <= 3; i++ {
		w.publish("a", fmt.Sprintf(`{"n":%d}`, i))
	}
	w.publish("unrelated", `{}`)
	all := []string{`{"n":1}`, `{"n":2}`, `{"n":3}`}
	w.expect("one", all...)
	w.expect("two", all...)
	w.expect("big", all...)
	w.expect("large", all[1:]...)
	w.expect("filtered", all[2:]...)
	w.expect("made", `{"double":2}`, `{"double":4}`, `{"double":6}`)
	w.expect("never")
}

func TestARetryConcernsItsSubscriberOnly(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a"), Subscribers: []event.Subscriber{
		{Condition: "a", Sink: to("good"), Retry: quick}, {Condition: "a", Sink: to("flaky"), Retry: quick}, {Condition: "a", Sink: to("bad"), Retry: quick},
		{Condition: "a", Sink: to("refuses"), Retry: quick},
	}})
	tries := map[call]int{}
	w.answer = func(c call) int {
		tries[c]++
		switch {
		case c.function == "flaky" && tries[c] < 3, c.function == "bad":
			return 503
		case c.function == "refuses":
			return 400
		}
		return 200
	}
	w.start()
	w.publish("a", "1")
	w.publish("a", "2")
	w.expect("good", "1", "2")
	w.expect("flaky", "1", "1", "1", "2", "2", "2")
	w.expect("bad", "1", "1", "1", "1", "2", "2", "2", "2")
	w.expect("refuses", "1", "2")
	w.wait(func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.letters) >= 4 })
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.letters {
		if want := map[string]int{"bad": 4, "refuses": 1}[l.Sink.Function.Name]; l.Attempts != want || l.From.Name.Name != "tr" || l.Part != "a" || len(l.Event.Data) != 1 {
			t.Errorf("letter %+v", l)
		}
	}
	if len(w.letters) != 4 {
		t.Errorf("%d letters", len(w.letters))
	}
}

func TestInputsStayTrueOverRestarts(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a", "b", "c"), Subscribers: []event.Subscriber{
		{Condition: "a && b", Sink: to("both")}, {Condition: "a", Sink: to("onlya")}, {Condition: "c && !b", Sink: to("notb")},
	}})
	w.start()
	w.publish("c", "1")
	w.expect("notb", "1")
	w.publish("a", "2")
	w.expect("onlya", "2")
	w.end()
	w.start()
	w.publish("b", "3") // while a is hot
	w.expect("both", "3")
	w.publish("c", "4") // fires what is true, as OpenFunction does
	w.expect("both", "3", "4")
	w.expect("onlya", "2", "3", "4")
	w.expect("notb", "1", "2")
}

func TestCorrelationOverRestarts(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("order", "payment"), Subscribers: []event.Subscriber{
		{Condition: "order && payment", Sink: to("ship"), Correlate: &event.Correlation{Key: "data.id", Window: time.Hour}, Retry: quick,
			Transform: json.RawMessage(`{"data": "data.order.data.id + '/' + data.payment.data.by"}`)},
	}})
	fails := 2
	w.answer = func(call) int {
		if fails--; fails >= 0 {
			return 503
		}
		return 200
	}
	w.start()
	w.publish("order", `{"id":"x"}`)
	w.publish("order", `{"id":"y"}`)
	w.publish("payment", `{"id":"y","by":"card"}`)
	w.wait(func() bool { return len(w.got("ship")) == 3 })
	w.end()
	w.start()
	w.publish("payment", `{"id":"x","by":"cash"}`)
	w.expect("ship", `"x/cash"`, `"y/card"`, `"y/card"`, `"y/card"`)
}

func TestCorrelationThatIsNeverComplete(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a", "b"), Subscribers: []event.Subscriber{
		{Sink: to("f"), Correlate: &event.Correlation{Window: 50 * time.Millisecond}},
	}})
	w.start()
	w.publish("a", "1")
	w.idle()
	w.expect("f")
}

func TestSubscribersKeepTheirPlaces(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a"), Subscribers: []event.Subscriber{{Condition: "a", Sink: to("one")}, {Condition: "a", Sink: to("two")}}})
	w.start()
	w.publish("a", "1")
	w.expect("one", "1")
	w.expect("two", "1")
	w.end()
	gone := w.trigger
	w.publish("a", "2")
	w.trigger.Subscribers = []event.Subscriber{{Condition: "a && true", Sink: to("two")}, {Sink: to("three"), From: "all"}, {Sink: to("four")}}
	w.start()
	w.publish("a", "3")
	w.expect("two", "1", "2", "3")
	w.expect("three", "1", "2", "3")
	w.expect("four", "3")
	w.expect("one", "1")
	names, err := w.bus.(bus.Lister).Consumers(t.Context())
	if err != nil || len(names) != 3 || slices.Contains(names, consumers(gone)[0]) {
		t.Errorf("consumers %q %v", names, err)
	}
	w.end()
	if err := New(nil).Forget(t.Context(), w.trigger, w.bus); err != nil {
		t.Fatal(err)
	}
	if names, err = w.bus.(bus.Lister).Consumers(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("after a delete: %q %v", names, err)
	}
}

// TestAChangedSinkGoesOn: who corrects the address of a sink wants what could not be delivered to the wrong one.
func TestAChangedSinkGoesOn(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a"), Subscribers: []event.Subscriber{{Condition: "a", Sink: to("wrong"), Retry: event.Policy{Attempts: 1000}}, {Condition: "a", Sink: to("other")}}})
	tried := make(chan struct{})
	once := sync.OnceFunc(func() { close(tried) })
	w.answer = func(c call) int {
		if c.function == "wrong" && c.data == "2" {
			once()
			return 503
		}
		return 200
	}
	w.start()
	w.publish("a", "1")
	w.expect("wrong", "1")
	w.publish("a", "2")
	<-tried
	w.end()
	w.publish("a", "3")
	w.trigger.Subscribers[0].Sink = to("right")
	w.start()
	w.publish("a", "4")
	w.expect("right", "2", "3", "4")
	w.expect("other", "1", "2", "3", "4")
	w.end()
	w.start() // and it has a place of its own now
	w.publish("a", "5")
	w.expect("right", "2", "3", "4", "5")
}

func TestWhatIsNoCloudEventBecomesOne(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a"), Subscribers: []event.Subscriber{{Condition: "a", Sink: to("f")}}})
	w.start()
	for _, h := range []map[string]string{nil, {"ce-specversion": "1.0", "ce-id": "", "ce-type": "t"}, {"ce-specversion": "9"}} {
		if _, err := w.bus.Publish(t.Context(), bus.Message{Topic: "a", Data: []byte("raw"), Header: h}); err != nil {
			t.Fatal(err)
		}
	}
	w.expect("f", "raw", "raw", "raw")
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.calls {
		if c.id == "" || c.typ != "io.openfunction.message" {
			t.Errorf("%+v", c)
		}
	}
}

func TestWhatCannotBeEvaluatedIsNotDelivered(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a"), Subscribers: []event.Subscriber{
		{Condition: "data.gone > 1", Sink: to("f")}, {Filter: "gone = 1", Sink: to("g")},
		{Sink: to("h"), Transform: json.RawMessage(`{"data": "data.gone"}`)},
	}})
	w.start()
	w.publish("a", "{}")
	w.wait(func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.letters) == 1 && len(w.failed) == 2 })
	w.expect("f")
	w.expect("g")
	w.expect("h")
}
