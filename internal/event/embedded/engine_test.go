package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/embedded"
	"github.com/openfunction/ofn/internal/event/source"
)

func TestSourceToBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, nil)
		defer w.close(t)
		if err := w.ApplySource(t.Context(), onBus); err != nil {
			t.Fatal(err)
		}
		w.feed.events <- plain
		if err := <-w.feed.result; err != nil {
			t.Fatal(err)
		}
		got := w.bus.messages()
		if len(got) != 1 || got[0].Topic != "ns-es-ev" || got[0].ID != plain.DedupeID() || got[0].Header["ce-id"] != "1" || len(got[0].Header["traceparent"]) != 55 {
			t.Fatalf("%+v", got)
		}
		if s := status(w); !s.Ready || s.Handled != 1 || s.PerSecond == 0 || s.LastEvent.IsZero() {
			t.Fatalf("%+v", s)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s := status(w); s.PerSecond != 0 || s.Handled != 1 {
			t.Fatalf("a rate of what is long gone: %+v", s)
		}
	})
}

// TestBusAway: nothing is acknowledged while the bus does not take it, and no dead letter comes of it.
func TestBusAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, nil)
		defer w.close(t)
		w.bus.fail(errors.New("away"))
		if err := w.ApplySource(t.Context(), onBus); err != nil {
			t.Fatal(err)
		}
		w.feed.events <- plain
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(w.feed.result) != 0 || len(w.dead.put) != 0 || status(w).Failed == 0 || !strings.Contains(status(w).LastError, "away") {
			t.Fatalf("%d results, %d letters, %+v", len(w.feed.result), len(w.dead.put), status(w))
		}
		w.bus.fail(nil)
		if err := <-w.feed.result; err != nil || len(w.bus.messages()) != 1 {
			t.Fatal(err)
		}
	})
}

func TestTooLargeForTheBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, nil)
		defer w.close(t)
		w.bus.fail(bus.ErrTooLarge)
		if err := w.ApplySource(t.Context(), onBus); err != nil {
			t.Fatal(err)
		}
		w.feed.events <- plain
		if err := <-w.feed.result; err != nil || len(w.dead.put) != 1 || status(w).DeadLetters != 1 {
			t.Fatalf("%v, %d letters, %+v", err, len(w.dead.put), status(w))
		}
	})
}

type answers func(*http.Request) int

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a(r), Header: http.Header{}, Body: http.NoBody}, nil
}

func TestSinkAndBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		w := start(t, func(o *embedded.Options) {
			o.Deliver.URIs = answers(func(*http.Request) int { calls++; return 500 })
		})
		defer w.close(t)
		s := onBus
		s.Sink, s.Retry = &event.Sink{URI: "http://x/"}, event.Policy{Attempts: 3}
		if err := w.ApplySource(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		w.feed.events <- plain
		if err := <-w.feed.result; err != nil || calls != 3 || len(w.bus.messages()) != 1 || len(w.dead.put) != 1 || w.dead.put[0].Sink.URI != "http://x/" {
			t.Fatalf("%v, %d calls, %d on the bus, letters %+v", err, calls, len(w.bus.messages()), w.dead.put)
		}
	})
}

// TestDrain: what is under way when a source is deleted, replaced or the engine closed may end.
func TestDrain(t *testing.T) {
	for what, end := range map[string]func(*testing.T, *world){
		"delete": func(t *testing.T, w *world) {
			if err := w.Delete(t.Context(), ref); err != nil {
				t.Error(err)
			}
		},
		"replace": func(t *testing.T, w *world) {
			s := onBus
			s.Spec = json.RawMessage(`{"other":1}`)
			if err := w.ApplySource(t.Context(), s); err != nil {
				t.Error(err)
			}
		},
		"close": func(t *testing.T, w *world) { w.close(t) },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, nil)
				w.bus.slow = 5 * time.Second
				if err := w.ApplySource(t.Context(), onBus); err != nil {
					t.Fatal(err)
				}
				w.feed.events <- plain
				synctest.Wait()
				end(t, w)
				if err := <-w.feed.result; err != nil || len(w.bus.messages()) != 1 {
					t.Fatalf("what was under way was cut off: %v", err)
				}
				w.close(t)
				if want := map[string]int{"delete": 1}[what]; w.feed.forgot != want {
					t.Fatalf("forgotten %d times, want %d", w.feed.forgot, want)
				}
				w.bus.mu.Lock()
				defer w.bus.mu.Unlock()
				if !w.bus.closed {
					t.Fatal("the bus is open")
				}
			})
		})
	}
}

func TestDrainEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, func(o *embedded.Options) { o.Drain = time.Second })
		w.bus.slow = time.Hour
		if err := w.ApplySource(t.Context(), onBus); err != nil {
			t.Fatal(err)
		}
		w.feed.events <- plain
		synctest.Wait()
		w.close(t)
		if err := <-w.feed.result; err == nil || len(w.bus.messages()) != 0 {
			t.Fatal("an event that is not safe was acknowledged")
		}
	})
}

func TestSupervision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, nil)
		defer w.close(t)
		ctx, cancel := context.WithCancel(t.Context())
		told := make(chan event.Ref, 100)
		var watching sync.WaitGroup
		watching.Go(func() { w.Watch(ctx, func(r event.Ref) { told <- r }) })
		synctest.Wait()
		for range 2 { // the second time nothing changes
			if err := w.ApplySource(t.Context(), onBus); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if !status(w).Ready || (<-told).Kind == "" {
			t.Fatalf("%+v", status(w))
		}
		w.feed.fail <- source.ErrDenied
		synctest.Wait()
		if s := status(w); s.Ready || s.Reason != "BadCredentials" {
			t.Fatalf("%+v", s)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := status(w); !s.Ready || w.feed.runs != 2 {
			t.Fatalf("it was not started again: %+v, %d runs", s, w.feed.runs)
		}
		bad := onBus
		bad.Spec = json.RawMessage(`{"broken":true}`)
		if err := w.ApplySource(t.Context(), bad); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := status(w); s.Ready || s.Reason != "Invalid" || s.Message != "broken: it is" {
			t.Fatalf("%+v", s)
		}
		if err := w.Delete(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		if _, ok := w.Status(ref); ok {
			t.Fatal("it has a status though it was deleted")
		}
		cancel()
		watching.Wait()
	})
}

func TestUnknownKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, nil)
		defer w.close(t)
		s := onBus
		s.Kind = "carrier-pigeon"
		if err := w.ApplySource(t.Context(), s); err == nil || !strings.Contains(err.Error(), "it has feed") {
			t.Error(err)
		}
		if err := w.ApplyBus(t.Context(), event.Bus{Name: name, Kind: "x"}); err == nil {
			t.Error("a bus of an unknown kind")
		}
		if err := w.ApplyTrigger(t.Context(), event.Trigger{}); err == nil {
			t.Error("a trigger without triggers")
		}
		if err := w.ApplyApp(t.Context(), event.App{}); err == nil {
			t.Error("an app without Dapr")
		}
	})
}

// triggers counts what runs, and handles one event when told.
type triggers struct {
	mu       sync.Mutex
	running  int
	runs     int
	forgot   []string
	on       []bus.Bus
	drained  []bus.Bus
	gone     map[string]bool
	draining time.Duration
}

func (g *triggers) Drain(_, _ context.Context, _ event.Trigger, env embedded.Env) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drained = append(g.drained, env.Bus)
	return nil
}

func (g *triggers) Sweep(_ context.Context, _ bus.Bus, gone func(event.Name) (bool, error)) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gone = map[string]bool{}
	for _, name := range []string{"runs", "exists", "gone"} {
		is, err := gone(event.Name{Namespace: "ns", Name: name})
		if err != nil {
			return err
		}
		g.gone[name] = is
	}
	return nil
}

func (g *triggers) Run(ctx, _ context.Context, _ event.Trigger, env embedded.Env) error {
	g.mu.Lock()
	g.running++
	g.runs++
	g.on = append(g.on, env.Bus)
	g.mu.Unlock()
	env.Connected()
	env.Handled()
	<-ctx.Done()
	time.Sleep(g.draining)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	return nil
}

func (g *triggers) Forget(_ context.Context, t event.Trigger, _ bus.Bus) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forgot = append(g.forgot, t.Name.Name)
	return nil
}

func (g *triggers) Lag(context.Context, event.Trigger, bus.Bus) int64 { return 7 }

// TestBusComesLate: while the platform starts, a bus of the same name but another namespace may be there first. What was
// accepted then must not be put on it, and what is on the right bus must be taken from there.
func TestBusComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, wrong := &triggers{}, &memory{}
		w := start(t, func(o *embedded.Options) {
			o.Triggers = g
			o.Buses["other"] = func(event.Bus) (bus.Bus, error) { return wrong, nil }
		})
		defer w.close(t)
		meant := event.Name{Namespace: "ns", Name: "default"}
		if err := w.ApplyBus(t.Context(), event.Bus{Name: event.Name{Name: "default"}, Kind: "other"}); err != nil {
			t.Fatal(err)
		}
		if err := w.ApplyTrigger(t.Context(), event.Trigger{Name: event.Name{Namespace: "ns", Name: "t"}, Bus: meant}); err != nil {
			t.Fatal(err)
		}
		published := make(chan error, 1)
		go func() { published <- w.Publish(context.Background(), meant, bus.Message{Topic: "a"}) }()
		synctest.Wait()
		if s, _ := w.Status(event.Ref{Kind: event.KindTrigger, Name: event.Name{Namespace: "ns", Name: "t"}}); s.LastError != "" || len(published) != 0 {
			t.Fatalf("%+v, %d published: not even the patience of a start", s, len(published))
		}
		if err := w.ApplyBus(t.Context(), event.Bus{Name: meant, Kind: "embedded"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // at once, without a pause
		if err := <-published; err != nil || len(w.bus.messages()) != 1 || len(wrong.messages()) != 0 {
			t.Fatalf("%v, %d on the right bus, %d on the wrong one", err, len(w.bus.messages()), len(wrong.messages()))
		}
		if g.runs != 1 || g.on[0] != bus.Bus(w.bus) {
			t.Fatalf("%d runs on %v", g.runs, g.on)
		}
	})
}

func TestTriggers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, second := &triggers{draining: time.Second}, &memory{}
		w := start(t, func(o *embedded.Options) {
			o.Triggers = g
			o.Buses["other"] = func(event.Bus) (bus.Bus, error) { return second, nil }
		})
		defer w.close(t)
		tr := event.Trigger{Name: event.Name{Namespace: "ns", Name: "t"}, Bus: event.Name{Namespace: "ns", Name: "b"}}
		r := event.Ref{Kind: event.KindTrigger, Name: tr.Name}
		if err := w.ApplyTrigger(t.Context(), tr); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if s, _ := w.Status(r); s.Ready || s.Reason != "NoBus" {
			t.Fatalf("%+v", s)
		}
		clusters := event.Bus{Name: event.Name{Namespace: "ns", Name: "b"}, Kind: "embedded"}
		if err := w.ApplyBus(t.Context(), clusters); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if s, _ := w.Status(r); !s.Ready || s.Handled != 1 || s.Lag != 7 || g.on[0] != bus.Bus(w.bus) {
			t.Fatalf("%+v", s)
		}
		clusters.Kind = "other" // the trigger moves to the new bus, and the old one is closed after it let go
		if err := w.ApplyBus(t.Context(), clusters); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if s, _ := w.Status(r); !s.Ready || g.running != 1 || g.runs != 2 || g.on[1] != bus.Bus(second) || !w.bus.closed {
			t.Fatalf("%+v, %d running, %d runs", s, g.running, g.runs)
		}
		if err := w.Delete(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if g.running != 0 || len(g.forgot) != 1 {
			t.Fatalf("%d running, forgot %v", g.running, g.forgot)
		}
	})
}
