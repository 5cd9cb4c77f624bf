// Package runtime holds what a set of Dapr sidecars would: components of namespaces and of single apps, apps, their
// subscriptions and input bindings, and the delivery of events to them. A broker gets its acknowledgement only after the app
// answered, or after what the app could not handle is kept elsewhere.
package runtime

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/openfunction/ofn/internal/dapr/components"
	"github.com/openfunction/ofn/internal/event"
)

// Options are what a runtime needs.
type Options struct {
	Log         *slog.Logger
	Caller      Caller
	DeadLetters DeadLetters
	Secrets     Secrets
	Metrics     Metrics
	Tracer      Tracer        // nil traces nothing
	Timeout     time.Duration // of one call, where an app names none; 0 is 60 s
	// AppToken is the token that an app asks of Dapr (APP_API_TOKEN); nil, or an empty one, is none.
	AppToken func(app event.Name) string
	// Files and Environ are what components see of the machine: see components.Factory.
	Files   string
	Environ []string
}

// Caller reaches copies of functions.
type Caller interface {
	// Call waits for a free slot of a copy of the revision, starting one if there is none, and calls use while the slot is
	// held. dial connects to the port of that copy; copy names it among all copies that ever were. An error that use returns
	// is returned as it is.
	Call(ctx context.Context, namespace, revision string, use func(ctx context.Context, copy string, dial func(context.Context) (net.Conn, error)) error) error
}

// DeadLetters keeps events that were given up.
type DeadLetters interface {
	// Put returns when the letter is durable: in its Sink where it names one and that takes it, with the platform otherwise.
	Put(ctx context.Context, l DeadLetter) error
}

// DeadLetter is an event that an app could not handle, and why.
type DeadLetter struct {
	App       event.Name
	Revision  string
	Input     string // name of the app's input, if it is one
	Component string
	Type      string // of the component: "pubsub.kafka"
	Topic     string // empty for bindings
	Path      string // of the app that would have got it
	Sink      *event.Sink

	ID, Source  string // of the CloudEvent, if it is one
	ContentType string
	Data        []byte // as the broker gave it: for topics the CloudEvent in JSON, unless the subscription is raw
	Metadata    map[string]string

	Cause    string
	Code     int // HTTP status, or gRPC code, of the last attempt; 0 is none
	Attempts int
	First    time.Time // when the event was accepted
	Last     time.Time
}

// Secrets reads secrets of the platform.
type Secrets = components.Secrets

// Metrics counts what passes. Outcomes of a delivery are "success", "retry", "drop", "waiting" (no copy was reached) and "deadletter".
type Metrics interface {
	Delivered(app event.Name, component, outcome string, took time.Duration)
	Published(app event.Name, component, outcome string)
}
