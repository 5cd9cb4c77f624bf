package runtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/dapr/components-contrib/bindings"
)

// Redrive gives a dead letter to its app again, once, by the input that it came by. Nil is that the app took it; the letter is then
// no longer needed.
func (r *Runtime) Redrive(ctx context.Context, l DeadLetter) error {
	a := r.app(l.App)
	if a == nil {
		return fmt.Errorf("function %s has no events any more", l.App)
	}
	in, t := a.inletOf(l.Component, l.Topic)
	if in == nil {
		return fmt.Errorf("function %s is no longer called by component %s", l.App, describe(l.Component, l.Topic))
	}
	v, err := a.again(ctx, in, t, l)
	if err != nil {
		return err
	}
	a.count.attempt(l.Component, v)
	if v.outcome == success {
		return nil
	}
	if v.cause == nil {
		return errors.New("the function did not take it")
	}
	return v.cause
}

func describe(component, topic string) string {
	if topic == "" {
		return component
	}
	return component + ", topic " + topic
}

// inletOf is what reads a component, and a topic of it, for the app; nil when nothing does any more.
func (a *app) inletOf(component, topic string) (*inlet, *topicInlet) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, in := range a.inlets {
		if in.component != component {
			continue
		}
		if topic == "" {
			return in, nil
		}
		for _, t := range in.topics {
			if t.sub.Topic == topic {
				return in, t
			}
		}
	}
	return nil, nil
}

// again is one attempt.
func (a *app) again(ctx context.Context, in *inlet, t *topicInlet, l DeadLetter) (verdict, error) {
	if t != nil {
		ev, err := newTopicEvent(t.sub, l.Data, l.Metadata)
		if err != nil {
			return verdict{}, err
		}
		ev.path = l.Path
		return t.attempt(ctx, ev), nil
	}
	slot, err := a.find(l.Component)
	if err != nil {
		return verdict{}, err
	}
	spec, _ := slot.look()
	read := &bindings.ReadResponse{Data: l.Data, Metadata: l.Metadata}
	if l.ContentType != "" {
		read.ContentType = &l.ContentType
	}
	answer, v := a.attemptBinding(ctx, in.input, spec, read)
	if v.outcome == success && answer != nil {
		return v, a.follow(ctx, answer)
	}
	return v, nil
}
