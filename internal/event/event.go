// Package event says what the event half of the platform is made of: components, event-driven functions, buses, sources and
// triggers, as a controller hands them to an engine, complete: nothing in them must be looked up in a cluster. Engines are
// siblings (embedded, later one for clusters). The package knows no broker, no Dapr and no Kubernetes.
//
// The way of one event on one machine:
//
//	event/source/KIND ── event/deliver ── bus/jetstream ── event/trigger ── event/deliver ── gateway ── the function
//	a broker, a timer,   retries, dead     durable before   conditions,      retries,
//	a webhook            letters           acknowledged     filters          dead letters
package event

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Name names an object. Namespace is empty for objects of the whole cluster.
type Name struct{ Namespace, Name string }

// String is "namespace/name".
func (n Name) String() string { return n.Namespace + "/" + n.Name }

// Component is a Dapr component whose secrets are resolved.
type Component struct {
	Name
	Type         string // "pubsub.kafka"
	Version      string // "v1"; empty is v1
	Metadata     map[string]string
	Scopes       []string      // functions that may use it; empty is all of its namespace
	IgnoreErrors bool          // a failure to initialise does not fail the functions that use it
	InitTimeout  time.Duration // 0 is 5 s
}

// App is an event-driven function: what Dapr calls an application.
type App struct {
	Name                   // the Function
	ID         string      // what other applications invoke it by; empty is the function's name
	Revision   string      // the Serving whose copies are called
	Port       int         // where its copies listen for the app channel
	Protocol   string      // "grpc", "http"; empty: found out by asking the first copy
	Components []Component // its own, seen by it only, beside those of the namespace
	// Sidecar is whether a daprd beside each copy is its Dapr runtime: nothing of it is connected or called by another.
	Sidecar bool
	Inputs  []Input // what calls it
	// Subscriptions are Subscription objects of its namespace that it is in the scope of; they call it beside Inputs.
	Subscriptions []Subscription
	Timeout       time.Duration // of one call; 0 is the platform's
	Retry         Policy
	DeadLetter    *Sink // nil: what cannot be handled is kept with the platform's dead letters
	// MaxConcurrency bounds how many events are inside the function at once, over all copies; 0 is the platform's choice.
	MaxConcurrency int
}

// Input is a component that calls an App.
type Input struct {
	Name      string // as the function's context calls it
	Component string
	Type      string // "bindings.cron", "pubsub.redis"
	Topic     string // of pub/sub components
	Metadata  map[string]string
	// Retry of its events; nil is that of the App.
	Retry *Policy
	// DeadLetterTopic of the same pub/sub component gets what cannot be handled.
	DeadLetterTopic string
	// DeadLetter gets it where there is no such topic, or that does not take it; nil is that of the App.
	DeadLetter *Sink
}

// Subscription is a declarative subscription of Dapr: a topic whose events call an App at paths of the subscriber's choice.
type Subscription struct {
	Name      string // of the object
	Component string // the pub/sub component
	Topic     string
	Routes    []Route // the first whose Match holds
	Default   string  // path of events that no route matches; empty is none: they are acknowledged
	// DeadLetterTopic of the same component gets what cannot be handled.
	DeadLetterTopic string
	Metadata        map[string]string
	// Bulk hands several messages over in one call, at most BulkMessages, or those that came within BulkAwait. Zero is Dapr's.
	Bulk         bool
	BulkMessages int
	BulkAwait    time.Duration
}

// Route sends events to a path.
type Route struct {
	Match string // CEL over event, as Dapr's routing rules
	Path  string
}

// Policy is how often and for how long a delivery is tried. Waits grow from Initial by a factor of two to Max, with jitter.
type Policy struct {
	Attempts int           // in all; 0 is 10; 1 is no retry
	Initial  time.Duration // 0 is 200 ms
	Max      time.Duration // 0 is 1 min
	MaxAge   time.Duration // since the event was accepted; 0 is no limit
}

// Sink is where events go.
type Sink struct {
	// Function is called through the gateway of the platform, at Path. It wins over URI.
	Function *Name
	Path     string
	// URI is called with the event in binary CloudEvents mode.
	URI string
	// Topic of Bus is published to.
	Topic string
	Bus   Name
}

// Bus is where events wait.
type Bus struct {
	Name
	// Kind is "embedded", "jetStream", "kafka" or "dapr".
	Kind string
	// Options are the fields of that kind, resolved: JetStreamOptions; nothing for the others.
	Options json.RawMessage
	// Component is the pub/sub component of kinds "kafka" and "dapr".
	Component *Component
	Retention Retention
}

// JetStreamOptions are the Options of a Bus of kind "jetStream", as JSON.
type JetStreamOptions struct {
	URL           string `json:"url"`
	Stream        string `json:"stream,omitempty"`
	SubjectPrefix string `json:"subjectPrefix,omitempty"`
	Replicas      int    `json:"replicas,omitempty"`
	Username      string `json:"username,omitempty"`
	Password      string `json:"password,omitempty"`
	Token         string `json:"token,omitempty"`
	Credentials   string `json:"credentials,omitempty"` // what a .creds file holds
	NKey          string `json:"nkey,omitempty"`        // a seed
	CA            string `json:"ca,omitempty"`          // PEM, as the next two
	Certificate   string `json:"certificate,omitempty"`
	Key           string `json:"key,omitempty"`
	Insecure      bool   `json:"insecure,omitempty"` // any certificate of the server will do
}

// JetStreamOptionsOf reads the options of a bus of kind "jetStream".
func JetStreamOptionsOf(b Bus) (JetStreamOptions, error) {
	var o JetStreamOptions
	if err := json.Unmarshal(b.Options, &o); err != nil {
		return o, fmt.Errorf("reading the options of bus %s: %w", b.Name, err)
	}
	return o, nil
}

// Retention is how much a bus keeps. Zero fields are the bus's defaults.
type Retention struct {
	MaxAge   time.Duration // 0 is 7 days
	MaxBytes int64         // of all topics together; 0 is 10 GiB
	// Duplicates is how long the same event (CloudEvent source and id) is taken only once; 0 is 2 min.
	Duplicates time.Duration
}

// Source is one event of an EventSource.
type Source struct {
	Name         // of the EventSource
	Event string // key in its map of that kind
	Kind  string // "kafka", "cron", "webhook"...
	Spec  json.RawMessage
	// Topic of Bus gets the events; empty when there is no bus.
	Bus   Name
	Topic string
	// Sink gets them directly as well; nil is none.
	Sink       *Sink
	DeadLetter *Sink
	Retry      Policy
}

// Trigger connects topics of a bus to subscribers.
type Trigger struct {
	Name
	Bus         Name
	Inputs      map[string]TriggerInput
	Subscribers []Subscriber
	// Shared says that several copies of the trigger divide its events among them.
	Shared bool `json:",omitempty"`
}

// TriggerInput is a topic, by the name that conditions use.
type TriggerInput struct {
	Topic string
	// Filter is CloudEvents SQL over the event; empty lets everything through.
	Filter string
}

// Subscriber gets the events for which its condition holds.
type Subscriber struct {
	// Condition is CEL over the inputs as booleans and over `event` and `data`.
	Condition string
	// Filter is CloudEvents SQL; empty lets everything through.
	Filter     string
	Transform  json.RawMessage // of the payload; empty is none
	Correlate  *Correlation    // nil: each event by itself
	RatePerSec float64         // 0 is unlimited
	Burst      int
	Ordered    bool // events of one partition key one after the other
	Sink       *Sink
	DeadLetter *Sink
	Retry      Policy
	// Concurrency bounds the calls under way; 0 is 32.
	Concurrency int
	// From is where a new subscriber begins: "new" (default), "all", an RFC 3339 time or a sequence number.
	From string
}

// Correlation gathers one event of each input before the subscriber is called.
type Correlation struct {
	Window time.Duration // since the first; 0 is 1 min
	Key    string        // CEL over event and data that events must agree in; empty is one group
	All    bool          // keep all events of an input, not the newest only
}

// Kind tells statuses apart.
type Kind string

// The kinds of things an Engine runs.
const (
	KindComponent Kind = "Component"
	KindApp       Kind = "App"
	KindBus       Kind = "Bus"
	KindSource    Kind = "Source" // Ref.Event says which
	KindTrigger   Kind = "Trigger"
	KindInput     Kind = "Input"  // of an App: Ref.Event is the component that calls it
	KindOutput    Kind = "Output" // of an App: Ref.Event is the component that it sends to
)

// Ref names something that an Engine runs.
type Ref struct {
	Kind Kind
	Name
	Event string // of sources; the component of inputs and outputs
}

// Status is what an engine knows.
type Status struct {
	Ready   bool
	Reason  string // CamelCase: Connecting, BadCredentials, UnknownType, Ready...
	Message string // for people: what was wrong, where, what to do
	Since   time.Time

	Handled     int64   // events since the platform started
	Failed      int64   // attempts that failed
	DeadLetters int64   // events given up
	Lag         int64   // events that wait; -1 is unknown
	PerSecond   float64 // over the last minute
	LastError   string
	LastEvent   time.Time
}

// Engine runs the event half. Every method is idempotent and returns without waiting for brokers; what is wrong with one is in
// its Status. What was applied runs until it is deleted or the platform ends; controllers apply everything again after a start.
type Engine interface {
	ApplyComponent(context.Context, Component) error
	ApplyApp(context.Context, App) error
	ApplyBus(context.Context, Bus) error
	ApplySource(context.Context, Source) error
	ApplyTrigger(context.Context, Trigger) error
	Delete(context.Context, Ref) error
	Status(Ref) (Status, bool)
	// Watch calls changed, from any goroutine, whenever a status may have changed, until ctx ends.
	Watch(ctx context.Context, changed func(Ref))
}
