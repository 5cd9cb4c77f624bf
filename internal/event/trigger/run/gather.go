package run

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event/deliver"
	"github.com/openfunction/ofn/internal/event/trigger"
)

const (
	gatherLook = time.Second // how often groups whose time has passed are looked for
	// gatherHeld bounds the events that wait for a bus that can only have a handler waiting for each.
	gatherHeld = 1024
)

// gatherer runs a subscriber that correlates. Events stay on the bus, without a verdict, as long as they wait for others:
// that is all the state there is, and it outlives the platform.
type gatherer struct {
	*subscriber
	slots chan struct{}
	calls sync.WaitGroup

	mu      sync.Mutex
	answers map[uint64]func(bus.Verdict)
	came    uint64 // events of a bus that gives them no place
	ending  bool   // no call is begun
}

func newGatherer(s *subscriber) *gatherer {
	return &gatherer{subscriber: s, slots: make(chan struct{}, s.spec.Concurrency), answers: map[uint64]func(bus.Verdict){}}
}

func (g *gatherer) run(ctx, work context.Context, c bus.Consumer) error {
	// The consumer ends after the calls, so that their verdicts count.
	holding, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	var running sync.WaitGroup
	defer running.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	running.Go(func() { g.expire(ctx) })
	running.Go(func() {
		<-ctx.Done()
		g.mu.Lock()
		g.ending = true
		g.mu.Unlock()
		g.calls.Wait()
		release()
	})
	take := func(m bus.Stored, answer func(bus.Verdict)) { g.take(ctx, work, m, answer) }
	c.Concurrency, c.Ordered = 0, false
	if holder, ok := g.env.Bus.(bus.Holder); ok {
		return holder.Hold(holding, c, take)
	}
	return g.consume(holding, c, take)
}

// consume is for buses that want a verdict from each handler.
func (g *gatherer) consume(ctx context.Context, c bus.Consumer, take func(bus.Stored, func(bus.Verdict))) error {
	c.Concurrency = gatherHeld
	return g.env.Bus.Consume(ctx, c, func(ctx context.Context, m bus.Stored) bus.Verdict {
		verdict := make(chan bus.Verdict, 1)
		take(m, func(v bus.Verdict) { verdict <- v })
		select {
		case v := <-verdict:
			return v
		case <-ctx.Done():
			return bus.Verdict{Retry: true}
		}
	})
}

// take lets an event join its group.
func (g *gatherer) take(ctx, work context.Context, m bus.Stored, answer func(bus.Verdict)) {
	if ctx.Err() != nil {
		return // it comes again
	}
	e := read(m, g.on)
	names, err := g.inputs.of(m.Topic, &e)
	passes := false
	if err == nil && len(names) > 0 {
		passes, err = g.filter.Passes(&e)
	}
	if err != nil {
		g.env.Failed(fmt.Errorf("event %s: %w", e.ID, err))
	}
	if !passes {
		answer(bus.Verdict{})
		return
	}
	g.mu.Lock()
	if m.Sequence == 0 { // the order in which they come must do
		g.came++
		m.Sequence = g.came
	}
	g.answers[m.Sequence] = answer
	out, err := g.gather.Add(trigger.Member{Sequence: m.Sequence, Time: m.Time, Inputs: names, Event: e})
	g.mu.Unlock()
	if err != nil {
		g.env.Failed(fmt.Errorf("event %s: %w", e.ID, err))
	}
	g.done(out)
	if out.Fired != nil {
		g.fire(ctx, work, out.Fired)
	}
}

// done lets go of events.
func (g *gatherer) done(out trigger.Outcome) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, seq := range out.Done {
		if answer := g.answers[seq]; answer != nil {
			answer(bus.Verdict{})
			delete(g.answers, seq)
		}
	}
	if out.Expired > 0 {
		g.env.Log.Info("events waited in vain for others", "events", out.Expired, "condition", g.spec.Condition)
	}
}

// fire delivers a group. It waits for its turn, so that no more are under way than the subscriber may have.
func (g *gatherer) fire(ctx, work context.Context, group *trigger.Group) {
	select {
	case g.slots <- struct{}{}:
	case <-ctx.Done():
		return // the events come again
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ending {
		return
	}
	g.calls.Go(func() {
		defer func() { <-g.slots }()
		err := g.deliver(ctx, work, group)
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, m := range group.Members {
			if answer := g.answers[m.Sequence]; answer != nil {
				answer(bus.Verdict{Retry: err != nil, After: hiccup})
			}
			delete(g.answers, m.Sequence)
		}
	})
}

// deliver returns nil when the group was taken, or is a dead letter.
func (g *gatherer) deliver(ctx, work context.Context, group *trigger.Group) error {
	e, err := group.Event(g.of, g.spec.Correlate.All)
	if err != nil {
		return err
	}
	v := g.delivery(e, e.Time)
	if g.transform != nil {
		if v.Event, err = g.transform.Apply(trigger.NewView(e)); err != nil {
			v.Event = e
			return g.dead(work, v, deliver.Result{Err: err, Attempts: 1})
		}
	}
	if g.limit != nil {
		if err := g.limit.Wait(ctx); err != nil {
			return err
		}
	}
	work, cancel := until(ctx, work)
	defer cancel()
	for {
		r, err := g.env.Deliver.Deliver(work, v)
		switch {
		case err == nil && r.Dead:
			g.env.Dead()
			return nil
		case err == nil:
			g.well()
			g.env.Handled()
			return nil
		case work.Err() != nil:
			return err
		}
		g.trouble(err) // the dead letter could not be kept
		if !pause(ctx, hiccup) {
			return err
		}
	}
}

func (g *gatherer) dead(work context.Context, v deliver.Delivery, r deliver.Result) error {
	for {
		err := g.env.Deliver.GiveUp(work, v, &r)
		if err == nil {
			g.env.Dead()
			return nil
		}
		g.trouble(err)
		if !pause(work, hiccup) {
			return err
		}
	}
}

// until is a context for retries: they end with ctx, while an attempt under way has as long as work.
func until(ctx, work context.Context) (context.Context, context.CancelFunc) {
	const grace = 2 * time.Second
	work, cancel := context.WithCancel(work)
	var late *time.Timer
	var mu sync.Mutex
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		late = time.AfterFunc(grace, cancel)
	})
	return work, func() {
		stop()
		mu.Lock()
		defer mu.Unlock()
		if late != nil {
			late.Stop()
		}
		cancel()
	}
}

// expire gives up groups whose time has passed, unless events wait on the bus that may belong to them.
func (g *gatherer) expire(ctx context.Context) {
	for pause(ctx, gatherLook) {
		now := g.now()
		g.mu.Lock()
		next, waits := g.gather.Next()
		held := len(g.answers)
		g.mu.Unlock()
		if !waits || !now.After(next) {
			continue
		}
		if lag, err := g.env.Bus.Lag(ctx, g.consumer); err == nil && lag > int64(held) {
			continue
		}
		g.mu.Lock()
		out := g.gather.Expire(now)
		g.mu.Unlock()
		g.done(out)
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
