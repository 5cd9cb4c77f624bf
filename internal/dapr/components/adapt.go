package components

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/dapr/components-contrib/bindings"
	"github.com/dapr/components-contrib/pubsub"

	"github.com/openfunction/ofn/internal/event"
)

// MetadataContentType is the metadata key of a message's content type, where its broker told one.
const MetadataContentType = "content-type"

// OpenPubSub connects a pub/sub component for a caller of its own.
func (f *Factory) OpenPubSub(ctx context.Context, c event.Component, consumer string) (PubSub, error) {
	o, err := f.Open(ctx, c, consumer)
	if err != nil {
		return nil, err
	}
	if o.PubSub == nil {
		return nil, errors.Join(fmt.Errorf("component %s: type %s is not of pub/sub", c.Name, c.Type), o.Close())
	}
	return plainPubSub{o}, nil
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

type plainPubSub struct{ o *Opened }

func (p plainPubSub) Close() error { return p.o.Close() }

func (p plainPubSub) Publish(ctx context.Context, topic string, data []byte, meta map[string]string) error {
	req := &pubsub.PublishRequest{Data: data, PubsubName: p.o.Spec.Name.Name, Topic: topic, Metadata: meta}
	if t, ok := meta[MetadataContentType]; ok {
		req.ContentType = &t
	}
	return p.o.PubSub.Publish(ctx, req)
}

func (p plainPubSub) Subscribe(ctx context.Context, topic string, meta map[string]string, handle Handler) error {
	return p.o.PubSub.Subscribe(ctx, pubsub.SubscribeRequest{Topic: topic, Metadata: meta}, func(ctx context.Context, m *pubsub.NewMessage) error {
		return handle(ctx, m.Data, withContentType(m.Metadata, m.ContentType))
	})
}

type plainInput struct{ o *Opened }

func (p plainInput) Close() error { return p.o.Close() }

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
