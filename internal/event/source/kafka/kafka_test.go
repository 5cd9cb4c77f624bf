package kafka_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/openfunction/ofn/internal/event/source"
	"github.com/openfunction/ofn/internal/event/source/kafka"
	"github.com/openfunction/ofn/internal/event/source/sourcetest"
	"github.com/openfunction/ofn/test/servers"
)

var pool servers.Pool

func TestMain(m *testing.M) { os.Exit(pool.Run(m)) }

// producer sends and waits for the broker, which may be away for a while.
func producer(t *testing.T, addr string) func(topic string, messages ...*sarama.ProducerMessage) {
	t.Helper()
	c := sarama.NewConfig()
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Retry.Max, c.Producer.Retry.Backoff = 200, 200*time.Millisecond
	c.Metadata.Retry.Max = 50
	c.Producer.Partitioner = sarama.NewHashPartitioner
	p, err := sarama.NewSyncProducer([]string{addr}, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return func(topic string, messages ...*sarama.ProducerMessage) {
		t.Helper()
		for _, m := range messages {
			m.Topic = topic
		}
		if err := p.SendMessages(messages); err != nil {
			t.Fatal(err)
		}
	}
}

func message(data string, header ...string) *sarama.ProducerMessage {
	m := &sarama.ProducerMessage{Value: sarama.StringEncoder(data)}
	for i := 0; i < len(header); i += 2 {
		m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(header[i]), Value: []byte(header[i+1])})
	}
	return m
}

func start(t *testing.T, s *servers.Server, topic string, more map[string]any) *sourcetest.Run {
	t.Helper()
	spec := map[string]any{"brokers": s.Addr, "topic": topic, "consumerGroup": topic}
	for k, v := range more {
		spec[k] = v
	}
	return sourcetest.Start(t, kafka.New, sourcetest.Config(t, "kafka", spec))
}

func TestEvents(t *testing.T) {
	s := pool.Get(t, servers.Kafka)
	send := producer(t, s.Addr)
	send("events", message("before: not for a group that begins at the newest"))
	r := start(t, s, "events", nil)
	r.Connected()
	keyed := message(`{"a":1}`, "content-type", "application/json", "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	keyed.Key = sarama.StringEncoder("k1")
	send("events", keyed)
	e := r.Next()
	if e.ID != "events/0/1" || string(e.Data) != `{"a":1}` || e.DataContentType != "application/json" || e.Extension("partitionkey") != "k1" || e.Extension("traceparent") == "" || e.Time.IsZero() {
		t.Fatalf("%+v", e)
	}
	send("events", message("x", "ce_specversion", "1.0", "ce_id", "7", "ce_source", "/s", "ce_type", "t"), message(`{"specversion":"1.0","id":"8","source":"/s","type":"t"}`, "content-type", "application/cloudevents+json"),
		message("broken", "ce_specversion", "1.0"), message("\x00\xff"))
	ids := map[string]bool{"7": true, "8": true, "events/0/4": true, "events/0/5": true}
	for range 4 {
		delete(ids, r.Next().ID)
	}
	if len(ids) != 0 {
		t.Fatalf("events %v did not come", ids)
	}
	r.Stop()
}

// TestPlaceIsKept: what is sent while the source is away comes when it is back, though the group never read anything.
func TestPlaceIsKept(t *testing.T) {
	s := pool.Get(t, servers.Kafka)
	send := producer(t, s.Addr)
	send("place", message("old"))
	r := start(t, s, "place", nil)
	r.Connected()
	r.Stop()
	send("place", message("while away"))
	r = start(t, s, "place", nil)
	if e := r.Next(); string(e.Data) != "while away" {
		t.Fatalf("%s", e.Data)
	}
}

// TestNotAcknowledged: an event that was not safe when the source ended comes again.
func TestNotAcknowledged(t *testing.T) {
	s := pool.Get(t, servers.Kafka)
	send := producer(t, s.Addr)
	r := start(t, s, "unsafe", map[string]any{"initialOffset": "oldest"})
	r.Connected()
	r.Hold()
	send("unsafe", message("1"), message("2"))
	r.Stop()
	r = start(t, s, "unsafe", map[string]any{"initialOffset": "oldest"})
	r.Until(map[string]bool{"1": true, "2": true})
}

// TestBrokerDies: every event comes at least once although the broker is killed while they flow.
func TestBrokerDies(t *testing.T) {
	s := pool.Get(t, servers.Kafka)
	send := producer(t, s.Addr)
	r := start(t, s, "dies", map[string]any{"initialOffset": "oldest"})
	r.Connected()
	want := map[string]bool{}
	batch := func(from, to int) (all []*sarama.ProducerMessage) {
		for i := from; i < to; i++ {
			data := fmt.Sprint("event ", i)
			want[data] = true
			all = append(all, message(data))
		}
		return all
	}
	send("dies", batch(0, 500)...)
	r.Next()
	s.Kill()
	s.Restart()
	send("dies", batch(500, 1000)...)
	r.Until(want)
}

func TestBrokerIsDownAtStart(t *testing.T) {
	s := servers.Server{Addr: fmt.Sprint("127.0.0.1:", servers.FreePort(t))}
	r := start(t, &s, "x", nil)
	if err := r.Trouble(); err == nil || !strings.Contains(err.Error(), s.Addr) {
		t.Fatal(err)
	}
}

func TestCredentials(t *testing.T) {
	s := servers.Kafka(t, servers.Password("right"))
	r := start(t, s, "auth", map[string]any{"authRequired": true, "saslUsername": servers.User, "saslPassword": "wrong"})
	if err := r.Trouble(); !errors.Is(err, source.ErrDenied) {
		t.Fatal(err)
	}
	r.Stop()
	r = start(t, s, "auth", map[string]any{"authRequired": true, "saslUsername": servers.User, "saslPassword": "right"})
	r.Connected()
}

func TestInvalid(t *testing.T) {
	for name, spec := range map[string]map[string]any{
		"no brokers": {}, "mechanism": {"brokers": "x:1", "authRequired": true, "saslUsername": "u", "saslPassword": "p", "saslMechanism": "MAGIC"},
		"no login": {"brokers": "x:1", "authRequired": true}, "ca": {"brokers": "x:1", "caCert": "no"},
	} {
		var invalid source.Invalid
		if _, err := kafka.New(sourcetest.Config(t, "kafka", spec)); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
