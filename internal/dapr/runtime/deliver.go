package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/dapr/components-contrib/bindings"
	"github.com/dapr/components-contrib/pubsub"

	"github.com/openfunction/ofn/internal/event"
)

const (
	defaultAttempts = 10
	defaultInitial  = 200 * time.Millisecond
	defaultMax      = time.Minute
)

// joint is a delivery that others of the same event wait for.
type joint struct {
	done chan struct{}
	err  error
}

// join runs one delivery of an event at a time: a broker that thinks an event lost, because its delivery takes long, sends it
// again; the second waits for the first and shares its end.
func (a *app) join(ctx context.Context, key string, deliver func() error) error {
	if key == "" {
		return deliver()
	}
	a.mu.Lock()
	if j, ok := a.joined[key]; ok {
		a.mu.Unlock()
		select {
		case <-j.done:
			return j.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	j := &joint{done: make(chan struct{})}
	a.joined[key] = j
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.joined, key)
		a.mu.Unlock()
		close(j.done)
	}()
	j.err = deliver()
	return j.err
}

// deliverTopic handles one message of a topic. Nil is for the broker to forget it: it was handled, or is kept elsewhere.
func (a *app) deliverTopic(ctx context.Context, in *inlet, spec event.Component, t *topicInlet, m *pubsub.NewMessage) error {
	meta := m.Metadata
	if m.ContentType != nil && *m.ContentType != "" {
		meta = with(meta, "content-type", *m.ContentType)
	}
	ev, err := newTopicEvent(t.sub, m.Data, meta)
	letter := a.letter(spec, t.sub.Sink, m.Data, meta)
	letter.Topic, letter.First = t.sub.Topic, ev.accepted
	if t.sub.Source == "input" {
		letter.Input = t.sub.Name
	}
	if err != nil {
		return a.giveUp(ctx, t.sub, letter, refusal(err, 0), 0)
	}
	letter.ID, letter.Source = ev.text(pubsub.IDField), ev.text(pubsub.SourceField)
	key := ev.identity()
	if key != "" {
		key = t.sub.Component + "\x00" + t.sub.Topic + "\x00" + key
	}
	return a.join(ctx, key, func() error { return a.deliverEvent(ctx, t, ev, letter) })
}

func (a *app) deliverEvent(ctx context.Context, t *topicInlet, ev *topicEvent, letter DeadLetter) error {
	if pubsub.HasExpired(ev.event) {
		return a.expire(ctx, t.sub, letter)
	}
	if t.sub.Source != "input" {
		path, ok := t.router.path(ev.event)
		if !ok {
			return nil
		}
		ev.path = path
	}
	v, n, err := a.try(ctx, a.policy(t.sub.Retry), letter, func(ctx context.Context) verdict {
		return a.tracedTopic(ev, func(ev *topicEvent) verdict { return t.attempt(ctx, ev) })
	})
	if err != nil {
		return err
	}
	if v.outcome == success {
		a.count.done(letter.Component, time.Now())
		return nil
	}
	letter.Path = ev.path
	return a.giveUp(ctx, t.sub, letter, v, n)
}

// expire forgets an event whose time to live is over; its dead-letter topic gets it, as with Dapr, if it has one.
func (a *app) expire(ctx context.Context, sub *subscription, letter DeadLetter) error {
	a.rt.delivered(a.name, letter.Component, drop, 0)
	if sub.DeadTopic == "" {
		return nil
	}
	return a.giveUp(ctx, sub, letter, refusal(errors.New("its time to live is over"), 0), 0)
}

// try calls until the app took the event, refused it, or the policy is over. What does not reach a copy is no attempt: the
// event waits with its broker, as long as it may grow old. An error is the end of ctx.
func (a *app) try(ctx context.Context, policy event.Policy, letter DeadLetter, call func(context.Context) verdict) (v verdict, n int, err error) {
	failed, unreached := waits(policy), waits(policy)
	for {
		begun := time.Now()
		v = call(ctx)
		a.count.attempt(letter.Component, v)
		a.rt.delivered(a.name, letter.Component, v.outcome, time.Since(begun))
		if v.outcome == success || v.outcome == drop {
			return v, n + 1, nil
		}
		wait := failed
		if v.outcome == waiting {
			wait = unreached
		} else {
			unreached.Reset()
			if n++; n >= attempts(policy) {
				return v, n, nil
			}
		}
		pause := wait.NextBackOff()
		if policy.MaxAge > 0 && time.Since(letter.First)+pause > policy.MaxAge {
			return v, n, nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return v, n, fmt.Errorf("the event goes back to its broker: %w", ctx.Err())
		case <-timer.C:
		}
	}
}

// policy is how events are tried: as what they come by says, else as the app does.
func (a *app) policy(own *event.Policy) event.Policy {
	if own != nil {
		return *own
	}
	return a.look().Retry
}

func attempts(p event.Policy) int {
	if p.Attempts <= 0 {
		return defaultAttempts
	}
	return p.Attempts
}

// waits is the back-off of a policy: doubling, with jitter.
func waits(p event.Policy) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = p.Initial, p.Max, 2
	if b.InitialInterval <= 0 {
		b.InitialInterval = defaultInitial
	}
	if b.MaxInterval <= 0 {
		b.MaxInterval = defaultMax
	}
	b.Reset()
	return b
}

// letter is the dead letter of an event, should it become one. sink is that of what it came by; nil is the app's.
func (a *app) letter(spec event.Component, sink *event.Sink, data []byte, meta map[string]string) DeadLetter {
	s := a.look()
	return DeadLetter{
		App: a.name, Revision: s.Revision, Sink: cmp.Or(sink, s.DeadLetter), Component: spec.Name.Name, Type: spec.Type,
		ContentType: meta["content-type"], Data: data, Metadata: meta, First: time.Now(),
	}
}

// giveUp puts an event where it is kept: the dead-letter topic of its subscription, else the platform. Without either, or while
// neither takes it, the event stays with its broker.
func (a *app) giveUp(ctx context.Context, sub *subscription, letter DeadLetter, v verdict, attempts int) error {
	letter.Cause, letter.Code, letter.Attempts, letter.Last = v.cause.Error(), v.code, attempts, time.Now()
	a.rt.o.Log.Warn("an event is given up", "function", a.name.String(), "component", letter.Component, "topic", letter.Topic,
		"id", letter.ID, "attempts", attempts, "error", letter.Cause)
	wait := reconnects()
	for {
		err := a.bury(ctx, sub, letter)
		if err == nil {
			a.count.letter(letter.Component, letter.Cause)
			a.rt.deadLettered(a.name, letter.Component)
			return nil
		}
		if errors.Is(err, errNoPlace) {
			return err
		}
		a.rt.o.Log.Error("keeping a dead letter failed: the event stays with its broker until it can be kept", "function", a.name.String(), "error", err)
		timer := time.NewTimer(wait.NextBackOff())
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

var errNoPlace = errors.New("the event was not handled, and there is no place for dead letters")

func (a *app) bury(ctx context.Context, sub *subscription, letter DeadLetter) error {
	var toTopic error
	if sub != nil && sub.DeadTopic != "" {
		if toTopic = a.publish(ctx, sub, letter); toTopic == nil {
			return nil
		}
	}
	if a.rt.o.DeadLetters == nil {
		if toTopic != nil {
			return toTopic
		}
		return errNoPlace
	}
	return errors.Join(a.rt.o.DeadLetters.Put(ctx, letter))
}

// publish sends a dead letter to the topic of its subscription, as it came.
func (a *app) publish(ctx context.Context, sub *subscription, letter DeadLetter) error {
	slot, err := a.find(sub.Component)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	h, release, err := slot.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	if h.PubSub == nil {
		return fmt.Errorf("component %s is not of pub/sub", sub.Component)
	}
	return h.PubSub.Publish(ctx, &pubsub.PublishRequest{Data: letter.Data, PubsubName: sub.Component, Topic: sub.DeadTopic, Metadata: letter.Metadata})
}

// deliverBinding handles one event of an input binding.
func (a *app) deliverBinding(ctx context.Context, in *inlet, spec event.Component, r *bindings.ReadResponse) ([]byte, error) {
	letter := a.letter(spec, in.input.DeadLetter, r.Data, r.Metadata)
	letter.Input = in.input.Name
	if r.ContentType != nil {
		letter.ContentType = *r.ContentType
	}
	var answer *bindingAnswer
	v, n, err := a.try(ctx, a.policy(in.input.Retry), letter, func(ctx context.Context) (v verdict) {
		answer, v = a.tracedBinding(spec.Name.Name, r, func(r *bindings.ReadResponse) (*bindingAnswer, verdict) {
			return a.attemptBinding(ctx, in.input, spec, r)
		})
		return v
	})
	if err != nil {
		return nil, err
	}
	if v.outcome != success {
		return nil, a.giveUp(ctx, nil, letter, v, n)
	}
	a.count.done(spec.Name.Name, time.Now())
	if answer == nil {
		return nil, nil
	}
	if err := a.follow(ctx, answer); err != nil {
		a.rt.o.Log.Warn("doing what a function answered to an event failed", "function", a.name.String(), "component", spec.Name.Name, "error", err)
	}
	return answer.data, nil
}

// skipTick counts a tick that nobody will get.
func (a *app) skipTick(spec event.Component) {
	cause := fmt.Errorf("a tick of %s was left out: %d before it are not handled yet", spec.Name, maxTicks)
	a.count.attempt(spec.Name.Name, refusal(cause, 0))
	a.rt.delivered(a.name, spec.Name.Name, drop, 0)
	a.rt.o.Log.Warn("a tick was left out", "function", a.name.String(), "component", spec.Name.Name)
}

func with(m map[string]string, key, value string) map[string]string {
	c := make(map[string]string, len(m)+1)
	for k, v := range m {
		c[k] = v
	}
	c[key] = value
	return c
}
