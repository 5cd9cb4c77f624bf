package jetstream

import (
	"context"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/bus"
)

// A stream that was made anew counts from 1 again: its events are not those that were handled under the same numbers.
func TestStreamMadeAnew(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{Dir: t.TempDir()})
	defer func() { _ = e.Close() }()
	b := New(e, Options{Name: "ns/b"})
	defer func() { _ = b.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got, ended := make(chan string, 10), make(chan error, 1)
	go func() {
		ended <- b.Consume(ctx, bus.Consumer{Name: "c", Topics: []string{"t"}, From: bus.From{All: true}}, func(_ context.Context, m bus.Stored) bus.Verdict {
			got <- string(m.Data)
			return bus.Verdict{}
		})
	}()
	next := func(want string) {
		t.Helper()
		if _, err := b.Publish(ctx, bus.Message{Topic: "t", Data: []byte(want)}); err != nil {
			t.Fatal(err)
		}
		select {
		case text := <-got:
			if text != want {
				t.Fatalf("got %q, want %q", text, want)
			}
		case <-ctx.Done():
			t.Fatalf("%q was swallowed", want)
		}
	}
	next("before")
	js, err := b.open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(ctx, b.stream); err != nil {
		t.Fatal(err)
	}
	next("after")
	cancel()
	<-ended
}
