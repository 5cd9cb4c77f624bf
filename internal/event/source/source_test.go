package source_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"net/http"

	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/source"
)

var id = source.Identity{Namespace: "n s", Name: "e", Event: "v", Kind: "kafka"}

func TestMessage(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	plain := id.Message(map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "", "t/0/7", []byte(`{"a":1}`), at)
	if plain.ID != "t/0/7" || plain.Source != "/namespaces/n%20s/eventsources/e/v" || plain.Type != "io.openfunction.kafka" || plain.DataContentType != "application/json" ||
		!plain.Time.Equal(at) || plain.Extension("traceparent") == "" || string(plain.Data) != `{"a":1}` {
		t.Fatalf("%+v", plain)
	}
	own := id.Message(map[string]string{"ce_specversion": "1.0", "ce_id": "7", "ce_source": "/o", "ce_type": "mine"}, "text/plain", "t/0/7", []byte("x"), at)
	if own.ID != "7" || own.Source != "/o" || own.Type != "mine" || own.DataContentType != "text/plain" {
		t.Fatalf("%+v: a CloudEvent keeps its attributes", own)
	}
	broken := id.Message(map[string]string{"ce_specversion": "1.0", "content-type": "a\x00b"}, "", "1", []byte("\xff"), at)
	if broken.ID != "1" || broken.DataContentType != "application/octet-stream" || broken.Validate() != nil {
		t.Fatalf("%+v", broken)
	}
	if a, b := id.Make("", "", []byte("x"), at), id.Make("", "", []byte("x"), at); a.ID != b.ID || a.ID == id.Make("", "", []byte("y"), at).ID {
		t.Fatal("ids that are made must be those of time and payload")
	}
}

func TestWindowKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var emitted []string
		under, most := 0, 0
		w := source.NewWindow(t.Context(), 8, func(_ context.Context, e cloudevent.Event) error {
			mu.Lock()
			under++
			most = max(most, under)
			wait := time.Duration(100-len(emitted)) * time.Millisecond
			mu.Unlock()
			time.Sleep(wait) // later ones are faster
			mu.Lock()
			defer mu.Unlock()
			under--
			emitted = append(emitted, e.Extension(cloudevent.PartitionKey)+e.ID)
			return nil
		})
		var acked []string
		for i := range 30 {
			key := string(rune('a' + i%3))
			e := cloudevent.Event{ID: fmt.Sprintf("%02d", i), Extensions: map[string]string{cloudevent.PartitionKey: key}}
			if err := w.Add(e, func() { acked = append(acked, e.ID) }); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if len(acked) != 30 || !increasing(acked) || most != 3 {
			t.Fatalf("acknowledged %v, %d at once", acked, most)
		}
		for _, key := range []string{"a", "b", "c"} {
			var of []string
			for _, e := range emitted {
				if strings.HasPrefix(e, key) {
					of = append(of, e)
				}
			}
			if len(of) != 10 || !increasing(of) {
				t.Fatalf("key %s: %v", key, of)
			}
		}
	})
}

func increasing(s []string) bool {
	for i := 1; i < len(s); i++ {
		if s[i] <= s[i-1] {
			return false
		}
	}
	return true
}

func TestWindowAcknowledgesNothingAfterAFailure(t *testing.T) {
	wrong := errors.New("wrong")
	w := source.NewWindow(t.Context(), 4, func(_ context.Context, e cloudevent.Event) error {
		if e.ID == "2" {
			return wrong
		}
		return nil
	})
	var acked []string
	for i := range 10 {
		if err := w.Add(cloudevent.Event{ID: fmt.Sprint(i)}, func() { acked = append(acked, fmt.Sprint(i)) }); err != nil && !errors.Is(err, wrong) {
			t.Fatal(err)
		}
	}
	if err := w.Close(); !errors.Is(err, wrong) || !strings.HasPrefix("01", strings.Join(acked, "")) {
		t.Fatalf("%v, acknowledged %v", err, acked)
	}
}

func TestMux(t *testing.T) {
	var m source.Mux
	remove, err := m.Handle("/events/a", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202) }))
	if err != nil {
		t.Fatal(err)
	}
	var invalid source.Invalid
	for _, path := range []string{"/events/a", "events", "/x?y"} {
		if _, err := m.Handle(path, http.NotFoundHandler()); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for path, want := range map[string]int{"/events/a": 202, "/events/b": 404} {
		w := httptest.NewRecorder()
		m.ServeHTTP(w, httptest.NewRequest("POST", path, nil))
		if w.Code != want || m.Match(path) != (want == 202) {
			t.Errorf("%s: %d %v", path, w.Code, m.Match(path))
		}
	}
	remove()
	if m.Match("/events/a") {
		t.Error("it listens after remove")
	}
}

func TestState(t *testing.T) {
	s := source.State{Dir: t.TempDir() + "/new"}
	var got int
	if found, err := s.Load(id, &got); found || err != nil {
		t.Fatal(found, err)
	}
	for _, want := range []int{1, 2} {
		if err := s.Save(id, want); err != nil {
			t.Fatal(err)
		}
		if found, err := s.Load(id, &got); !found || err != nil || got != want {
			t.Fatal(found, err, got)
		}
	}
	for range 2 {
		if err := s.Forget(id); err != nil {
			t.Fatal(err)
		}
	}
	if found, _ := s.Load(id, &got); found {
		t.Fatal("it is remembered")
	}
}
