package rabbitmq_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/openfunction/ofn/internal/event/source"
	"github.com/openfunction/ofn/internal/event/source/rabbitmq"
	"github.com/openfunction/ofn/internal/event/source/sourcetest"
	"github.com/openfunction/ofn/test/servers"
)

var pool servers.Pool

func TestMain(m *testing.M) { os.Exit(pool.Run(m)) }

// publisher sends with the broker's confirmation.
func publisher(t *testing.T, s *servers.Server) func(exchange, key string, m amqp.Publishing) {
	t.Helper()
	c, err := amqp.Dial(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	ch, err := c.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	return func(exchange, key string, m amqp.Publishing) {
		t.Helper()
		m.DeliveryMode = amqp.Persistent
		d, err := ch.PublishWithDeferredConfirmWithContext(t.Context(), exchange, key, true, false, m)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if ok, err := d.WaitContext(ctx); err != nil || !ok {
			t.Fatalf("the broker did not confirm: %v", err)
		}
	}
}

func start(t *testing.T, s *servers.Server, queue string, more map[string]any) *sourcetest.Run {
	t.Helper()
	spec := map[string]any{"url": s.URL, "queue": queue}
	for k, v := range more {
		spec[k] = v
	}
	return sourcetest.Start(t, rabbitmq.New, sourcetest.Config(t, "rabbitmq", spec))
}

func TestEvents(t *testing.T) {
	s := pool.Get(t, servers.RabbitMQ)
	r, send := start(t, s, "events", map[string]any{"exchange": "things", "routingKey": "a.*", "queueType": "quorum"}), publisher(t, s)
	r.Connected()
	send("things", "a.b", amqp.Publishing{Body: []byte("x"), ContentType: "text/plain", MessageId: "m1"})
	send("things", "b.a", amqp.Publishing{Body: []byte("not for this queue")})
	send("things", "a.c", amqp.Publishing{Body: []byte("y"), ContentType: "text/plain", Headers: amqp.Table{
		"cloudEvents:specversion": "1.0", "cloudEvents:id": "7", "cloudEvents:source": "/s", "cloudEvents:type": "t", "n": int32(1), "t": amqp.Table{"a": "b"},
	}})
	send("", "events", amqp.Publishing{Body: []byte(`{"specversion":"1.0","id":"8","source":"/s","type":"t"}`), ContentType: "application/cloudevents+json"})
	got := map[string]string{}
	for range 3 {
		e := r.Next()
		got[e.ID] = e.DataContentType + " " + string(e.Data)
	}
	if got["7"] != "text/plain y" || got["8"] != " " || got[source.Hash("events", "m1")] != "text/plain x" {
		t.Fatalf("%v", got)
	}
}

// TestFaults: nothing is lost while the source is away, when it ends before an event is safe, and when the broker dies.
func TestFaults(t *testing.T) {
	s := pool.Get(t, servers.RabbitMQ)
	r, send := start(t, s, "faults", nil), publisher(t, s)
	r.Connected()
	r.Hold()
	send("", "faults", amqp.Publishing{Body: []byte("unsafe")})
	r.Stop()
	send("", "faults", amqp.Publishing{Body: []byte("meanwhile")})
	r = start(t, s, "faults", map[string]any{"queueType": "quorum"}) // of another type now: the queue is used as it is
	r.Until(map[string]bool{"unsafe": true, "meanwhile": true})
	quorum := start(t, s, "quorum", map[string]any{"queueType": "quorum"})
	quorum.Connected()
	registered(t, s, "quorum")
	want := map[string]bool{}
	r.Hold()
	quorum.Hold()
	for i := range 200 {
		want[fmt.Sprint(i)] = true
		send("", "faults", amqp.Publishing{Body: []byte(fmt.Sprint(i))})
		send("", "quorum", amqp.Publishing{Body: []byte(fmt.Sprint(i))})
	}
	young := start(t, s, "young", map[string]any{"queueType": "quorum"})
	young.Connected() // and not registered: Debian's RabbitMQ answers nothing about it from now on, and the source must end all the same
	s.Kill()
	r.Release()
	quorum.Release()
	s.Restart()
	r.Until(want)
	quorum.Until(want)
	young.Stop()
}

// registered waits until the broker has written down under which number it keeps a new quorum queue. It does so half a second after the
// declaration, whatever it confirmed meanwhile: one that dies earlier finds the queue, but not its messages, and answers nobody about it.
func registered(t *testing.T, s *servers.Server, queue string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		files, err := filepath.Glob(filepath.Join(s.Dir, "data", "*", "quorum", "*", "names.dets"))
		if err != nil || len(files) != 1 {
			t.Fatalf("the broker's register of quorum queues: %v %v", files, err)
		}
		if names, err := os.ReadFile(files[0]); err == nil && bytes.Contains(names, []byte("%2F_"+queue)) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the broker never wrote the queue down")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestCredentials(t *testing.T) {
	s := pool.Get(t, servers.RabbitMQ)
	r := start(t, s, "auth", map[string]any{"password": "wrong"})
	if err := r.Trouble(); !errors.Is(err, source.ErrDenied) || strings.Contains(err.Error(), "wrong") {
		t.Fatal(err)
	}
}

func TestInvalid(t *testing.T) {
	for name, spec := range map[string]map[string]any{
		"no url": {"queue": "q"}, "no queue": {"url": "amqp://x/"}, "scheme": {"url": "http://x/", "queue": "q"}, "prefetch": {"url": "amqp://x/", "queue": "q", "prefetch": -1},
	} {
		var invalid source.Invalid
		if _, err := rabbitmq.New(sourcetest.Config(t, "rabbitmq", spec)); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
