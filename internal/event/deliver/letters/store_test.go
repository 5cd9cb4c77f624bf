package letters_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/bus/jetstream"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/deliver"
	"github.com/openfunction/ofn/internal/event/deliver/letters"
)

func letter(namespace, id string, data []byte) deliver.Letter {
	return deliver.Letter{
		From: event.Ref{Kind: event.KindTrigger, Name: event.Name{Namespace: namespace, Name: "t"}}, Part: "a && b", Attempts: 3, Code: 500, Cause: "it\nfailed",
		Event: cloudevent.Event{ID: id, Source: "/s", Type: "t", DataContentType: "text/plain", Data: data, Extensions: map[string]string{"x": "ü"}},
		Sink:  &event.Sink{URI: "http://x/"}, Accepted: time.Unix(1, 0).UTC(), Last: time.Unix(2, 0).UTC(),
	}
}

func server(t *testing.T, dir string) *jetstream.Embedded {
	t.Helper()
	e := jetstream.NewEmbedded(jetstream.EmbeddedOptions{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func TestStore(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	e := server(t, dir)
	s := letters.New(e, letters.Options{})
	big := bytes.Repeat([]byte("0123456789"), 1<<20) // more than one message takes
	for i, l := range []deliver.Letter{letter("a", "1", []byte("one")), letter("b.c", "2", []byte("two")), letter("a", "3", big), letter("a", "1", []byte("one"))} {
		if err := s.Put(ctx, l); err != nil {
			t.Fatalf("letter %d: %v", i, err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	s = letters.New(server(t, dir), letters.Options{}) // what comes now was on disk
	all, err := s.List(ctx, deliver.Filter{})
	if err != nil || len(all) != 3 {
		t.Fatalf("%d letters, %v: one was put twice", len(all), err)
	}
	if n, err := s.Count(ctx); err != nil || n != 3 {
		t.Fatalf("%d letters are counted, %v", n, err)
	}
	if got, err := s.List(ctx, deliver.Filter{Namespace: "a", After: all[0].ID}); err != nil || len(got) != 1 || got[0].Event.ID != "3" {
		t.Fatalf("%+v %v", got, err)
	}
	if got, err := s.List(ctx, deliver.Filter{Namespace: "b.c", From: event.Ref{Kind: event.KindSource}}); err != nil || len(got) != 0 {
		t.Fatalf("%+v %v", got, err)
	}
	if got, err := s.List(ctx, deliver.Filter{Limit: 2}); err != nil || len(got) != 2 {
		t.Fatalf("%d %v", len(got), err)
	}
	one, err := s.Get(ctx, all[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	want := letter("a", "1", []byte("one"))
	want.ID = all[0].ID
	if fmt.Sprintf("%+v %s", one, one.Sink.URI) != fmt.Sprintf("%+v %s", with(want, one.Sink), want.Sink.URI) {
		t.Fatalf("\n got %+v\nwant %+v", one, want)
	}
	for _, l := range all {
		full, err := s.Get(ctx, l.ID)
		if err != nil || full.Event.ID == "3" && !bytes.Equal(full.Event.Data, big) {
			t.Fatalf("letter %s: %v, %d bytes", l.ID, err, len(full.Event.Data))
		}
		if err := s.Delete(ctx, l.ID); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(ctx, l.ID); !errors.Is(err, deliver.ErrNoLetter) {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"", "x", "0", "-1", "4", "99999"} {
		if _, err := s.Get(ctx, id); !errors.Is(err, deliver.ErrNoLetter) {
			t.Errorf("letter %q: %v", id, err)
		}
	}
}

func with(l deliver.Letter, sink *event.Sink) deliver.Letter {
	l.Sink = sink
	return l
}

func TestFullRefuses(t *testing.T) {
	s := letters.New(server(t, t.TempDir()), letters.Options{MaxBytes: 64 << 10})
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		err = s.Put(t.Context(), letter("a", fmt.Sprint(n), make([]byte, 8<<10)))
	}
	if !errors.Is(err, bus.ErrFull) {
		t.Fatalf("after %d letters: %v, want ErrFull", n, err)
	}
	all, err := s.List(t.Context(), deliver.Filter{})
	if err != nil || len(all) != n-1 || all[0].Event.ID != "0" {
		t.Fatalf("%d letters of %d, %v: none may make room for another", len(all), n-1, err)
	}
}
