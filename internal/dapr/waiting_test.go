package dapr_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/dapr"
	"github.com/openfunction/ofn/internal/event"
)

func TestEventsWaitForScaledToZero(t *testing.T) {
	p := newPlatform(t)
	p.component(component("bus", "pubsub.in-memory"))
	p.app(input("fn", "orders"))
	p.ready(event.KindApp, "fn")
	p.serve(name("publisher")).must("POST", "/v1.0/publish/bus/orders", "hi", "Content-Type", "text/plain")
	calls := p.httpApp("fn-v1", nil)
	receive(t, calls, "the event, once there is a copy")
}

func TestUnreachableIsNoAttempt(t *testing.T) {
	var failing atomic.Bool
	failing.Store(true)
	var p *platform
	refuse := make(chan struct{}, 1000)
	p = newPlatform(t, func(o *dapr.Options) {
		inner := o.Caller
		o.Caller = callerFunc(func(ctx context.Context, ns, revision string, use func(context.Context, string, func(context.Context) (net.Conn, error)) error) error {
			if failing.Load() {
				refuse <- struct{}{}
				return errFixture
			}
			return inner.Call(ctx, ns, revision, use)
		})
	})
	p.component(component("bus", "pubsub.in-memory"))
	calls := p.httpApp("fn-v1", nil)
	p.app(input("fn", "orders"))
	p.ready(event.KindApp, "fn")
	p.serve(name("publisher")).must("POST", "/v1.0/publish/bus/orders", "hi", "Content-Type", "text/plain")
	for range 6 { // twice as often as the policy has attempts
		receive(t, refuse, "a call that reaches no copy")
	}
	failing.Store(false)
	receive(t, calls, "the event")
	if len(p.letters) > 0 {
		t.Errorf("it was given up: %+v", p.letter())
	}
}

type callerFunc func(ctx context.Context, ns, revision string, use func(context.Context, string, func(context.Context) (net.Conn, error)) error) error

func (f callerFunc) Call(ctx context.Context, ns, revision string, use func(context.Context, string, func(context.Context) (net.Conn, error)) error) error {
	return f(ctx, ns, revision, use)
}

func TestAnswerAfterDeadline(t *testing.T) {
	var n atomic.Int32
	hang := make(chan struct{})
	defer close(hang)
	p := newPlatform(t)
	p.component(component("bus", "pubsub.in-memory"))
	calls := p.httpApp("fn-v1", func(g got) (int, string) {
		if g.path == "/dapr/subscribe" {
			return 404, ""
		}
		if n.Add(1) == 1 {
			<-hang
		}
		return 200, ""
	})
	a := input("fn", "orders")
	a.Timeout = 200 * time.Millisecond
	p.app(a)
	p.ready(event.KindApp, "fn")
	p.serve(name("publisher")).must("POST", "/v1.0/publish/bus/orders", "hi", "Content-Type", "text/plain")
	receive(t, calls, "the first attempt")
	receive(t, calls, "the second attempt")
	s := p.until(event.KindApp, "fn", func(s event.Status) bool { return s.Handled == 1 })
	if s.Failed != 1 || !strings.Contains(s.LastError, "did not answer within 200ms") {
		t.Errorf("%+v", s)
	}
}

func TestInvalidEvents(t *testing.T) {
	p, calls, _ := withBus(t, nil)
	bus, err := p.Acquire(t.Context(), name("fn"), "bus")
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Release()
	publish(t, bus.PubSub, "orders", "not json")
	if l := p.letter(); !strings.Contains(l.Cause, "rawPayload") || string(l.Data) != "not json" || l.Attempts != 0 {
		t.Errorf("%+v", l)
	}
	publish(t, bus.PubSub, "orders", `{"specversion":"1.0","id":"1","source":"s","type":"t","expiration":"2001-01-01T00:00:00Z"}`)
	publish(t, bus.PubSub, "orders", `{"specversion":"1.0","id":"2","source":"s","type":"t"}`)
	if g := receive(t, calls, "the event that has not expired"); !strings.Contains(string(g.body), `"id":"2"`) {
		t.Errorf("%s", g.body)
	}
}

func TestRawPayload(t *testing.T) {
	p := newPlatform(t)
	p.component(component("bus", "pubsub.in-memory"))
	calls := p.httpApp("fn-v1", nil)
	a := input("fn", "orders")
	a.Inputs[0].Metadata = map[string]string{"rawPayload": "true"}
	p.app(a)
	p.ready(event.KindApp, "fn")
	p.serve(name("publisher")).must("POST", "/v1.0/publish/bus/orders?metadata.rawPayload=true", "\xff\x00", "Content-Type", "application/octet-stream")
	if ev := receive(t, calls, "the event").event(t); ev["data_base64"] != "/wA=" || ev["datacontenttype"] != "application/octet-stream" {
		t.Errorf("%v", ev)
	}
}

func TestBindings(t *testing.T) {
	p := newPlatform(t)
	calls := p.httpApp("fn-v1", nil)
	c := p.grpcApp("grpcfn-v1", &callback{})
	tick := component("tick", "bindings.cron", "schedule", "@every 1s")
	for _, n := range []string{"fn", "grpcfn"} {
		p.app(event.App{Name: name(n), Components: []event.Component{tick}, Inputs: []event.Input{{Name: "in", Component: "tick", Type: "bindings.cron"}}})
	}
	g := receive(t, calls, "a tick over HTTP")
	if g.path != "/tick" || g.header.Get("readTimeUTC") == "" {
		t.Errorf("%+v", g)
	}
	if in := receive(t, c.bindings, "a tick over gRPC"); in.GetName() != "tick" || in.GetMetadata()["readTimeUTC"] == "" {
		t.Errorf("%v", in)
	}
}
