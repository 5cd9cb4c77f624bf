package run

import (
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/bus/jetstream"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/deliver"
	"github.com/openfunction/ofn/internal/event/embedded"
)

// sink is a function that is down until it is told otherwise.
type sink struct {
	mu  sync.Mutex
	up  bool
	got []string
}

func (s *sink) RoundTrip(r *http.Request) (*http.Response, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	code := http.StatusInternalServerError
	if s.up {
		code = http.StatusOK
		s.got = append(s.got, string(data))
	}
	return &http.Response{StatusCode: code, Body: http.NoBody, Header: http.Header{}}, nil
}

// TestBusIsDeclaredLater: a namespace declares its bus when events wait already on the one that was there without it. The trigger
// moves at once, and gets those as well, also when the platform ends in between.
func TestBusIsDeclaredLater(t *testing.T) {
	store := jetstream.NewEmbedded(jetstream.EmbeddedOptions{Dir: t.TempDir()})
	defer store.Close()
	f := &sink{}
	start := func() *embedded.Engine {
		e, err := embedded.New(embedded.Options{
			Log: slog.New(slog.DiscardHandler), Triggers: New(nil),
			Buses: map[string]func(event.Bus) (bus.Bus, error){"embedded": func(b event.Bus) (bus.Bus, error) {
				return jetstream.New(store, jetstream.Options{Name: b.String()}), nil
			}},
			Deliver: deliver.Options{Functions: f, HostOf: func(event.Name) string { return "f" }},
		})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	implied, own := event.Name{Name: "default"}, event.Name{Namespace: "ns", Name: "default"}
	tr := event.Trigger{
		Name: event.Name{Namespace: "ns", Name: "tr"}, Bus: implied, Inputs: topics("a"),
		Subscribers: []event.Subscriber{{Condition: "a", From: "all", Sink: to("f"), Retry: event.Policy{Attempts: 1000, Max: 100 * time.Millisecond}}},
	}
	apply := func(e *embedded.Engine, on event.Name) {
		t.Helper()
		tr.Bus = on
		if on == own {
			if err := e.ApplyBus(t.Context(), event.Bus{Name: own, Kind: "embedded"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.ApplyTrigger(t.Context(), tr); err != nil {
			t.Fatal(err)
		}
	}
	e := start()
	apply(e, implied)
	publish := func(e *embedded.Engine, on event.Name, data string) {
		t.Helper()
		if err := e.Publish(t.Context(), on, bus.Message{Topic: "a", ID: data, Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	publish(e, implied, "on the implied bus")
	ref := event.Ref{Kind: event.KindTrigger, Name: tr.Name}
	eventually(t, func() bool { s, _ := e.Status(ref); return s.Failed > 0 })
	apply(e, own)
	publish(e, own, "on its own")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = start()
	defer e.Close()
	f.mu.Lock()
	f.up = true
	f.mu.Unlock()
	apply(e, own)
	if _, release, err := e.Bus(implied); err != nil { // which the platform looks at when it starts
		t.Fatal(err)
	} else {
		release()
	}
	eventually(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		slices.Sort(f.got)
		return strings.Join(slices.Compact(slices.Clone(f.got)), ", ") == "on its own, on the implied bus"
	})
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come to that")
		}
	}
}
