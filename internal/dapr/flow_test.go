package dapr_test

import (
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/event"
)

// A function's status tells what passed through each of its components, in and out.
func TestFlowByComponent(t *testing.T) {
	p, calls, _ := withBus(t, nil)
	api := p.serve(name("fn")) // the function's own
	api.must("POST", "/v1.0/publish/bus/orders", "one", "Content-Type", "text/plain")
	api.must("POST", "/v1.0/publish/bus/elsewhere", "two", "Content-Type", "text/plain")
	receive(t, calls, "the event")
	part := func(kind event.Kind, component string, handled int64) {
		t.Helper()
		ref := event.Ref{Kind: kind, Name: name("fn"), Event: component}
		var s event.Status
		for end := time.Now().Add(patience); s.Handled != handled || s.LastEvent.IsZero() || !s.Ready; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s %s stays at %+v, want %d handled", kind, component, s, handled)
			}
			s, _ = p.Status(ref)
		}
	}
	part(event.KindInput, "bus", 1)
	part(event.KindOutput, "bus", 2)
	if _, known := p.Status(event.Ref{Kind: event.KindInput, Name: name("fn"), Event: "nothing"}); known {
		t.Error("an input is known that is none")
	}
	refs := map[event.Ref]bool{}
	for _, ref := range p.Refs() {
		refs[ref] = true
	}
	for _, want := range []event.Ref{{Kind: event.KindComponent, Name: name("bus")}, {Kind: event.KindApp, Name: name("fn")},
		{Kind: event.KindInput, Name: name("fn"), Event: "bus"}, {Kind: event.KindOutput, Name: name("fn"), Event: "bus"}} {
		if !refs[want] {
			t.Errorf("%+v is missing in %+v", want, refs)
		}
	}
}
