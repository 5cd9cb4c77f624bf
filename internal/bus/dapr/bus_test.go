package dapr

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/bus/bustest"
)

// broker keeps a log of each topic, and what each consumer has had of it.
type broker struct {
	mu     sync.Mutex
	more   *sync.Cond
	topics map[string][][]byte
	done   map[string]map[int]bool // of consumer and topic
	fails  int                     // openings that fail first
}

func newBroker() *broker {
	b := &broker{topics: map[string][][]byte{}, done: map[string]map[int]bool{}}
	b.more = sync.NewCond(&b.mu)
	return b
}

func (b *broker) open(_ context.Context, consumer string) (PubSub, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails--; b.fails >= 0 {
		return nil, errors.New("refused")
	}
	return &client{broker: b, consumer: consumer}, nil
}

type client struct {
	broker   *broker
	consumer string
	running  sync.WaitGroup
}

func (c *client) Publish(_ context.Context, topic string, data []byte, _ map[string]string) error {
	c.broker.mu.Lock()
	defer c.broker.mu.Unlock()
	c.broker.topics[topic] = append(c.broker.topics[topic], data)
	c.broker.more.Broadcast()
	return nil
}

func (c *client) Subscribe(ctx context.Context, topic string, _ map[string]string, handle Handler) error {
	place := c.consumer + " " + topic
	context.AfterFunc(ctx, func() { c.broker.mu.Lock(); c.broker.more.Broadcast(); c.broker.mu.Unlock() })
	c.running.Go(func() {
		given := map[int]bool{}
		for {
			n, data := c.next(ctx, place, topic, given)
			if data == nil {
				return
			}
			c.running.Go(func() {
				err := handle(ctx, data, nil)
				c.broker.mu.Lock()
				defer c.broker.mu.Unlock()
				if err == nil {
					c.broker.done[place][n] = true
				}
			})
		}
	})
	return nil
}

func (c *client) next(ctx context.Context, place, topic string, given map[int]bool) (int, []byte) {
	b := c.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done[place] == nil {
		b.done[place] = map[int]bool{}
	}
	for ctx.Err() == nil {
		for n, data := range b.topics[topic] {
			if !given[n] && !b.done[place][n] {
				given[n] = true
				return n, data
			}
		}
		b.more.Wait()
	}
	return 0, nil
}

func (c *client) Close() error {
	c.running.Wait()
	return nil
}

func TestBus(t *testing.T) {
	var b *broker
	bustest.Run(t, bustest.Fixture{
		New: func(*testing.T) bus.Bus {
			b = newBroker()
			return New(Options{Name: "ns/bus", Open: b.open})
		},
		Again: func(*testing.T) bus.Bus { return New(Options{Name: "ns/bus", Open: b.open}) },
	})
}

func TestWhatIsNotOffered(t *testing.T) {
	b := New(Options{Name: "ns/bus", Open: newBroker().open})
	_, lag := b.Lag(t.Context(), "c")
	for what, err := range map[string]error{
		"lag":        lag,
		"read":       b.Read(t.Context(), nil, bus.From{All: true}, false, nil),
		"the past":   b.Consume(t.Context(), bus.Consumer{Name: "c", Topics: []string{"t"}, From: bus.From{All: true}}, nil),
		"all topics": b.Consume(t.Context(), bus.Consumer{Name: "c"}, nil),
	} {
		if !errors.Is(err, bus.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := b.Forget(t.Context(), "c"); err != nil {
		t.Error(err)
	}
}

func TestABrokerThatIsNotThereYet(t *testing.T) {
	broker := newBroker()
	broker.fails = 2
	b := New(Options{Name: "ns/bus", Open: broker.open})
	if _, err := b.Publish(t.Context(), bus.Message{Topic: "t"}); err == nil {
		t.Error("published to a broker that is not there")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got := make(chan string, 1)
	ended := make(chan error)
	go func() {
		ended <- b.Consume(ctx, bus.Consumer{Name: "c", Topics: []string{"t"}}, func(_ context.Context, m bus.Stored) bus.Verdict {
			got <- string(m.Data)
			return bus.Verdict{}
		})
	}()
	for {
		if _, err := b.Publish(ctx, bus.Message{Topic: "t", Data: []byte("x")}); err == nil {
			break
		}
	}
	if d := <-got; d != "x" {
		t.Errorf("got %q", d)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestMessagesOnTheWire(t *testing.T) {
	ce := func(more ...string) map[string]string {
		h := map[string]string{"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-title": "%C3%BC%20%25x", "ce-type": "T", "ce-ext": "v"}
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = more[i+1]
		}
		return h
	}
	for name, m := range map[string]bus.Message{
		"JSON":         {Data: []byte(`{"a":[1,2]}`), Header: ce("content-type", "application/json")},
		"text":         {Data: []byte("häh"), Header: ce("content-type", "text/plain")},
		"bytes":        {Data: []byte{0xff, 0, 1}, Header: ce("content-type", "application/octet-stream")},
		"broken JSON":  {Data: []byte("{"), Header: ce("content-type", "application/json")},
		"no type":      {Data: []byte{0xff}, Header: ce()},
		"no data":      {Header: ce()},
		"time":         {Data: []byte("1"), Header: ce("content-type", "application/json", "ce-time", "2026-01-02T03:04:05.5Z", "ce-subject", "s")},
		"not an event": {Data: []byte(`{"a": 1}`)},
	} {
		data, _, err := encode(m)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := decode("", data, nil)
		if string(got.Data) != string(m.Data) || !maps.Equal(got.Header, m.Header) && len(got.Header)+len(m.Header) > 0 {
			t.Errorf("%s: %s became %q %v, want %q %v", name, data, got.Data, got.Header, m.Data, m.Header)
		}
	}
	data, _, err := encode(bus.Message{Key: "k", Header: ce()})
	if err != nil || decode("", data, nil).Key != "k" {
		t.Errorf("the key is lost: %s %v", data, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/s","type":"T","data":{"a":1}}`))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/s","type":"T","data_base64":"AA=="}`))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := decode("t", data, nil)
		for name, value := range m.Header {
			for _, c := range name + value {
				if c == '\r' || c == '\n' || c == 0 {
					t.Errorf("header %q: %q", name, value)
				}
			}
		}
		if _, _, err := encode(m); err != nil {
			t.Error(fmt.Errorf("what was read cannot be written: %w", err))
		}
	})
}
