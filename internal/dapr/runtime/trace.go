package runtime

import (
	"maps"

	"github.com/dapr/components-contrib/bindings"
	"github.com/dapr/components-contrib/pubsub"

	"github.com/openfunction/ofn/internal/event"
)

// Tracer keeps what became of attempts to deliver events. Its method is called from many goroutines and must not wait.
type Tracer interface {
	// Delivery begins a span below the event's W3C traceparent, which may be empty. onward goes to the app in its place. end is
	// called with how it went; it is nil when nothing is traced.
	Delivery(parent string, app event.Name, component, topic string) (onward string, end func(error))
}

// tracedTopic attempts to deliver a copy of the event that carries the span of the attempt.
func (a *app) tracedTopic(ev *topicEvent, attempt func(*topicEvent) verdict) verdict {
	if a.rt.o.Tracer == nil {
		return attempt(ev)
	}
	onward, end := a.rt.o.Tracer.Delivery(ev.text(pubsub.TraceParentField), a.name, ev.sub.Component, ev.sub.Topic)
	if end == nil {
		return attempt(ev)
	}
	carrying := *ev
	carrying.event = maps.Clone(ev.event)
	carrying.event[pubsub.TraceParentField] = onward
	v := attempt(&carrying)
	end(v.cause)
	return v
}

// tracedBinding does the same for the event of an input binding.
func (a *app) tracedBinding(component string, r *bindings.ReadResponse, attempt func(*bindings.ReadResponse) (*bindingAnswer, verdict)) (*bindingAnswer, verdict) {
	if a.rt.o.Tracer == nil {
		return attempt(r)
	}
	onward, end := a.rt.o.Tracer.Delivery(r.Metadata[pubsub.TraceParentField], a.name, component, "")
	if end == nil {
		return attempt(r)
	}
	carrying := *r
	carrying.Metadata = with(r.Metadata, pubsub.TraceParentField, onward)
	answer, v := attempt(&carrying)
	end(v.cause)
	return answer, v
}
