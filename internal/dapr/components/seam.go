// Package components makes Dapr components of components-contrib: a table from type to constructor, with metadata checked
// before anything connects and logs in the platform's own log.
package components

import "context"

// PubSub is a pub/sub component, connected.
type PubSub interface {
	// Publish returns when the broker has the message.
	Publish(ctx context.Context, topic string, data []byte, metadata map[string]string) error
	// Subscribe returns at once and calls handle until ctx ends, several at a time where the component does. The broker keeps
	// the message until handle returns nil; an error brings it again, when and how often is the component's own.
	Subscribe(ctx context.Context, topic string, metadata map[string]string, handle Handler) error
	// Close ends the connection. Contexts of subscriptions must have ended.
	Close() error
}

// Handler takes one message.
type Handler = func(ctx context.Context, data []byte, metadata map[string]string) error

// Input is an input binding, connected.
type Input interface {
	// Read returns at once and calls handle until ctx ends. Brokers keep the event until handle returns nil.
	Read(ctx context.Context, handle Handler) error
	// Close ends the connection. Contexts of Read must have ended.
	Close() error
}
