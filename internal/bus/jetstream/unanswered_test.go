package jetstream

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/openfunction/ofn/internal/bus"
)

// A server that loses what it was given, as one of a cluster may when its leader changes, must not use up what the client lets wait.
func TestUnansweredEventsAreForgotten(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{Dir: t.TempDir()})
	defer func() { _ = e.Close() }()
	js, err := e.JetStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, NoAck: true}); err != nil {
		t.Fatal(err)
	}
	b := New(e, Options{Name: "ns/b", Stream: "S", Subject: "s"})
	b.wait = 100 * time.Millisecond
	defer func() { _ = b.Close() }()
	if err := b.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Publish(t.Context(), bus.Message{Topic: "t"}); err == nil {
		t.Fatal("an event that the server did not answer is published")
	}
	for end := time.Now().Add(time.Minute); b.js.PublishAsyncPending() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d events wait for an answer for ever", b.js.PublishAsyncPending())
		}
	}
}
