package run

import (
	"context"
	"encoding/json"
	"fmt"

	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/control/eventing"
	"github.com/openfunction/ofn/internal/event"
)

// always is the condition of a subscriber that has none.
const always = "true"

// resolve completes a trigger. A sink that is not there yet is the first error, after everything else was resolved.
func (c *Controller) resolve(ctx context.Context, t *events.Trigger) (event.Trigger, error) {
	out := event.Trigger{Name: event.Name{Namespace: t.Namespace, Name: t.Name}, Inputs: map[string]event.TriggerInput{}}
	var err error
	if out.Bus, err = c.options.Resolver.Bus(ctx, t.Namespace, t.Spec.EventBus); err != nil {
		return out, err
	}
	for name, in := range t.Spec.Inputs {
		if in != nil {
			out.Inputs[name] = event.TriggerInput{Topic: topic(t.Namespace, in), Filter: in.Filter}
		}
	}
	var first error
	for i, s := range t.Spec.Subscribers {
		if s == nil {
			continue
		}
		more, err := c.subscribers(ctx, t.Namespace, out.Bus, s)
		if err != nil && first == nil {
			first = fmt.Errorf("subscribers[%d]: %w", i, err)
		}
		if err != nil && !mendable(err) {
			return out, first
		}
		out.Subscribers = append(out.Subscribers, more...)
	}
	return out, first
}

func topic(namespace string, in *events.Input) string {
	if in.Topic != "" {
		return in.Topic
	}
	if in.Namespace != "" {
		namespace = in.Namespace
	}
	return events.Topic(namespace, in.EventSource, in.Event)
}

// subscribers are those that one of the manifest makes: one for its sink, one for its topic.
func (c *Controller) subscribers(ctx context.Context, namespace string, bus event.Name, s *events.Subscriber) ([]event.Subscriber, error) {
	base, err := subscriber(s)
	if err != nil {
		return nil, err
	}
	sink, wrong := c.options.Resolver.Sink(ctx, namespace, s.Sink)
	letters, err := c.options.Resolver.Sink(ctx, namespace, s.DeadLetterSink)
	if wrong == nil {
		wrong = err
	}
	var out []event.Subscriber
	if sink != nil {
		one := base
		one.Sink, one.DeadLetter = sink, letters
		if letters == nil {
			one.DeadLetter = onto(bus, s.DeadLetterTopic)
		}
		out = append(out, one)
	}
	if s.Topic != "" {
		one := base
		one.Sink, one.DeadLetter = onto(bus, s.Topic), onto(bus, s.DeadLetterTopic)
		if one.DeadLetter == nil {
			one.DeadLetter = letters
		}
		out = append(out, one)
	}
	return out, wrong
}

func onto(bus event.Name, topic string) *event.Sink {
	if topic == "" {
		return nil
	}
	return &event.Sink{Topic: topic, Bus: bus}
}

// subscriber translates what is the same for sink and topic.
func subscriber(s *events.Subscriber) (event.Subscriber, error) {
	out := event.Subscriber{Condition: s.Condition, Filter: s.Filter, Ordered: s.Ordered, Retry: eventing.Policy(s.Retry), From: s.From}
	if out.Condition == "" {
		out.Condition = always
	}
	if t := s.Transform; t != nil {
		text, err := json.Marshal(t)
		if err != nil {
			return out, fmt.Errorf("writing transform: %w", err)
		}
		out.Transform = text
	}
	if k := s.Correlate; k != nil {
		out.Correlate = &event.Correlation{Key: k.Key, All: k.All}
		if k.Window != nil {
			out.Correlate.Window = k.Window.Duration
		}
	}
	if l := s.RateLimit; l != nil {
		rate, err := l.Rate()
		if err != nil {
			return out, fmt.Errorf("rateLimit.perSecond: %w", err)
		}
		out.RatePerSec, out.Burst = rate, max(int(l.Burst), 1)
	}
	if s.Concurrency != nil {
		out.Concurrency = int(*s.Concurrency)
	}
	return out, nil
}
