package dapr_test

import (
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/test/servers"
)

func TestBrokerDownAtStart(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real Redis")
	}
	redis := servers.Redis(t)
	redis.Kill()
	p := newPlatform(t)
	p.component(component("bus", "pubsub.redis", "redisHost", redis.Addr))
	calls := p.httpApp("fn-v1", nil)
	p.app(event.App{Name: name("fn"), Inputs: []event.Input{{Name: "in", Component: "bus", Type: "pubsub.redis", Topic: "orders"}}})
	p.until(event.KindComponent, "bus", func(s event.Status) bool { return !s.Ready && s.Message != "connecting" })
	redis.Restart()
	p.ready(event.KindComponent, "bus")
	p.ready(event.KindApp, "fn")
	p.serve(name("fn")).must("POST", "/v1.0/publish/bus/orders", data(1), "Content-Type", "application/json")
	receive(t, calls, "the event")
}

// Another platform goes on where the one before it ended: what that had not finished comes again, what it had does not.
func TestPlatformStartsAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real brokers")
	}
	for _, b := range brokers {
		if b.typ != "pubsub.jetstream" && b.typ != "pubsub.redis" {
			continue
		}
		t.Run(b.typ, func(t *testing.T) {
			server := pool.Get(t, b.start)
			if b.prepare != nil {
				b.prepare(t, server, "again")
			}
			hang := make(chan struct{})
			platform := func() (*platform, chan got) {
				p := newPlatform(t)
				p.component(component("bus", b.typ, b.metadata(server)...))
				calls := p.httpApp("fn-v1", func(g got) (int, string) {
					if strings.Contains(string(g.body), data(1)) {
						<-hang
					}
					return 200, ""
				})
				p.app(event.App{Name: name("fn"), Timeout: 100 * time.Millisecond, Retry: event.Policy{Attempts: 1000, Initial: time.Millisecond, Max: 10 * time.Millisecond},
					Inputs: []event.Input{{Name: "in", Component: "bus", Type: b.typ, Topic: "again"}}})
				p.ready(event.KindApp, "fn")
				return p, calls
			}
			first, calls := platform()
			api := first.serve(name("fn"))
			api.must("POST", "/v1.0/publish/bus/again", data(0), "Content-Type", "application/json")
			receive(t, calls, "the first event")
			first.until(event.KindApp, "fn", func(s event.Status) bool { return s.Handled == 1 })
			api.must("POST", "/v1.0/publish/bus/again", data(1), "Content-Type", "application/json")
			receive(t, calls, "the event that hangs")
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			close(hang)
			second, calls := platform()
			if g := receive(t, calls, "the event that was not finished"); !strings.Contains(string(g.body), data(1)) {
				t.Errorf("first came %s", g.body)
			}
			second.until(event.KindApp, "fn", func(s event.Status) bool { return s.Handled == 1 })
		})
	}
}
