package dapr_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/test/servers"
)

var pool servers.Pool

func TestMain(m *testing.M) { os.Exit(pool.Run(m)) }

// stream makes a JetStream stream of subjects on a server.
func stream(t *testing.T, url, name string, subjects ...string) {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: subjects}); err != nil {
		t.Fatal(err)
	}
}

// broker is one that events go through, as a pub/sub component.
type broker struct {
	typ      string
	start    func(servers.T, ...servers.Option) *servers.Server
	metadata func(s *servers.Server) []string
	prepare  func(t *testing.T, s *servers.Server, topic string)
	mortal   bool // keeps what it has acknowledged over a kill
}

var brokers = []broker{
	{"pubsub.redis", servers.Redis, func(s *servers.Server) []string {
		return []string{"redisHost", s.Addr, "processingTimeout", "2000", "redeliverInterval", "1000"}
	}, nil, true},
	{"pubsub.mqtt3", servers.Mosquitto, func(s *servers.Server) []string { return []string{"url", s.URL, "qos", "1"} }, nil, false},
	{"pubsub.jetstream", servers.NATS, func(s *servers.Server) []string { return []string{"natsURL", s.URL, "streamName", "S"} },
		func(t *testing.T, s *servers.Server, topic string) { stream(t, s.URL, "S", topic) }, true},
	{"pubsub.rabbitmq", servers.RabbitMQ, func(s *servers.Server) []string {
		return []string{"connectionString", s.URL, "durable", "true", "deliveryMode", "2", "publisherConfirm", "true", "reconnectWait", "500ms"}
	}, nil, false}, // it would survive a kill, but takes half a minute to start again
	{"pubsub.kafka", servers.Kafka, func(s *servers.Server) []string {
		return []string{"brokers", s.Addr, "authType", "none", "initialOffset", "oldest"}
	}, nil, true},
}

// tally is a function that remembers which events it handled well, and fails the first attempt of each third.
type tally struct {
	mu      sync.Mutex
	tried   map[int]int
	handled map[int]int
}

func (c *tally) answer(g got) (int, string) {
	if g.path == "/dapr/subscribe" {
		return 404, ""
	}
	var ev struct {
		Data struct{ N int }
	}
	if err := json.Unmarshal(g.body, &ev); err != nil {
		return 400, err.Error()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := ev.Data.N
	c.tried[n]++
	if n%3 == 0 && c.tried[n] == 1 {
		return 500, "first"
	}
	c.handled[n]++
	return 200, ""
}

func (c *tally) await(t *testing.T, n int) {
	t.Helper()
	deadline := time.Now().Add(2 * patience)
	for {
		c.mu.Lock()
		var missing []int
		for i := range n {
			if c.handled[i] == 0 {
				missing = append(missing, i)
			}
		}
		c.mu.Unlock()
		if len(missing) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("of %d events these were not handled: %v", n, missing)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// soundDriver skips what the race detector stops although it is not ours.
func soundDriver(t *testing.T, kind string) {
	t.Helper()
	if raceDetector && (strings.Contains(kind, "kafka") || strings.Contains(kind, "mqtt")) {
		t.Skipf("the driver of %s races with itself; tested without the race detector", kind)
	}
}

func TestBrokers(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real brokers")
	}
	for _, b := range brokers {
		t.Run(b.typ, func(t *testing.T) {
			t.Parallel()
			soundDriver(t, b.typ)
			server := pool.Get(t, b.start)
			if b.prepare != nil {
				b.prepare(t, server, "orders")
			}
			p := newPlatform(t)
			p.component(component("bus", b.typ, b.metadata(server)...))
			p.ready(event.KindComponent, "bus")
			c := &tally{tried: map[int]int{}, handled: map[int]int{}}
			p.httpApp("fn-v1", c.answer)
			a := event.App{Name: name("fn"), Inputs: []event.Input{{Name: "in", Component: "bus", Type: b.typ, Topic: "orders"}}}
			p.app(a)
			p.ready(event.KindApp, "fn")
			api := p.serve(name("publisher"))
			n := 0
			send := func(count int) {
				for range count {
					deadline := time.Now().Add(patience)
					for {
						code, body, _ := api.http("POST", "/v1.0/publish/bus/orders", data(n), "Content-Type", "application/json")
						if code == http.StatusNoContent {
							break
						}
						if time.Now().After(deadline) {
							t.Fatalf("publishing event %d: %d %s", n, code, body)
						}
						time.Sleep(100 * time.Millisecond)
					}
					n++
				}
			}
			send(20)
			c.await(t, n)
			if b.mortal {
				send(10)
				server.Kill()
				server.Restart()
				send(10)
				c.await(t, n)
			}
			if len(p.letters) > 0 {
				t.Errorf("a dead letter: %+v", p.letter())
			}
		})
	}
}

func TestBindingsOfBrokers(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real brokers")
	}
	for _, b := range []struct {
		typ      string
		start    func(servers.T, ...servers.Option) *servers.Server
		metadata func(s *servers.Server) []string
	}{
		{"bindings.mqtt", servers.Mosquitto, func(s *servers.Server) []string { return []string{"url", s.URL, "topic", "b", "consumerID", "me"} }},
		{"bindings.nats-jetstream", servers.NATS, func(s *servers.Server) []string { return []string{"natsURL", s.URL, "subject", "b"} }},
		{"bindings.rabbitmq", servers.RabbitMQ, func(s *servers.Server) []string {
			return []string{"host", s.URL, "queueName", "b", "durable", "true"}
		}},
		{"bindings.kafka", servers.Kafka, func(s *servers.Server) []string {
			return []string{"brokers", s.Addr, "authType", "none", "topics", "b", "publishTopic", "b", "initialOffset", "oldest"}
		}},
	} {
		t.Run(b.typ, func(t *testing.T) {
			t.Parallel()
			soundDriver(t, b.typ)
			server := pool.Get(t, b.start)
			if b.typ == "bindings.nats-jetstream" {
				stream(t, server.URL, "B", "b")
			}
			p := newPlatform(t)
			calls := p.httpApp("fn-v1", nil)
			p.app(event.App{
				Name: name("fn"), Components: []event.Component{component("queue", b.typ, b.metadata(server)...)},
				Inputs: []event.Input{{Name: "in", Component: "queue", Type: b.typ}},
			})
			p.ready(event.KindApp, "fn")
			p.serve(name("fn")).must("POST", "/v1.0/bindings/queue", `{"operation":"create","data":{"x":1},"metadata":{"mine":"1"}}`)
			if g := receive(t, calls, "the event"); g.path != "/queue" || string(g.body) != `{"x":1}` {
				t.Errorf("%s %q", g.path, g.body)
			}
		})
	}
}
