package dapr_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/openfunction/ofn/internal/event"
)

// A dead letter goes back by the input that it came by, once its function is mended, and stays a dead letter until then.
func TestRedrive(t *testing.T) {
	var mended atomic.Bool
	p, calls, api := withBus(t, func(g got) (int, string) {
		if g.path == "/dapr/subscribe" {
			return 404, ""
		}
		if !mended.Load() {
			return 500, "not yet"
		}
		return 200, ""
	})
	api.must("POST", "/v1.0/publish/bus/orders", "precious", "Content-Type", "text/plain")
	l := p.letter()
	for range l.Attempts {
		receive(t, calls, "an attempt")
	}
	if err := p.Redrive(t.Context(), l); err == nil || !strings.Contains(err.Error(), "not yet") {
		t.Errorf("a function that still fails took it: %v", err)
	}
	receive(t, calls, "the attempt that failed again")
	mended.Store(true)
	if err := p.Redrive(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if g := receive(t, calls, "the event again"); !strings.Contains(string(g.body), "precious") {
		t.Errorf("got %s", g.body)
	}
	for name, change := range map[string]func(*event.Name, *string){
		"another topic":           func(_ *event.Name, topic *string) { *topic = "none" },
		"a function that is gone": func(n *event.Name, _ *string) { n.Name = "gone" },
	} {
		other := l
		change(&other.App, &other.Topic)
		if err := p.Redrive(t.Context(), other); err == nil {
			t.Errorf("%s took it", name)
		}
	}
}
