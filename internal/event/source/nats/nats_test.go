package nats_test

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	driver "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/openfunction/ofn/internal/event/source"
	"github.com/openfunction/ofn/internal/event/source/nats"
	"github.com/openfunction/ofn/internal/event/source/sourcetest"
	"github.com/openfunction/ofn/test/servers"
)

var pool servers.Pool

func TestMain(m *testing.M) { os.Exit(pool.Run(m)) }

func connect(t *testing.T, s *servers.Server) *driver.Conn {
	t.Helper()
	nc, err := driver.Connect(s.URL, driver.MaxReconnects(-1), driver.ReconnectWait(100*time.Millisecond), driver.ReconnectBufSize(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func stream(t *testing.T, s *servers.Server, name string) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(connect(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}}); err != nil {
		t.Fatal(err)
	}
	return js
}

func start(t *testing.T, s *servers.Server, more map[string]any) *sourcetest.Run {
	t.Helper()
	spec := map[string]any{"url": s.URL}
	for k, v := range more {
		spec[k] = v
	}
	return sourcetest.Start(t, nats.New, sourcetest.Config(t, "nats", spec))
}

func TestSubject(t *testing.T) {
	s := pool.Get(t, servers.NATS)
	r, nc := start(t, s, map[string]any{"subject": "a.*"}), connect(t, s)
	r.Connected()
	m := driver.NewMsg("a.b")
	m.Data = []byte("x")
	for k, v := range map[string]string{"ce-specversion": "1.0", "ce-id": "7", "ce-source": "/s", "ce-type": "t", "content-type": "text/plain"} {
		m.Header.Set(k, v)
	}
	if err := errors.Join(nc.PublishMsg(m), nc.Publish("a.c", []byte("plain")), nc.Flush()); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for range 2 {
		e := r.Next()
		got[string(e.Data)] = e.ID + " " + e.Subject
	}
	if got["x"] != "7 " || got["plain"] == "" {
		t.Fatalf("%v", got)
	}
}

func TestStream(t *testing.T) {
	s := pool.Get(t, servers.NATS)
	js := stream(t, s, "orders")
	send := func(data string) {
		t.Helper()
		if _, err := js.Publish(t.Context(), "orders.new", []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	send("before")
	r := start(t, s, map[string]any{"stream": "orders"})
	r.Connected()
	send("1")
	if e := r.Next(); e.ID != "orders/2" || string(e.Data) != "1" || e.Subject != "orders.new" {
		t.Fatalf("%+v", e)
	}
	r.Hold()
	send("unsafe")
	r.Stop()
	send("meanwhile")
	r = start(t, s, map[string]any{"stream": "orders"})
	r.Until(map[string]bool{"unsafe": true, "meanwhile": true})
	r.Stop()
	made, err := nats.New(sourcetest.Config(t, "nats", map[string]any{"url": s.URL, "stream": "orders"}))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := made.(source.Forgetter).Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.Consumer(t.Context(), "orders", "ns-es-ev"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Fatalf("the consumer is left behind: %v", err)
	}
}

func TestBrokerDies(t *testing.T) {
	s := servers.NATS(t)
	js := stream(t, s, "dies")
	r := start(t, s, map[string]any{"stream": "dies", "subject": "dies.a", "deliverPolicy": "all"})
	r.Connected()
	want := map[string]bool{}
	for i := range 600 {
		if i == 300 {
			s.Kill()
			s.Restart()
		}
		data := fmt.Sprint(i)
		want[data] = true
		for n := 0; ; n++ {
			_, err := js.Publish(t.Context(), "dies.a", []byte(data))
			if err == nil {
				break
			}
			if n > 600 {
				t.Fatal(err)
			}
			<-time.After(100 * time.Millisecond)
		}
	}
	r.Until(want)
}

func TestCredentials(t *testing.T) {
	s := servers.NATS(t, servers.Password("right"))
	r := start(t, s, map[string]any{"url": "nats://" + s.Addr, "subject": "a", "username": servers.User, "password": "wrong"})
	if err := r.Trouble(); !errors.Is(err, source.ErrDenied) {
		t.Fatal(err)
	}
	r.Stop()
	start(t, s, map[string]any{"url": "nats://" + s.Addr, "subject": "a", "username": servers.User, "password": "right"}).Connected()
}

func TestStreamIsNotThere(t *testing.T) {
	s := pool.Get(t, servers.NATS)
	r := start(t, s, map[string]any{"stream": "late"})
	if err := r.Trouble(); err == nil {
		t.Fatal("it does not say that the stream is not there")
	}
	stream(t, s, "late")
	r.Connected()
}

func TestInvalid(t *testing.T) {
	for name, spec := range map[string]map[string]any{"no url": {"subject": "x"}, "no subject": {"url": "nats://x"}, "seed": {"url": "nats://x", "subject": "x", "nkey": "no"}} {
		var invalid source.Invalid
		if _, err := nats.New(sourcetest.Config(t, "nats", spec)); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
