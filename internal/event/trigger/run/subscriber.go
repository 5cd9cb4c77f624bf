package run

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/deliver"
	"github.com/openfunction/ofn/internal/event/embedded"
	"github.com/openfunction/ofn/internal/event/trigger"
)

const (
	defaultConcurrency = 32
	// hiccup is the pause after trouble that is not the subscriber's: a bus that cannot be read, a dead letter that cannot be kept.
	hiccup = time.Second
)

// subscriber is one subscriber of a trigger that runs.
type subscriber struct {
	of       event.Name
	on       event.Name // the bus
	spec     event.Subscriber
	consumer string
	shared   bool // other processes have this subscriber, too
	from     bus.From
	inputs   *inputs
	env      embedded.Env
	now      func() time.Time

	condition *trigger.Condition
	filter    *trigger.Filter
	transform *trigger.Transform
	limit     *rate.Limiter // nil: none
	timeline  *timeline     // nil: the condition asks only for the input of the event itself
	gather    *trigger.Correlator

	mu       sync.Mutex
	troubled bool
	tries    map[uint64]int // attempts of the events that are to be tried again: they were chosen before
}

func (r *Runner) subscriber(t event.Trigger, i int, in *inputs, env embedded.Env) (*subscriber, error) {
	spec := t.Subscribers[i]
	s := &subscriber{of: t.Name, on: t.Bus, spec: spec, shared: t.Shared, inputs: in, env: env, now: r.now, tries: map[uint64]int{}}
	if s.spec.Concurrency <= 0 {
		s.spec.Concurrency = defaultConcurrency
	}
	if spec.Sink == nil {
		return nil, errors.New("it has no sink")
	}
	var errs [4]error
	s.from, errs[0] = from(spec.From)
	s.condition, errs[1] = trigger.Compile(in.names, spec.Condition)
	s.filter, errs[2] = trigger.ParseFilter(spec.Filter)
	s.transform, errs[3] = trigger.CompileTransform(spec.Transform)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if spec.RatePerSec > 0 {
		s.limit = rate.NewLimiter(rate.Limit(spec.RatePerSec), max(spec.Burst, 1))
	}
	if spec.Correlate != nil {
		var err error
		s.gather, err = trigger.NewCorrelator(*spec.Correlate, s.condition, in.names)
		return s, err
	}
	if len(in.names) > 1 && len(s.condition.Inputs()) > 0 {
		s.timeline = newTimeline(env.Bus, in, t.Bus, env.Log)
	}
	return s, nil
}

// wish is what it asks of the bus.
func (s *subscriber) wish() bus.Consumer {
	return bus.Consumer{Name: s.consumer, Topics: s.inputs.list(), From: s.from, Concurrency: s.spec.Concurrency, Ordered: s.spec.Ordered,
		Shared: s.shared}
}

func (s *subscriber) run(ctx, work context.Context) error {
	c := s.wish()
	if s.gather != nil {
		return newGatherer(s).run(ctx, work, c)
	}
	if s.timeline != nil {
		defer s.timeline.close()
	}
	return s.env.Bus.Consume(ctx, c, func(ctx context.Context, m bus.Stored) bus.Verdict { return s.handle(ctx, work, m) })
}

// handle is one event. ctx ends when nothing new is to be begun, work when what is under way must end too.
func (s *subscriber) handle(ctx, work context.Context, m bus.Stored) bus.Verdict {
	e := read(m, s.on)
	attempt, chosen := s.tried(m)
	view := trigger.NewView(e)
	if !chosen {
		ok, err := s.wants(ctx, view, m)
		if err != nil {
			if ctx.Err() == nil {
				s.trouble(err)
			}
			return bus.Verdict{Retry: true, After: hiccup}
		}
		if !ok {
			return bus.Verdict{}
		}
	}
	v := s.delivery(e, m.Time)
	if s.transform != nil {
		out, err := s.transform.Apply(view)
		if err != nil {
			return s.giveUp(work, v, m, deliver.Result{Err: err, Attempts: attempt})
		}
		v.Event = out
	}
	if s.limit != nil && s.limit.Wait(ctx) != nil {
		return bus.Verdict{Retry: true}
	}
	return s.attempt(work, v, m, attempt)
}

func (s *subscriber) attempt(work context.Context, v deliver.Delivery, m bus.Stored, attempt int) bus.Verdict {
	r := s.env.Deliver.Attempt(work, v)
	r.Attempts = attempt
	if r.Err == nil {
		s.settle(m)
		s.well()
		s.env.Handled()
		return bus.Verdict{}
	}
	if work.Err() != nil {
		return bus.Verdict{Retry: true}
	}
	s.env.Failed(r.Err)
	waits := deliver.Waits(s.spec.Retry)
	const doublings = 30 // any more change nothing
	for range min(attempt-1, doublings) {
		waits.NextBackOff()
	}
	wait, again := deliver.Next(s.spec.Retry, waits, r, s.now().Sub(v.Accepted))
	if !again {
		return s.giveUp(work, v, m, r)
	}
	s.remember(m, attempt)
	return bus.Verdict{Retry: true, After: wait}
}

// giveUp makes a dead letter; the event stays on the bus until there is one.
func (s *subscriber) giveUp(work context.Context, v deliver.Delivery, m bus.Stored, r deliver.Result) bus.Verdict {
	if err := s.env.Deliver.GiveUp(work, v, &r); err != nil {
		s.remember(m, r.Attempts-1) // the attempt is made again
		if work.Err() == nil {
			s.trouble(err)
		}
		return bus.Verdict{Retry: true, After: hiccup}
	}
	s.settle(m)
	s.env.Dead()
	return bus.Verdict{}
}

// wants tells whether the subscriber is to get an event. An error means that it cannot be known now.
func (s *subscriber) wants(ctx context.Context, view *trigger.View, m bus.Stored) (bool, error) {
	names, err := s.inputs.of(m.Topic, &view.Event)
	if err != nil {
		s.env.Failed(fmt.Errorf("event %s: %w", view.Event.ID, err))
	}
	if len(names) == 0 {
		return false, nil
	}
	passes, err := s.filter.Passes(&view.Event)
	if err != nil {
		s.env.Failed(fmt.Errorf("event %s: %w", view.Event.ID, err))
	}
	if !passes {
		return false, nil
	}
	hot := func(name string) bool {
		for _, n := range names {
			if n == name {
				return true
			}
		}
		return false
	}
	if s.timeline != nil {
		if hot, err = s.timeline.at(ctx, m, names); err != nil {
			return false, err
		}
	}
	holds, err := s.condition.Holds(view, hot)
	if err != nil {
		s.env.Failed(fmt.Errorf("event %s: %w", view.Event.ID, err))
	}
	return holds, nil
}

func (s *subscriber) delivery(e cloudevent.Event, accepted time.Time) deliver.Delivery {
	return deliver.Delivery{
		Event: e, Sink: *s.spec.Sink, DeadLetter: s.spec.DeadLetter, Retry: s.spec.Retry, Part: s.spec.Condition,
		From: event.Ref{Kind: event.KindTrigger, Name: s.of}, Accepted: accepted,
	}
}

// tried tells which attempt this is, and whether the event was chosen before. The bus counts deliveries, which also happen
// without an attempt: its count stands in only for an event that keeps the platform from counting.
func (s *subscriber) tried(m bus.Stored) (attempt int, chosen bool) {
	const suspicious = 100
	if m.Sequence == 0 {
		return max(m.Attempt, 1), false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n, chosen := s.tries[m.Sequence]
	if !chosen && m.Attempt > suspicious {
		n = m.Attempt - 1
	}
	return n + 1, chosen
}

func (s *subscriber) remember(m bus.Stored, attempts int) {
	const most = 1 << 16
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Sequence == 0 {
		return
	}
	if len(s.tries) >= most {
		clear(s.tries)
	}
	s.tries[m.Sequence] = attempts
}

func (s *subscriber) settle(m bus.Stored) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tries, m.Sequence)
}

// trouble tells what keeps events from being handled; well, that it has ended.
func (s *subscriber) trouble(err error) {
	s.mu.Lock()
	s.troubled = true
	s.mu.Unlock()
	s.env.Trouble(err)
}

func (s *subscriber) well() {
	s.mu.Lock()
	was := s.troubled
	s.troubled = false
	s.mu.Unlock()
	if was {
		s.env.Connected()
	}
}
