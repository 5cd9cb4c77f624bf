package dapr_test

import (
	"context"
	"errors"
	"testing"

	"github.com/openfunction/ofn/internal/event/source"
	"github.com/openfunction/ofn/internal/event/source/dapr"
	"github.com/openfunction/ofn/internal/event/source/sourcetest"
)

// broker is both kinds of component.
type broker struct {
	err    error
	asked  chan dapr.Component
	handle chan dapr.Handler
	closed chan struct{}
	topic  string
	lost   chan struct{}
}

// Lost is nil but in one test.
func (b *broker) Lost() <-chan struct{} { return b.lost }

func (b *broker) Binding(_ context.Context, c dapr.Component) (dapr.Binding, error) {
	return b, b.opened(c)
}
func (b *broker) PubSub(_ context.Context, c dapr.Component) (dapr.PubSub, error) {
	return b, b.opened(c)
}
func (b *broker) opened(c dapr.Component) error {
	if b.err == nil {
		b.asked <- c
	}
	return b.err
}
func (b *broker) Read(_ context.Context, h dapr.Handler) error {
	b.handle <- h
	return nil
}
func (b *broker) Subscribe(_ context.Context, topic string, _ map[string]string, h dapr.Handler) error {
	b.topic = topic
	b.handle <- h
	return nil
}
func (b *broker) Close() error {
	close(b.closed)
	return nil
}

func newBroker() *broker {
	return &broker{asked: make(chan dapr.Component, 1), handle: make(chan dapr.Handler, 1), closed: make(chan struct{})}
}

func TestComponents(t *testing.T) {
	for kind, topic := range map[string]string{"bindings.kafka": "", "pubsub.redis": "orders"} {
		b := newBroker()
		r := sourcetest.Start(t, dapr.New(b), sourcetest.Config(t, "dapr", map[string]any{"topic": topic, "component": map[string]any{"type": kind, "metadata": map[string]string{"a": "b"}}}))
		r.Connected()
		if c := <-b.asked; c.Namespace != "ns" || c.Name != "es-ev" || c.Metadata["a"] != "b" || b.topic != topic {
			t.Fatalf("%s: %+v, topic %q", kind, c, b.topic)
		}
		handle := <-b.handle
		if err := handle(t.Context(), []byte("x"), map[string]string{"__topic": "t", "__partition": "1", "__offset": "7", "__key": "k", "content-type": "text/plain"}); err != nil {
			t.Fatal(err)
		}
		if e := r.Next(); e.ID != "t/1/7" || e.Extension("partitionkey") != "k" || e.DataContentType != "text/plain" {
			t.Fatalf("%s: %+v", kind, e)
		}
		if err := handle(t.Context(), []byte(`{"specversion":"1.0","id":"8","source":"/s","type":"t"}`), nil); err != nil {
			t.Fatal(err)
		}
		if e := r.Next(); e.ID != "8" {
			t.Fatalf("%s: %+v", kind, e)
		}
		r.Hold()
		refused := make(chan error, 1)
		go func() { refused <- handle(t.Context(), []byte("unsafe"), nil) }()
		r.Stop()
		if err := <-refused; err == nil {
			t.Fatalf("%s: an event that is not safe was acknowledged", kind)
		}
		<-b.closed
		if err := handle(t.Context(), []byte("late"), nil); err == nil {
			t.Fatalf("%s: an event after the end was acknowledged", kind)
		}
	}
}

// A component that gives up is opened anew: its events would stay with their broker for ever, behind a source that says it is well.
func TestAComponentThatGivesUp(t *testing.T) {
	first := newBroker()
	first.lost = make(chan struct{})
	second := newBroker()
	both := &brokers{make(chan *broker, 2)}
	both.next <- first
	both.next <- second
	r := sourcetest.Start(t, dapr.New(both), sourcetest.Config(t, "dapr", map[string]any{"component": map[string]any{"type": "bindings.nats-jetstream"}}))
	r.Connected()
	<-first.handle
	close(first.lost)
	if err := r.Trouble(); err == nil {
		t.Error("nothing was told of it")
	}
	<-first.closed
	handle := <-second.handle
	if err := handle(t.Context(), []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	if e := r.Next(); string(e.Data) != "x" {
		t.Errorf("%+v", e)
	}
}

// brokers are opened one after the other.
type brokers struct{ next chan *broker }

func (b *brokers) Binding(context.Context, dapr.Component) (dapr.Binding, error) {
	return <-b.next, nil
}
func (b *brokers) PubSub(context.Context, dapr.Component) (dapr.PubSub, error) { return <-b.next, nil }

func TestCannotOpen(t *testing.T) {
	b := newBroker()
	b.err = errors.New("no route")
	r := sourcetest.Start(t, dapr.New(b), sourcetest.Config(t, "dapr", map[string]any{"component": map[string]any{"type": "bindings.kafka"}}))
	if err := r.Trouble(); !errors.Is(err, b.err) {
		t.Fatal(err)
	}
}

func TestInvalid(t *testing.T) {
	for name, spec := range map[string]map[string]any{
		"none": {}, "topic": {"component": map[string]any{"type": "pubsub.redis"}}, "state": {"component": map[string]any{"type": "state.redis"}},
	} {
		var invalid source.Invalid
		if _, err := dapr.New(newBroker())(sourcetest.Config(t, "dapr", spec)); !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
