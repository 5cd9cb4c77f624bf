package mqtt_test

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/openfunction/ofn/internal/event/source"
	"github.com/openfunction/ofn/internal/event/source/mqtt"
	"github.com/openfunction/ofn/internal/event/source/sourcetest"
	"github.com/openfunction/ofn/test/servers"
)

var pool servers.Pool

func TestMain(m *testing.M) { os.Exit(pool.Run(m)) }

func publisher(t *testing.T, url string) func(topic, data string) {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker(url).SetClientID("publisher-" + t.Name()).SetConnectRetry(true).SetConnectRetryInterval(100 * time.Millisecond))
	if tok := c.Connect(); !tok.WaitTimeout(time.Minute) || tok.Error() != nil {
		t.Fatal(tok.Error())
	}
	t.Cleanup(func() { c.Disconnect(100) })
	return func(topic, data string) {
		t.Helper()
		if tok := c.Publish(topic, 1, false, data); !tok.WaitTimeout(time.Minute) || tok.Error() != nil {
			t.Fatalf("publishing: %v", tok.Error())
		}
	}
}

func start(t *testing.T, url, id string, more map[string]any) *sourcetest.Run {
	t.Helper()
	spec := map[string]any{"url": url, "topic": id + "/#", "consumerID": id}
	for k, v := range more {
		spec[k] = v
	}
	return sourcetest.Start(t, mqtt.New, sourcetest.Config(t, "mqtt", spec))
}

func TestEvents(t *testing.T) {
	s := pool.Get(t, servers.Mosquitto)
	r, send := start(t, s.URL, "events", nil), publisher(t, s.URL)
	r.Connected()
	send("events/a/b", "20.5")
	if e := r.Next(); string(e.Data) != "20.5" || e.Subject != "events/a/b" || e.DataContentType != "application/json" {
		t.Fatalf("%+v", e)
	}
	send("events/a/b", "20.5")
	send("events/c", `{"specversion":"1.0","id":"8","source":"/s","type":"t","data":1}`)
	if a, b := r.Next(), r.Next(); a.ID == b.ID || a.ID != "8" && b.ID != "8" {
		t.Fatalf("%+v %+v", a, b)
	}
}

// TestAway: what is sent while the source is away, and what was not safe when it ended, comes when it is back.
func TestAway(t *testing.T) {
	s := pool.Get(t, servers.Mosquitto)
	r, send := start(t, s.URL, "away", nil), publisher(t, s.URL)
	r.Connected()
	r.Hold()
	send("away/x", "unsafe")
	r.Stop()
	send("away/x", "meanwhile")
	r = start(t, s.URL, "away", nil)
	r.Until(map[string]bool{"unsafe": true, "meanwhile": true})
	r.Stop()
	made, err := mqtt.New(sourcetest.Config(t, "mqtt", map[string]any{"url": s.URL, "topic": "away/#", "consumerID": "away"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := made.(source.Forgetter).Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	send("away/x", "forgotten")
	r = start(t, s.URL, "away", nil)
	r.Connected()
	send("away/x", "new")
	if e := r.Next(); string(e.Data) != "new" {
		t.Fatalf("a session that was forgotten brings %s", e.Data)
	}
}

func TestBrokerDies(t *testing.T) {
	s := servers.Mosquitto(t)
	r := start(t, s.URL, "dies", nil)
	r.Connected()
	send, want := publisher(t, s.URL), map[string]bool{}
	for i := range 200 {
		data := fmt.Sprint("first ", i)
		want[data] = true
		send("dies/x", data)
	}
	r.Until(want) // Mosquitto itself keeps nothing over a kill
	s.Kill()
	s.Restart()
	r.Connected()
	send = publisher(t, s.URL)
	send("dies/x", "second")
	r.Until(map[string]bool{"second": true})
}

func TestCredentials(t *testing.T) {
	s := servers.Mosquitto(t, servers.Password("right"))
	r := start(t, "tcp://"+s.Addr, "auth", map[string]any{"username": servers.User, "password": "wrong"})
	if err := r.Trouble(); !errors.Is(err, source.ErrDenied) {
		t.Fatal(err)
	}
	r.Stop()
	start(t, s.URL, "auth", nil).Connected()
}

func TestInvalid(t *testing.T) {
	for name, spec := range map[string]map[string]any{
		"no url": {"topic": "x"}, "no topic": {"url": "tcp://x:1"}, "url": {"url": "x", "topic": "x"}, "qos": {"url": "tcp://x:1", "topic": "x", "qos": 3},
	} {
		var invalid source.Invalid
		if _, err := mqtt.New(sourcetest.Config(t, "mqtt", spec)); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
