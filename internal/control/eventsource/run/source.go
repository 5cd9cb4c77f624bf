package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/control/eventing"
	"github.com/openfunction/ofn/internal/control/secret"
	"github.com/openfunction/ofn/internal/event"
)

// common is what all sources of an EventSource have.
func (c *Controller) common(ctx context.Context, s *events.EventSource, wrong *problems) (event.Source, error) {
	out := event.Source{Name: event.Name{Namespace: s.Namespace, Name: s.Name}, Retry: eventing.Policy(s.Spec.Retry)}
	var err error
	if out.Bus, err = c.options.Resolver.Bus(ctx, s.Namespace, s.Spec.EventBus); err != nil {
		return out, note(&wrong.all, err)
	}
	out.Sink, err = c.options.Resolver.Sink(ctx, s.Namespace, s.Spec.Sink)
	if err := note(&wrong.all, err); err != nil {
		return out, err
	}
	out.DeadLetter, err = c.options.Resolver.Sink(ctx, s.Namespace, s.Spec.DeadLetterSink)
	return out, note(&wrong.all, err)
}

// note keeps what the user must mend, and returns every other error.
func note(into *problem, err error) error {
	p, ok := told(err)
	if ok && into.reason == "" {
		*into = p
	}
	if ok {
		return nil
	}
	return err
}

// told makes a problem of what the user must mend.
func told(err error) (problem, bool) {
	var bus *eventing.MissingBus
	var absent *secret.Missing
	var refused refusal
	switch {
	case errors.As(err, &bus):
		return problem{events.ReasonNoEventBus, err.Error()}, true
	case errors.As(err, &absent):
		return problem{events.ReasonMissingReference, err.Error()}, true
	case errors.As(err, &refused):
		return problem{events.ReasonErrorEventSource, err.Error()}, true
	default:
		return problem{}, false
	}
}

// source completes one: its fields with those that are in secrets, and its component.
func (c *Controller) source(ctx context.Context, common event.Source, s events.Source) (event.Source, error) {
	common.Event, common.Kind = s.Event, s.Kind
	if common.Bus.Name != "" {
		common.Topic = events.Topic(common.Namespace, common.Name.Name, s.Event)
	}
	fields := map[string]any{}
	text, err := json.Marshal(s.Spec)
	if err != nil {
		return common, fmt.Errorf("writing source %s: %w", s.Event, err)
	}
	if err := json.Unmarshal(text, &fields); err != nil {
		return common, fmt.Errorf("reading source %s: %w", s.Event, err)
	}
	for name, ref := range s.Options.SecretRefs {
		value, err := secret.Value(ctx, c.client, common.Namespace, "secret", ref.Name, ref.Key)
		if err != nil {
			return common, fmt.Errorf("field %s: %w", name, err)
		}
		fields[name] = string(value)
	}
	delete(fields, "secretRefs")
	delete(fields, "scaleOption") // of the handlers of a cluster
	if d, ok := s.Spec.(*events.DaprSpec); ok {
		component, err := c.options.Resolver.Described(ctx, event.Name{Namespace: common.Namespace, Name: common.Name.Name + "-" + s.Event}, d.Component, d.Type, d.Version, d.Metadata)
		if err != nil {
			return common, err
		}
		fields["component"] = described{component.Name.Name, component.Type, component.Version, component.Metadata}
		for _, name := range []string{"type", "version", "metadata"} {
			delete(fields, name)
		}
	}
	common.Spec, err = json.Marshal(fields)
	return common, err
}

// described is how a source of kind dapr is told its component.
type described struct {
	Name     string            `json:"name"`
	Type     string            `json:"type"`
	Version  string            `json:"version,omitempty"`
	Metadata map[string]string `json:"metadata"`
}
