package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/dapr/components-contrib/bindings"
	"github.com/dapr/components-contrib/pubsub"

	"github.com/openfunction/ofn/internal/dapr/components"
	"github.com/openfunction/ofn/internal/event"
)

// inlet is one component that calls an app: all topics of a pub/sub component, or an input binding. It reads from the component
// for as long as the app is there, through failures and changes of the component.
type inlet struct {
	app       *app
	component string
	topics    []*topicInlet   // of pub/sub
	input     event.Input     // of a binding
	grace     time.Duration   // for deliveries under way when it ends; 0 is the app's
	after     <-chan struct{} // nil, or closed when the inlet that this one replaces has ended
	cancel    context.CancelFunc
	done      chan struct{}
	mu        sync.Mutex
	state     event.Status
}

// topicInlet is a subscription with what it is delivered by.
type topicInlet struct {
	sub     *subscription
	router  *router
	attempt func(context.Context, *topicEvent) verdict
	batch   *batcher // nil: one by one
}

// start reads until stop is called.
func (in *inlet) start() {
	ctx, cancel := context.WithCancel(context.Background())
	in.cancel, in.done = cancel, make(chan struct{})
	in.state = event.Status{Reason: "Connecting", Message: "connecting", Since: time.Now(), Lag: -1}
	go func() {
		defer close(in.done)
		if in.after != nil {
			<-in.after
		}
		in.run(ctx)
	}()
}

// stop ends the inlet and waits for its deliveries.
func (in *inlet) stop() {
	in.cancel()
	<-in.done
}

func (in *inlet) graceful() time.Duration {
	if in.grace > 0 {
		return in.grace
	}
	return in.app.grace()
}

// say keeps what state the inlet is in.
func (in *inlet) say(ready bool, reason, message string) {
	in.mu.Lock()
	if in.state.Ready == ready && in.state.Reason == reason && in.state.Message == message {
		in.mu.Unlock()
		return
	}
	in.state = event.Status{Ready: ready, Reason: reason, Message: message, Since: time.Now(), Lag: -1}
	in.mu.Unlock()
	if !ready {
		in.app.rt.o.Log.Warn("an input of a function is not ready", "function", in.app.name.String(), "component", in.component, "reason", reason, "error", message)
	}
	in.app.rt.notify(event.Ref{Kind: event.KindApp, Name: in.app.name})
}

func (in *inlet) status() event.Status {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.state
}

// run keeps one session alive, and replaces it when its component changes: the new one first, where that connects.
func (in *inlet) run(ctx context.Context) {
	var now *session
	end := func() {
		if now == nil {
			return
		}
		if err := now.end(in.graceful()); err != nil {
			in.app.rt.o.Log.Debug("closing a component", "component", in.component, "error", err)
		}
		now = nil
	}
	defer end()
	wait := reconnects()
	for ctx.Err() == nil {
		world := in.app.rt.world.changed()
		slot, err := in.app.find(in.component)
		if err != nil {
			end()
			in.say(false, "ComponentMissing", err.Error())
			sleepUntil(ctx, nil, world)
			continue
		}
		spec, revised := slot.look()
		next, moved, err := in.connect(ctx, slot, spec)
		if err != nil {
			in.say(false, reason(err), err.Error())
			sleepUntil(ctx, time.After(wait.NextBackOff()), revised)
			continue
		}
		wait.Reset()
		end()
		now = next
		in.say(true, "Ready", "reading")
		if in.watch(ctx, slot, spec, now, revised, moved) {
			end()
		}
	}
}

func sleepUntil(ctx context.Context, timer <-chan time.Time, other <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-timer:
	case <-other:
	}
}

// watch returns when the session must be replaced; true if it is of no use any more.
func (in *inlet) watch(ctx context.Context, slot *slot, spec event.Component, s *session, revised, moved <-chan struct{}) bool {
	lost := s.lost()
	for {
		world := in.app.rt.world.changed()
		if other, err := in.app.find(in.component); err != nil || other != slot {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-lost:
			in.say(false, "ConnectionLost", "the connection was given up: connecting anew")
			return true
		case <-revised:
			return false
		case <-moved:
			return true
		case <-world:
		}
	}
}

// connect opens the component for this app and subscribes. moved is closed when a shared component was replaced.
func (in *inlet) connect(ctx context.Context, slot *slot, spec event.Component) (s *session, moved <-chan struct{}, err error) {
	s = newSession()
	defer func() {
		if err != nil {
			_ = s.end(0)
		}
	}()
	switch typ := components.Canonical(spec.Type); {
	case typ == "pubsub.in-memory":
		// What is published by others must be read from the same queues.
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		h, release, err := slot.acquire(ctx)
		if err != nil {
			return s, nil, err
		}
		s.opened, s.release = []*components.Opened{h.Opened}, release
		moved = slot.replaced(h)
		return s, moved, in.subscribe(s, h.Opened, in.topics)
	case typ == "pubsub.jetstream":
		// Its durable consumer is of one subject.
		for _, t := range in.topics {
			if err := in.open(ctx, s, spec, in.app.id()+"-"+t.sub.Topic, []*topicInlet{t}); err != nil {
				return s, nil, err
			}
		}
		return s, nil, nil
	}
	return s, nil, in.open(ctx, s, spec, in.app.id(), in.topics)
}

func (in *inlet) open(ctx context.Context, s *session, spec event.Component, consumer string, topics []*topicInlet) error {
	o, err := in.app.rt.factory.Open(ctx, spec, consumer)
	if err != nil {
		return err
	}
	s.opened = append(s.opened, o)
	if len(topics) > 0 {
		return in.subscribe(s, o, topics)
	}
	if o.Input == nil {
		return &components.Invalid{Component: spec.Name, Reason: "NoInput", Message: fmt.Sprintf("type %s is no input binding: it can only be called by functions", spec.Type)}
	}
	timer := components.Canonical(spec.Type) == "bindings.cron"
	return o.Input.Read(s.fetch, func(_ context.Context, r *bindings.ReadResponse) (answer []byte, err error) {
		if timer && s.busy() >= maxTicks {
			in.app.skipTick(spec)
			return nil, nil
		}
		err = s.handle(func(ctx context.Context) error {
			answer, err = in.app.deliverBinding(ctx, in, spec, r)
			return err
		})
		return answer, err
	})
}

// maxTicks bounds the ticks of a timer that are under way or wait: no broker holds them, and a function that was away for a day
// is of no use to a day of ticks.
const maxTicks = 16

func (in *inlet) subscribe(s *session, o *components.Opened, topics []*topicInlet) error {
	if o.PubSub == nil {
		return &components.Invalid{Component: o.Spec.Name, Reason: "NoPubSub", Message: fmt.Sprintf("type %s is not of pub/sub: it has no topics", o.Spec.Type)}
	}
	for _, t := range topics {
		if err := in.app.maySubscribe(o.Spec, t.sub.Topic); err != nil {
			return err
		}
		err := o.PubSub.Subscribe(s.fetch, pubsub.SubscribeRequest{Topic: t.sub.Topic, Metadata: t.sub.Metadata}, func(_ context.Context, m *pubsub.NewMessage) error {
			return s.handle(func(ctx context.Context) error { return in.app.deliverTopic(ctx, in, o.Spec, t, m) })
		})
		if err != nil {
			return fmt.Errorf("subscribing to topic %s of %s: %w", t.sub.Topic, o.Spec.Name, err)
		}
	}
	return nil
}

var errNoInputs = errors.New("an input names no component")

// sameTopics tells whether two inlets would read the same.
func (in *inlet) same(other *inlet) bool {
	if in.component != other.component || len(in.topics) != len(other.topics) || !equal(in.input, other.input) {
		return false
	}
	for i, t := range in.topics {
		if !equal(*t.sub, *other.topics[i].sub) {
			return false
		}
	}
	return true
}

func isBinding(typ string) bool { return strings.HasPrefix(typ, "bindings.") }
