package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dapr/dapr/pkg/scopes"

	"github.com/openfunction/ofn/internal/dapr/components"
	"github.com/openfunction/ofn/internal/event"
)

// acquireTimeout is how long a request waits for a component that is not connected yet.
const acquireTimeout = 5 * time.Second

// streamGrace is for deliveries under way when their stream has ended: nobody is left to answer them.
const streamGrace = 100 * time.Millisecond

// Lease is a component that a request of an app uses. Release must be called once.
type Lease struct {
	*components.Opened
	Release func()
}

// Acquire lends an app a component by its name: its own, or one of its namespace that it is in the scope of. Errors are *NotFound
// and *NotReady.
func (r *Runtime) Acquire(ctx context.Context, app event.Name, name string) (*Lease, error) {
	slot, err := r.view(app).find(name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, acquireTimeout)
	defer cancel()
	h, release, err := slot.acquire(ctx)
	if err != nil {
		return nil, err
	}
	return &Lease{h.Opened, release}, nil
}

// Knows is nil when the app has a component of that name, connected or not.
func (r *Runtime) Knows(app event.Name, name string) error {
	_, err := r.view(app).find(name)
	return err
}

// view is the app, or what stands for a function that was not applied: it sees the components of its namespace.
func (r *Runtime) view(n event.Name) *app {
	if a := r.app(n); a != nil {
		return a
	}
	return &app{rt: r, name: n}
}

// AppID is what Dapr knows an app by: its ID, or NAME-NAMESPACE.
func (r *Runtime) AppID(app event.Name) string { return r.view(app).id() }

// Visible are the components that an app may use, by name.
func (r *Runtime) Visible(app event.Name) []event.Component { return r.view(app).visible() }

// Find is the app of a namespace that an id stands for: its ID, its name, or NAME-NAMESPACE.
func (r *Runtime) Find(ns, id string) event.Name {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n, a := range r.apps {
		if n.Namespace == ns && a.look().ID == id {
			return n
		}
	}
	if name, ok := strings.CutSuffix(id, "-"+ns); ok && name != "" {
		if _, whole := r.apps[event.Name{Namespace: ns, Name: id}]; !whole {
			return event.Name{Namespace: ns, Name: name}
		}
	}
	return event.Name{Namespace: ns, Name: id}
}

// MayPublish applies the topics that a component allows an app to publish to.
func (r *Runtime) MayPublish(spec event.Component, app event.Name, topic string) bool {
	return topicAllowed(spec, topic, r.AppID(app), scopes.PublishingScopes)
}

// Published counts what an app sent to a component that it has: a topic, or an output binding.
func (r *Runtime) Published(app event.Name, component string, err error) {
	if a := r.app(app); a != nil {
		a.count.sent(component, err, time.Now())
	}
	if r.o.Metrics == nil {
		return
	}
	if err != nil {
		r.o.Metrics.Published(app, component, "error")
		return
	}
	r.o.Metrics.Published(app, component, "success")
}

// Subscribed is one subscription of an app, as metadata tell it.
type Subscribed struct {
	Component, Topic, DeadLetterTopic, Source string
	Metadata                                  map[string]string
	Routes                                    []event.Route
	Default                                   string
}

// Subscriptions are those of an app that are read.
func (r *Runtime) Subscriptions(app event.Name) []Subscribed {
	a := r.app(app)
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []Subscribed
	add := func(in *inlet) {
		for _, t := range in.topics {
			s := t.sub
			list = append(list, Subscribed{s.Component, s.Topic, s.DeadTopic, s.Source, s.Metadata, s.Rules, s.Default})
		}
	}
	for _, in := range a.inlets {
		add(in)
	}
	for in := range a.streams {
		add(in)
	}
	slices.SortFunc(list, func(x, y Subscribed) int { return strings.Compare(x.Component+x.Topic, y.Component+y.Topic) })
	return list
}

// StreamRequest is a subscription of an app that reads events from a stream of its own.
type StreamRequest struct {
	App             event.Name
	Component       string
	Topic           string
	DeadLetterTopic string
	Metadata        map[string]string
}

// StreamEvent is one event on such a stream.
type StreamEvent struct {
	event *topicEvent
}

// Attribute is a string attribute of the CloudEvent.
func (e StreamEvent) Attribute(name string) string { return e.event.text(name) }

// Extensions are the attributes that are of no standard.
func (e StreamEvent) Extensions() map[string]any { return e.event.extensions() }

// Data is what the event carries.
func (e StreamEvent) Data() ([]byte, error) { return e.event.data() }

// ErrNoApp says that something that only apps can do was asked by a function that is none.
var ErrNoApp = errors.New("this function has no event-driven part: it cannot subscribe")

// Stream reads a topic for an app and gives each event to send, several at once, which returns the app's answer: SUCCESS, RETRY or
// DROP. An error of send is a retry. Stream returns when ctx ends, after the deliveries under way.
func (r *Runtime) Stream(ctx context.Context, q StreamRequest, send func(context.Context, StreamEvent) (status string, err error)) error {
	a := r.app(q.App)
	if a == nil {
		return ErrNoApp
	}
	if _, err := a.find(q.Component); err != nil {
		return err
	}
	sub := &subscription{Source: "stream", Component: q.Component, Topic: q.Topic, DeadTopic: q.DeadLetterTopic, Metadata: q.Metadata}
	in := &inlet{app: a, component: q.Component, grace: streamGrace, topics: []*topicInlet{{
		sub: sub, router: &router{},
		attempt: func(work context.Context, ev *topicEvent) verdict {
			work, cancel := context.WithCancel(work)
			defer cancel()
			defer context.AfterFunc(ctx, cancel)()
			said, err := send(work, StreamEvent{ev})
			if err != nil {
				return failed(err, 0)
			}
			return status(said, 0)
		},
	}}}
	a.mu.Lock()
	if a.ctx.Err() != nil {
		a.mu.Unlock()
		return ErrGone
	}
	a.streams[in] = true
	in.start()
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.streams, in)
	}()
	select {
	case <-ctx.Done():
		in.stop()
		return nil
	case <-in.done:
		return fmt.Errorf("the function is being deleted: %w", ErrGone)
	}
}
