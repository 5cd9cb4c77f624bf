package dapr_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
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

func TestStores(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real databases")
	}
	postgres := func(t *testing.T) string { return pool.Get(t, servers.PostgreSQL).URL }
	for _, s := range []struct {
		name string
		make func(t *testing.T) event.Component
	}{
		{"redis", func(t *testing.T) event.Component {
			return component("store", "state.redis", "redisHost", pool.Get(t, servers.Redis).Addr)
		}},
		{"postgresql v1", func(t *testing.T) event.Component {
			return component("store", "state.postgresql", "connectionString", postgres(t))
		}},
		{"postgresql v2", func(t *testing.T) event.Component {
			c := component("store", "state.postgresql", "connectionString", postgres(t), "tablePrefix", "v2_", "metadataTableName", "v2meta")
			c.Version = "v2"
			return c
		}},
		{"mysql", func(t *testing.T) event.Component {
			m := pool.Get(t, servers.MariaDB)
			return component("store", "state.mysql", "connectionString", fmt.Sprintf("%s:%s@tcp(%s)/?allowNativePasswords=true", m.User, m.Password, m.Addr))
		}},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t)
			c := s.make(t)
			c.InitTimeout = patience
			p.component(c)
			p.ready(event.KindComponent, "store")
			api := p.serve(name("fn"))
			api.must("POST", "/v1.0/state/store", `[{"key":"a","value":{"x":1}},{"key":"b","value":"text","metadata":{"ttlInSeconds":"100"}}]`)
			if v := api.must("GET", "/v1.0/state/store/a", ""); strings.ReplaceAll(v, " ", "") != `{"x":1}` {
				t.Errorf("a is %s", v)
			}
			_, _, header := api.http("GET", "/v1.0/state/store/a", "")
			etag := header.Get("ETag")
			api.must("POST", "/v1.0/state/store", `[{"key":"a","value":2,"etag":"`+etag+`","options":{"concurrency":"first-write"}}]`)
			api.fails("POST", "/v1.0/state/store", `[{"key":"a","value":3,"etag":"`+etag+`","options":{"concurrency":"first-write"}}]`, http.StatusConflict, "ERR_STATE_SAVE")
			api.must("POST", "/v1.0/state/store/transaction", `{"operations":[{"operation":"upsert","request":{"key":"c","value":3}},{"operation":"delete","request":{"key":"b"}}]}`)
			if v := api.must("POST", "/v1.0/state/store/bulk", `{"keys":["a","b","c"]}`); !strings.Contains(v, `"data":3`) || !strings.Contains(v, `"data":2`) || strings.Contains(v, "text") {
				t.Errorf("bulk: %s", v)
			}
			api.must("DELETE", "/v1.0/state/store/a", "")
			if code, _, _ := api.http("GET", "/v1.0/state/store/a", ""); code != http.StatusNoContent {
				t.Errorf("it was not deleted: %d", code)
			}
		})
	}
}

// say sends a command to a Redis.
func say(t *testing.T, addr, line string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "%s\r\n", line); err != nil {
		t.Error(err)
	}
	if answer, err := bufio.NewReader(conn).ReadString('\n'); err != nil || strings.HasPrefix(answer, "-") {
		t.Errorf("%s: %q %v", line, answer, err)
	}
}

func TestConfiguration(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real Redis")
	}
	redis := pool.Get(t, servers.Redis)
	say(t, redis.Addr, "SET colour blue||1")
	p := newPlatform(t)
	p.component(component("conf", "configuration.redis", "redisHost", redis.Addr))
	p.ready(event.KindComponent, "conf")
	calls := p.httpApp("fn-v1", nil)
	p.app(event.App{Name: name("fn")})
	api := p.serve(name("fn"))
	if v := api.must("GET", "/v1.0/configuration/conf?key=colour", ""); v != `{"colour":{"value":"blue","version":"1"}}` {
		t.Errorf("%s", v)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	changes, err := api.grpc.SubscribeConfiguration(ctx, &runtimev1.SubscribeConfigurationRequest{StoreName: "conf", Keys: []string{"colour"}})
	if err != nil {
		t.Fatal(err)
	}
	first, err := changes.Recv()
	if err != nil || first.GetId() == "" {
		t.Fatalf("%v %v", first, err)
	}
	var pushed struct{ ID string }
	if err := json.Unmarshal([]byte(api.must("GET", "/v1.0/configuration/conf/subscribe?key=colour", "")), &pushed); err != nil || pushed.ID == "" {
		t.Fatalf("%v %v", pushed, err)
	}
	// The store subscribes in the background: what changes before is told to nobody, so that it is changed until it is told.
	changing, changed := context.WithCancel(ctx)
	var changer sync.WaitGroup
	changer.Go(func() {
		for changing.Err() == nil {
			say(t, redis.Addr, "SET colour red||2")
			time.Sleep(20 * time.Millisecond)
		}
	})
	second, err := changes.Recv()
	if err != nil || second.GetItems()["colour"].GetValue() != "red" {
		t.Errorf("%v %v", second, err)
	}
	g := receive(t, calls, "the change")
	changed()
	changer.Wait()
	if g.path != "/configuration/conf/colour" || !strings.Contains(string(g.body), `"red"`) {
		t.Errorf("%s %s", g.path, g.body)
	}
	if v := api.must("GET", "/v1.0/configuration/conf/"+pushed.ID+"/unsubscribe", ""); v != `{"ok":true}` {
		t.Errorf("%s", v)
	}
	out, err := api.grpc.UnsubscribeConfiguration(ctx, &runtimev1.UnsubscribeConfigurationRequest{StoreName: "conf", Id: first.GetId()})
	if err != nil || !out.GetOk() {
		t.Errorf("%v %v", out, err)
	}
	api.fails("GET", "/v1.0/configuration/none?key=x", "", http.StatusBadRequest, "ERR_CONFIGURATION_STORE_NOT_FOUND")
}

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
