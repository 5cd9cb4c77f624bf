package letters_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/bus/jetstream"
	"github.com/openfunction/ofn/internal/event/deliver"
	"github.com/openfunction/ofn/internal/event/deliver/letters"
)

// An event may become a dead letter again after its letter was deleted, and by every way that it came.
func TestNoLetterSwallowsAnother(t *testing.T) {
	s, ctx := letters.New(server(t, t.TempDir()), letters.Options{Part: 1000}), t.Context()
	put := func(l deliver.Letter, want int) string {
		t.Helper()
		if err := s.Put(ctx, l); err != nil {
			t.Fatal(err)
		}
		all, err := s.List(ctx, deliver.Filter{})
		if err != nil || len(all) != want {
			t.Fatalf("%d letters, %v, want %d", len(all), err, want)
		}
		return all[len(all)-1].ID
	}
	big := bytes.Repeat([]byte("x"), 2500)
	for range 3 {
		if err := s.Delete(ctx, put(letter("a", "1", big), 1)); err != nil {
			t.Fatal(err)
		}
	}
	id := put(letter("a", "1", big), 1)
	if l, err := s.Get(ctx, id); err != nil || !bytes.Equal(l.Event.Data, big) {
		t.Fatalf("%d bytes, %v", len(l.Event.Data), err)
	}
	one, two := letter("a", "2", nil), letter("a", "2", nil)
	one.Context, two.Context = map[string]string{"topic": "x"}, map[string]string{"topic": "y"}
	put(one, 2)
	put(two, 3)
	put(two, 3)
}

// The server takes headers of 64 KiB, and a letter must be kept whatever it says.
func TestLargeHeaders(t *testing.T) {
	s, ctx := letters.New(server(t, t.TempDir()), letters.Options{}), t.Context()
	l := letter("a", "1", []byte("data"))
	l.Event.Subject, l.Cause, l.Context = strings.Repeat("s", 70_000), strings.Repeat("c", 70_000), map[string]string{"k": strings.Repeat("v", 70_000)}
	for range 2 {
		if err := s.Put(ctx, l); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.List(ctx, deliver.Filter{Namespace: "a", From: l.From})
	if err != nil || len(all) != 1 || all[0].Event.ID != "1" {
		t.Fatalf("%d letters, %v", len(all), err)
	}
	got, err := s.Get(ctx, all[0].ID)
	if err != nil || got.ID != all[0].ID || got.Event.Subject != l.Event.Subject || string(got.Event.Data) != "data" || got.Context["k"] != l.Context["k"] || got.Sink.URI != l.Sink.URI {
		t.Fatalf("%v: %d %d %+v", err, len(got.Event.Subject), len(got.Context["k"]), got.Sink)
	}
}

// silent is a server that does not answer until it was mended.
type silent struct {
	*jetstream.Embedded
	healed int
}

type mute struct{ natsjs.JetStream }

func (mute) PublishMsg(context.Context, *nats.Msg, ...natsjs.PublishOpt) (*natsjs.PubAck, error) {
	return nil, nats.ErrTimeout
}

func (s *silent) JetStream(ctx context.Context) (natsjs.JetStream, error) {
	js, err := s.Embedded.JetStream(ctx)
	return mute{js}, err
}

func (s *silent) Heal(context.Context) error {
	s.healed++
	return nil
}

func TestSilentServerIsMended(t *testing.T) {
	server := &silent{Embedded: jetstream.NewEmbedded(jetstream.EmbeddedOptions{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})}
	defer func() { _ = server.Close() }()
	if err := letters.New(server, letters.Options{}).Put(t.Context(), letter("a", "1", nil)); !errors.Is(err, nats.ErrTimeout) || server.healed != 1 {
		t.Fatalf("%v, mended %d times", err, server.healed)
	}
}

// A deletion that was broken off, or whose answer was lost, is made again; what is gone already is no error.
func TestADeletionIsMadeAgain(t *testing.T) {
	e, ctx := server(t, t.TempDir()), t.Context()
	s := letters.New(e, letters.Options{Part: 1000})
	if err := s.Put(ctx, letter("a", "1", bytes.Repeat([]byte("x"), 2500))); err != nil {
		t.Fatal(err)
	}
	js, err := e.JetStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(ctx, "DEADLETTERS")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(ctx, 1); err != nil { // the first part
		t.Fatal(err)
	}
	all, err := s.List(ctx, deliver.Filter{})
	if err != nil || len(all) != 1 {
		t.Fatalf("%d letters, %v", len(all), err)
	}
	if err := s.Delete(ctx, all[0].ID); err != nil {
		t.Error(err)
	}
	if n, err := s.Count(ctx); n != 0 || err != nil {
		t.Errorf("%d letters are left, %v", n, err)
	}
}

// A large letter that the store has no room for leaves nothing behind that nobody could delete.
func TestALetterThatDoesNotFitLeavesNothing(t *testing.T) {
	e, ctx := server(t, t.TempDir()), t.Context()
	s := letters.New(e, letters.Options{Part: 1000, MaxBytes: 10_000})
	for range 2 {
		if err := s.Put(ctx, letter("a", "1", bytes.Repeat([]byte("x"), 20_000))); !errors.Is(err, bus.ErrFull) {
			t.Fatalf("a letter that does not fit: %v", err)
		}
		if err := s.Put(ctx, letter("a", "2", bytes.Repeat([]byte("y"), 5000))); err != nil {
			t.Fatalf("there is no room for another: %v", err)
		}
		all, err := s.List(ctx, deliver.Filter{})
		if err != nil || len(all) != 1 {
			t.Fatalf("%d letters, %v", len(all), err)
		}
		if err := s.Delete(ctx, all[0].ID); err != nil {
			t.Fatal(err)
		}
	}
}
