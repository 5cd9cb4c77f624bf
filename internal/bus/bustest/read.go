package bustest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/openfunction/ofn/internal/bus"
)

func reads(t *testing.T, f Fixture) {
	b := open(t, f)
	publishN(t, b, "a", 3)
	third := publish(t, b, bus.Message{Topic: "b", Data: []byte("b 0"), Header: map[string]string{"ce-id": "1"}})
	publishN(t, b, "a", 1)
	for name, c := range map[string]struct {
		topics []string
		from   bus.From
		want   []string
	}{
		"all":           {nil, bus.From{All: true}, []string{"a 0", "a 1", "a 2", "b 0", "a 0"}},
		"star":          {[]string{"*"}, bus.From{All: true}, []string{"a 0", "a 1", "a 2", "b 0", "a 0"}},
		"one topic":     {[]string{"b"}, bus.From{All: true}, []string{"b 0"}},
		"no such topic": {[]string{"c"}, bus.From{All: true}, nil},
		"a sequence":    {nil, bus.From{Sequence: third.Sequence}, []string{"b 0", "a 0"}},
		"now":           {nil, bus.From{}, nil},
	} {
		var got []string
		err := b.Read(t.Context(), c.topics, c.from, false, func(m bus.Stored) error {
			got = append(got, string(m.Data))
			return nil
		})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q %v, want %q", name, got, err, c.want)
		}
	}
	enough := errors.New("enough")
	if err := b.Read(t.Context(), nil, bus.From{All: true}, false, func(bus.Stored) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("ended by the reader: %v", err)
	}
	if err := open(t, f).Read(t.Context(), nil, bus.From{All: true}, false, func(bus.Stored) error { return enough }); err != nil {
		t.Errorf("an empty bus: %v", err)
	}
}

func follows(t *testing.T, f Fixture) {
	b := open(t, f)
	publishN(t, b, "a", 2)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got, ended := make(chan string, 16), make(chan error, 1)
	go func() {
		ended <- b.Read(ctx, []string{"a"}, bus.From{All: true}, true, func(m bus.Stored) error {
			got <- string(m.Data)
			return nil
		})
	}()
	for _, want := range []string{"a 0", "a 1"} {
		if d := <-got; d != want {
			t.Errorf("read %q, want %q", d, want)
		}
	}
	publish(t, b, bus.Message{Topic: "a", Data: []byte("live")})
	if d := <-got; d != "live" {
		t.Errorf("read %q", d)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func tooLarge(t *testing.T, f Fixture) {
	b := open(t, f)
	if _, err := b.Publish(t.Context(), bus.Message{Topic: "t", Data: make([]byte, 32<<20)}); !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("32 MiB: %v", err)
	}
	publish(t, b, bus.Message{Topic: "t", Data: make([]byte, 512<<10)})
}
