package components

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/dapr/components-contrib/bindings"
	"github.com/dapr/components-contrib/pubsub"

	"github.com/openfunction/ofn/internal/event"
)

// MetadataContentType is the metadata key of a message's content type, where its broker told one.
const MetadataContentType = "content-type"

// OpenPubSub connects a pub/sub component for a caller of its own.
func (f *Factory) OpenPubSub(ctx context.Context, c event.Component, consumer string) (PubSub, error) {
	p := &plainPubSub{factory: f, spec: c, consumer: consumer, closed: make(chan struct{})}
	if _, err := p.connected(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// OpenInput connects an input binding for a caller of its own.
func (f *Factory) OpenInput(ctx context.Context, c event.Component, consumer string) (Input, error) {
	o, err := f.Open(ctx, c, consumer)
	if err != nil {
		return nil, err
	}
	if o.Input == nil {
		return nil, errors.Join(fmt.Errorf("component %s: type %s is no input binding", c.Name, c.Type), o.Close())
	}
	return plainInput{o}, nil
}

// Lost is closed when the component must be opened anew because its driver gave up; nil is a driver that never does.
func (o *Opened) Lost() <-chan struct{} {
	type loser interface{ Lost() <-chan struct{} }
	if l, ok := o.PubSub.(loser); ok {
		return l.Lost()
	}
	if l, ok := o.Input.(loser); ok {
		return l.Lost()
	}
	return nil
}

// plainPubSub is a component without its runtime.
type plainPubSub struct {
	factory  *Factory
	spec     event.Component
	consumer string
	closed   chan struct{}
	wg       sync.WaitGroup
	mu       sync.Mutex
	o        *Opened
}

// connected is the connection that is published on, made anew when its driver gave it up.
func (p *plainPubSub) connected(ctx context.Context) (*Opened, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.o != nil {
		select {
		case <-p.o.Lost():
			_ = p.o.Close()
			p.o = nil
		default:
			return p.o, nil
		}
	}
	o, err := p.open(ctx, p.consumer)
	if err != nil {
		return nil, err
	}
	p.o = o
	return o, nil
}

func (p *plainPubSub) open(ctx context.Context, consumer string) (*Opened, error) {
	o, err := p.factory.Open(ctx, p.spec, consumer)
	if err != nil {
		return nil, err
	}
	if o.PubSub == nil {
		return nil, errors.Join(fmt.Errorf("component %s: type %s is not of pub/sub", p.spec.Name, p.spec.Type), o.Close())
	}
	return o, nil
}

func (p *plainPubSub) Close() error {
	close(p.closed)
	p.wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.o == nil {
		return nil
	}
	return p.o.Close()
}

func (p *plainPubSub) Publish(ctx context.Context, topic string, data []byte, meta map[string]string) error {
	o, err := p.connected(ctx)
	if err != nil {
		return err
	}
	req := &pubsub.PublishRequest{Data: data, PubsubName: p.spec.Name.Name, Topic: topic, Metadata: meta}
	if t, ok := meta[MetadataContentType]; ok {
		req.ContentType = &t
	}
	return o.PubSub.Publish(ctx, req)
}

func (p *plainPubSub) Subscribe(ctx context.Context, topic string, meta map[string]string, handle Handler) error {
	subscribe := func(o *Opened) error {
		return o.PubSub.Subscribe(ctx, pubsub.SubscribeRequest{Topic: topic, Metadata: meta}, func(ctx context.Context, m *pubsub.NewMessage) error {
			return handle(ctx, m.Data, withContentType(m.Metadata, m.ContentType))
		})
	}
	if Canonical(p.spec.Type) != "pubsub.jetstream" {
		o, err := p.connected(ctx)
		if err != nil {
			return err
		}
		return subscribe(o)
	}
	// A durable consumer of JetStream is of one subject: each has a connection of its own, which this watches.
	consumer := p.consumer + "-" + topic
	o, err := p.open(ctx, consumer)
	if err != nil {
		return err
	}
	if err := subscribe(o); err != nil {
		return errors.Join(err, o.Close())
	}
	p.wg.Go(func() { p.keep(ctx, o, consumer, subscribe) })
	return nil
}

// keep opens a subscription's connection anew whenever it was given up, until ctx ends or p is closed.
func (p *plainPubSub) keep(ctx context.Context, o *Opened, consumer string, subscribe func(*Opened) error) {
	wait := backoff.NewExponentialBackOff()
	for {
		var lost <-chan struct{}
		var again <-chan time.Time
		if o != nil {
			lost = o.Lost()
			wait.Reset()
		} else {
			again = time.After(wait.NextBackOff())
		}
		select {
		case <-ctx.Done():
		case <-p.closed:
		case <-lost:
		case <-again:
		}
		if o != nil {
			_ = o.Close()
			o = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-p.closed:
			return
		default:
		}
		next, err := p.open(ctx, consumer)
		if err == nil {
			if err = subscribe(next); err != nil {
				err = errors.Join(err, next.Close())
			} else {
				o = next
			}
		}
		if err != nil {
			p.factory.Log.Warn("reading from a component again failed", "component", p.spec.Name.String(), "error", err)
		}
	}
}

type plainInput struct{ o *Opened }

func (p plainInput) Close() error { return p.o.Close() }

// Lost is that of the component: nothing more is read then.
func (p plainInput) Lost() <-chan struct{} { return p.o.Lost() }

func (p plainInput) Read(ctx context.Context, handle Handler) error {
	return p.o.Input.Read(ctx, func(ctx context.Context, r *bindings.ReadResponse) ([]byte, error) {
		return nil, handle(ctx, r.Data, withContentType(r.Metadata, r.ContentType))
	})
}

func withContentType(m map[string]string, contentType *string) map[string]string {
	if contentType == nil || *contentType == "" {
		return m
	}
	m = maps.Clone(m)
	if m == nil {
		m = map[string]string{}
	}
	m[MetadataContentType] = *contentType
	return m
}
