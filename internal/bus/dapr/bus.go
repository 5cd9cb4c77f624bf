// Package dapr is the bus over a pub/sub component of Dapr: Kafka, Redis, RabbitMQ and what else there is. What such a component
// cannot do is bus.ErrUnsupported: beginning in the past, reading again, counting what waits, taking duplicates once.
package dapr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/openfunction/ofn/internal/bus"
)

// ErrClosed is returned for what comes after Close.
var ErrClosed = errors.New("the bus is closed")

// PubSub is a pub/sub component, connected.
type PubSub interface {
	// Publish returns when the broker has the message.
	Publish(ctx context.Context, topic string, data []byte, metadata map[string]string) error
	// Subscribe returns at once and calls handle until ctx ends. The broker keeps a message until handle returns nil.
	Subscribe(ctx context.Context, topic string, metadata map[string]string, handle Handler) error
	// Close ends the connection. Contexts of subscriptions must have ended.
	Close() error
}

// Handler takes one message.
type Handler = func(ctx context.Context, data []byte, metadata map[string]string) error

// Options say which component it is.
type Options struct {
	// Name is for people: "namespace/name".
	Name string
	// Open connects to the component as a consumer: those of one name share the messages, and go on where they were. It is
	// called for each, and with no name to publish.
	Open func(ctx context.Context, consumer string) (PubSub, error)
	Log  *slog.Logger
}

// Bus is a bus.Bus.
type Bus struct {
	opts Options

	mu        sync.Mutex
	publisher PubSub
	closed    bool
}

var _ bus.Bus = (*Bus)(nil)

// New describes a bus; it does not connect yet.
func New(o Options) *Bus {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Bus{opts: o}
}

// Ready connects, and tells what keeps the bus from working.
func (b *Bus) Ready(ctx context.Context) error {
	_, err := b.open(ctx)
	return err
}

func (b *Bus) open(ctx context.Context) (PubSub, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrClosed
	}
	if b.publisher != nil {
		return b.publisher, nil
	}
	p, err := b.opts.Open(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("opening bus %s: %w", b.opts.Name, err)
	}
	b.publisher = p
	return p, nil
}

// Publish implements bus.Bus.
func (b *Bus) Publish(ctx context.Context, m bus.Message) (bus.Receipt, error) {
	p, err := b.open(ctx)
	if err != nil {
		return bus.Receipt{}, err
	}
	data, contentType, err := encode(m)
	if err != nil {
		return bus.Receipt{}, fmt.Errorf("publishing to bus %s: %w", b.opts.Name, err)
	}
	meta := map[string]string{"contentType": contentType}
	if m.Key != "" {
		meta["partitionKey"] = m.Key // Kafka's; others pass over it
	}
	if err := p.Publish(ctx, m.Topic, data, meta); err != nil {
		return bus.Receipt{}, fmt.Errorf("publishing to bus %s: %w", b.opts.Name, err)
	}
	return bus.Receipt{}, nil
}

// Consume implements bus.Bus. Retries are made here, while the broker waits for the verdict: the events behind one in the same
// partition wait with it, as the broker's order demands.
func (b *Bus) Consume(ctx context.Context, c bus.Consumer, handle bus.Handler) error {
	if c.From != (bus.From{}) {
		return fmt.Errorf("consuming bus %s from a place in the past: %w", b.opts.Name, bus.ErrUnsupported)
	}
	if len(c.Topics) == 0 {
		return fmt.Errorf("consuming all topics of bus %s: %w", b.opts.Name, bus.ErrUnsupported)
	}
	s := &subscription{handle: handle, slots: make(chan struct{}, max(c.Concurrency, 1))}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 200*time.Millisecond, 10*time.Second
	for ctx.Err() == nil {
		lived, err := b.subscribe(ctx, c, s)
		if ctx.Err() != nil {
			break
		}
		if lived {
			wait.Reset()
		}
		pause := wait.NextBackOff()
		b.opts.Log.Warn("events cannot be taken from the bus, trying again", "bus", b.opts.Name, "consumer", c.Name, "after", pause, "error", err)
		sleep(ctx, pause)
	}
	return nil
}

// subscribe runs until ctx ends or the component is lost; it tells whether it could subscribe.
func (b *Bus) subscribe(ctx context.Context, c bus.Consumer, s *subscription) (lived bool, err error) {
	p, err := b.opts.Open(ctx, c.Name)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		s.running.Wait()
		err = errors.Join(err, p.Close())
	}()
	for _, topic := range c.Topics {
		if err := p.Subscribe(ctx, topic, nil, s.handler(ctx, topic)); err != nil {
			return false, fmt.Errorf("subscribing to topic %s: %w", topic, err)
		}
	}
	var lost <-chan struct{}
	if l, ok := p.(interface{ Lost() <-chan struct{} }); ok {
		lost = l.Lost()
	}
	select {
	case <-lost:
		return true, errors.New("the component gave up its connection")
	case <-ctx.Done():
		return true, nil
	}
}

// Forget implements bus.Bus. Brokers forget consumers by themselves, or by their own tools.
func (*Bus) Forget(context.Context, string) error { return nil }

// Lag implements bus.Bus.
func (*Bus) Lag(context.Context, string) (int64, error) { return 0, bus.ErrUnsupported }

// Read implements bus.Bus.
func (b *Bus) Read(context.Context, []string, bus.From, bool, func(bus.Stored) error) error {
	return fmt.Errorf("reading bus %s: %w", b.opts.Name, bus.ErrUnsupported)
}

// Close implements bus.Bus.
func (b *Bus) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.publisher == nil {
		return nil
	}
	err := b.publisher.Close()
	b.publisher = nil
	return err
}
