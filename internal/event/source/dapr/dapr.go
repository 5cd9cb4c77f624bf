// Package dapr takes the events of any Dapr input binding or publish/subscribe component. The component acknowledges to its broker
// when the event is safe.
package dapr

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/source"
)

// Component is a component, resolved.
type Component struct {
	Namespace string            `json:"-"`
	Name      string            `json:"name"`
	Type      string            `json:"type"`
	Version   string            `json:"version"`
	Metadata  map[string]string `json:"metadata"`
}

// Handler takes one message. The broker keeps it until the handler returns nil.
type Handler = func(ctx context.Context, data []byte, metadata map[string]string) error

// Binding is an input binding, connected.
type Binding interface {
	// Read returns at once and calls handle until ctx ends.
	Read(ctx context.Context, handle Handler) error
	Close() error
}

// PubSub is a publish/subscribe component, connected.
type PubSub interface {
	// Subscribe returns at once and calls handle until ctx ends.
	Subscribe(ctx context.Context, topic string, metadata map[string]string, handle Handler) error
	Close() error
}

// Opener connects components. Consumers are known to their brokers by namespace and name of the component.
type Opener interface {
	Binding(context.Context, Component) (Binding, error)
	PubSub(context.Context, Component) (PubSub, error)
}

type spec struct {
	Topic     string     `json:"topic"`
	Component *Component `json:"component"`
}

// New makes the sources.
func New(open Opener) source.New {
	return func(c source.Config) (source.Source, error) {
		var s spec
		if err := c.Decode(&s); err != nil {
			return nil, err
		}
		switch {
		case s.Component == nil || s.Component.Type == "":
			return nil, source.Invalid{Field: "component", Problem: "it is not there: name a Component of the namespace, or give type and metadata"}
		case strings.HasPrefix(s.Component.Type, "pubsub."):
			if s.Topic == "" {
				return nil, source.Invalid{Field: "topic", Problem: s.Component.Type + " needs it"}
			}
		case !strings.HasPrefix(s.Component.Type, "bindings."):
			return nil, source.Invalid{Field: "component", Problem: s.Component.Type + " brings no events: use a type of bindings or pubsub"}
		}
		s.Component.Namespace = c.Namespace
		if s.Component.Name == "" {
			s.Component.Name = c.Name + "-" + c.Event
		}
		return &reader{id: c.Identity, spec: s, open: open}, nil
	}
}

type reader struct {
	id   source.Identity
	spec spec
	open Opener
}

// losing is a component that tells when it gave up: nothing comes from it then.
type losing interface{ Lost() <-chan struct{} }

func (r *reader) Run(ctx context.Context, out source.Out) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	var under sync.WaitGroup
	var mu sync.Mutex // handlers begin only before Run waits for them
	ended := false
	handle := func(_ context.Context, data []byte, metadata map[string]string) error {
		mu.Lock()
		if ended || ctx.Err() != nil {
			mu.Unlock()
			return context.Canceled // the broker keeps it
		}
		under.Add(1)
		mu.Unlock()
		defer under.Done()
		return out.Emit(ctx, r.event(data, metadata))
	}
	opened, err := r.start(ctx, handle)
	if err != nil {
		return source.Ended(ctx, err)
	}
	out.Connected()
	var lost <-chan struct{}
	if l, ok := opened.(losing); ok {
		lost = l.Lost()
	}
	select {
	case <-ctx.Done():
	case <-lost:
		err = source.Ended(ctx, fmt.Errorf("%s gave up its connection, or what it read was deleted: connecting anew", r.spec.Component.Type))
	}
	mu.Lock()
	ended = true
	mu.Unlock()
	under.Wait()
	end() // of what is read, before it is closed
	if closed := opened.Close(); closed != nil {
		out.Trouble(closed)
	}
	return err
}

func (r *reader) start(ctx context.Context, handle Handler) (opened io.Closer, err error) {
	c := *r.spec.Component
	if strings.HasPrefix(c.Type, "pubsub.") {
		p, err := r.open.PubSub(ctx, c)
		if err != nil {
			return nil, err
		}
		if err := p.Subscribe(ctx, r.spec.Topic, nil, handle); err != nil {
			_ = p.Close()
			return nil, fmt.Errorf("subscribing to topic %s: %w", r.spec.Topic, err)
		}
		return p, nil
	}
	b, err := r.open.Binding(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := b.Read(ctx, handle); err != nil {
		_ = b.Close()
		return nil, fmt.Errorf("reading %s: %w", c.Type, err)
	}
	return b, nil
}

func (r *reader) event(data []byte, metadata map[string]string) cloudevent.Event {
	header := make(map[string]string, len(metadata))
	for k, v := range metadata {
		header[strings.ToLower(k)] = v
	}
	id := ""
	switch {
	case header["__offset"] != "": // Kafka
		id = header["__topic"] + "/" + header["__partition"] + "/" + header["__offset"]
	case header["messageid"] != "": // RabbitMQ and others
		id = source.Hash(header["messageid"])
	}
	at := time.Now()
	if id == "" {
		id = source.Hash(at.Format(time.RFC3339Nano), string(data))
	}
	e := r.id.Message(header, "", id, data, at)
	if key := header["__key"]; key != "" && e.Extension(cloudevent.PartitionKey) == "" {
		e.SetExtension(cloudevent.PartitionKey, key)
		if e.Validate() != nil {
			e.SetExtension(cloudevent.PartitionKey, source.Hash(key))
		}
	}
	return e
}
