// Package deliver brings one event to one sink: a function, a URI or a topic. It tries again as the policy says, and what cannot
// be delivered ends as a dead letter: at the sink that was named for that, else with the platform. It never holds more than
// the events that its callers are waiting for.
package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cloudevent"
)

// Options are what a Deliverer needs of its platform.
type Options struct {
	// Functions takes requests for the host that HostOf makes of a function to it. Nil refuses sinks that are functions.
	Functions http.RoundTripper
	HostOf    func(event.Name) string
	// URIs reaches the URIs of sinks, and refuses what they must not reach. Nil refuses such sinks.
	URIs http.RoundTripper
	// Topics gets what goes to topics. Nil refuses such sinks.
	Topics Topics
	// Letters keeps what has nowhere else to go. Without it such deliveries fail, and the events stay with their brokers.
	Letters Letters
	// SigningKey signs requests to URIs (Standard Webhooks) for a namespace. Nil, or a nil key, signs nothing.
	SigningKey func(ctx context.Context, namespace string) ([]byte, error)
	// Redrive brings a letter that names no sink back to where it came from (an App of the Dapr runtime). Nil refuses those.
	Redrive func(context.Context, Letter) error
	Metrics Metrics
	Log     *slog.Logger
	// Timeout of one attempt; 0 is 60 s.
	Timeout time.Duration
}

// Topics publishes to a bus.
type Topics interface {
	// Publish returns when the message is durable. bus.ErrTooLarge is final.
	Publish(ctx context.Context, on event.Name, m bus.Message) error
}

// Metrics counts. Outcome is "delivered", "retried", "refused" (another attempt would not help) or "circuit" (not tried: the sink
// is down); sink is "function", "uri" or "topic".
type Metrics interface {
	Attempt(from event.Ref, sink, outcome string, took time.Duration, err error)
	DeadLetter(from event.Ref)
}

type noMetrics struct{}

func (noMetrics) Attempt(event.Ref, string, string, time.Duration, error) {}
func (noMetrics) DeadLetter(event.Ref)                                    {}

// Delivery is one event on its way to one sink.
type Delivery struct {
	Event      cloudevent.Event
	Sink       event.Sink
	DeadLetter *event.Sink // nil: the platform keeps it
	Retry      event.Policy
	From       event.Ref // on whose behalf
	Part       string    // of From: the subscriber's condition, the input
	Accepted   time.Time // what MaxAge counts from; zero is now
	// Reply gets the CloudEvent that the sink answers with, if it does; nil drops it.
	Reply *event.Sink
}

// Result is how an attempt, or all of them, ended. The zero Result is success.
type Result struct {
	Err      error         // nil: the sink took the event
	Code     int           // HTTP status; 0 when there was no answer
	Answer   []byte        // the beginning of the body of a refusal
	Retry    bool          // another attempt may succeed
	After    time.Duration // the sink asked for this much patience
	Attempts int           // made so far
	Dead     bool          // it became a dead letter, durably
	reply    *cloudevent.Event
}

// Deliverer delivers events. Its methods may be called from any goroutine.
type Deliverer struct {
	o        Options
	circuits circuits
}

// New makes a Deliverer.
func New(o Options) *Deliverer {
	if o.Metrics == nil {
		o.Metrics = noMetrics{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	return &Deliverer{o: o}
}

// Deliver tries until the sink took the event or it is a durable dead letter: then, and only then, the error is nil and the
// event may be acknowledged. The Result tells which. The error is ctx's, or that of the dead letter.
func (d *Deliverer) Deliver(ctx context.Context, v Delivery) (Result, error) {
	if v.Accepted.IsZero() {
		v.Accepted = time.Now()
	}
	waits := Waits(v.Retry)
	for n := 1; ; n++ {
		r := d.Attempt(ctx, v)
		r.Attempts = n
		if r.Err == nil {
			return r, nil
		}
		if ctx.Err() != nil {
			return r, context.Cause(ctx)
		}
		wait, again := Next(v.Retry, waits, r, time.Since(v.Accepted))
		if !again {
			return r, d.GiveUp(ctx, v, &r)
		}
		if err := sleep(ctx, wait); err != nil {
			return r, err
		}
	}
}

// Waits gives the pauses between attempts: they double from Initial to Max, each by half more or less.
func Waits(p event.Policy) *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{InitialInterval: p.Initial, MaxInterval: p.Max, Multiplier: 2, RandomizationFactor: 0.5}
	if b.InitialInterval <= 0 {
		b.InitialInterval = 200 * time.Millisecond
	}
	if b.MaxInterval <= 0 {
		b.MaxInterval = time.Minute
	}
	b.MaxInterval = max(b.MaxInterval, b.InitialInterval)
	b.Reset()
	return b
}

// maxPatience bounds what a sink may ask for with Retry-After.
const maxPatience = 5 * time.Minute

// Next says whether, and after which pause, the delivery is tried again whose last attempt is r and whose event is of that age.
func Next(p event.Policy, waits *backoff.ExponentialBackOff, r Result, age time.Duration) (time.Duration, bool) {
	attempts := p.Attempts
	if attempts <= 0 {
		attempts = 10
	}
	if !r.Retry || r.Attempts >= attempts {
		return 0, false
	}
	wait := max(waits.NextBackOff(), min(r.After, maxPatience))
	if p.MaxAge > 0 && age+wait > p.MaxAge {
		return 0, false
	}
	return wait, true
}

// GiveUp makes a dead letter of a delivery that failed with r. It returns nil when the letter is durable, and says so in r.
func (d *Deliverer) GiveUp(ctx context.Context, v Delivery, r *Result) error {
	if err := d.giveUp(ctx, v, *r); err != nil {
		return fmt.Errorf("keeping the dead letter of event %s from %s: %w", v.Event.ID, v.Event.Source, err)
	}
	r.Dead = true
	d.o.Metrics.DeadLetter(v.From)
	d.o.Log.Warn("an event could not be delivered and is a dead letter now", "from", v.From.Kind, "name", v.From.String(), "part", v.Part,
		"sink", Describe(v.Sink), "id", v.Event.ID, "source", v.Event.Source, "attempts", r.Attempts, "code", r.Code, "err", r.Err)
	return nil
}

func (d *Deliverer) giveUp(ctx context.Context, v Delivery, r Result) error {
	l := letterOf(v, r)
	var refused error
	if v.DeadLetter != nil {
		dead := Delivery{Event: l.Told(), Sink: *v.DeadLetter, From: v.From, Part: v.Part}
		if refused = d.deadLetterSink(ctx, dead); refused == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		l.Cause += "; and the dead letter sink did not take it: " + refused.Error()
	}
	if d.o.Letters == nil {
		return errors.Join(errors.New("the platform keeps no dead letters"), refused)
	}
	return d.o.Letters.Put(ctx, l)
}

// deadLetterSink tries a few times: behind it is a store that always takes.
func (d *Deliverer) deadLetterSink(ctx context.Context, v Delivery) error {
	policy := event.Policy{Attempts: 4, Max: 2 * time.Second}
	waits := Waits(policy)
	for n := 1; ; n++ {
		r := d.Attempt(ctx, v)
		r.Attempts = n
		wait, again := Next(policy, waits, r, 0)
		if r.Err == nil || !again {
			return r.Err
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// Describe is a sink for people.
func Describe(s event.Sink) string {
	switch {
	case s.Function != nil:
		return "function " + s.Function.String() + s.Path
	case s.URI != "":
		return "uri " + s.URI
	case s.Topic != "":
		return "topic " + s.Topic + " of bus " + s.Bus.String()
	}
	return "nowhere"
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
