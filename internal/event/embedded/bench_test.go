package embedded_test

import (
	"context"
	"log/slog"
	"strconv"
	"testing"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/bus/jetstream"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/embedded"
	"github.com/openfunction/ofn/internal/event/source"
)

// flood emits n events through a window, as a broker that keeps a place does.
type flood struct {
	n    int
	done chan error
}

func (f flood) Run(ctx context.Context, out source.Out) error {
	w := source.NewWindow(ctx, 256, out.Emit)
	data := make([]byte, 256)
	for i := range f.n {
		e := cloudevent.Event{ID: strconv.Itoa(i), Source: "/bench", Type: "t", DataContentType: "application/octet-stream", Data: data}
		if err := w.Add(e, func() {}); err != nil {
			break
		}
	}
	f.done <- w.Close()
	<-ctx.Done()
	return nil
}

// BenchmarkSourceToBus is one event from a source to the embedded bus, on disk.
func BenchmarkSourceToBus(b *testing.B) {
	server := jetstream.NewEmbedded(jetstream.EmbeddedOptions{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler)})
	defer func() { _ = server.Close() }()
	f := flood{b.N, make(chan error, 1)}
	e, err := embedded.New(embedded.Options{
		Log: slog.New(slog.DiscardHandler), State: source.State{Dir: b.TempDir()},
		Sources: map[string]source.New{"feed": func(source.Config) (source.Source, error) { return f, nil }},
		Buses: map[string]func(event.Bus) (bus.Bus, error){"embedded": func(x event.Bus) (bus.Bus, error) {
			return jetstream.New(server, jetstream.Options{Name: x.String()}), nil
		}},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	if err := e.ApplySource(b.Context(), onBus); err != nil {
		b.Fatal(err)
	}
	if err := <-f.done; err != nil {
		b.Fatal(err)
	}
}
