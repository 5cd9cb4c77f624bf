package embedded

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/event"
)

// lend is a context for who uses the bus: it ends when the bus is to be let go of, with errReplaced. The function must be called.
func (s *slot) lend(ctx context.Context) (context.Context, func()) {
	on, let := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-s.gone:
			let(errReplaced)
		case <-on.Done():
		}
	})
	return on, func() {
		let(nil)
		watching.Wait()
	}
}

// slots are the buses that are there and not among known, held: each is to be given back with users.Done.
func (e *Engine) slots(known map[*slot]event.Name) map[event.Name]*slot {
	e.mu.Lock()
	defer e.mu.Unlock()
	fresh := map[event.Name]*slot{}
	maps.DeleteFunc(known, func(s *slot, name event.Name) bool { return e.buses[name] != s })
	for name, s := range e.buses {
		if _, old := known[s]; !old && !e.shut {
			s.users.Add(1)
			fresh[name] = s
		}
	}
	return fresh
}

// eachSlot calls each for every bus, and for every one that comes, until ctx ends. each has to give its slot back.
func (e *Engine) eachSlot(ctx context.Context, each func(event.Name, *slot)) {
	known := map[*slot]event.Name{}
	for ctx.Err() == nil {
		e.mu.Lock()
		came := e.came
		e.mu.Unlock()
		for name, s := range e.slots(known) {
			known[s] = name
			each(name, s)
		}
		select {
		case <-came:
		case <-ctx.Done():
		}
	}
}

// former lets what other buses keep for a trigger reach it: its bus may have been another before. That is looked for rather than
// remembered, so that it is found after a restart as well. Buses outside may have the same stream as another bus, or other
// platforms: what is kept there is nobody's to take away but its trigger's.
func (e *Engine) former(ctx, work context.Context, t *task, tr event.Trigger) {
	var draining sync.WaitGroup
	defer draining.Wait()
	e.eachSlot(ctx, func(name event.Name, s *slot) {
		if !s.own || name == tr.Bus {
			s.users.Done()
			return
		}
		draining.Go(func() {
			defer s.users.Done()
			e.drain(ctx, work, t, tr, s)
		})
	})
}

// drainAgain is the pause after a drain that failed.
const drainAgain = 30 * time.Second

func (e *Engine) drain(ctx, work context.Context, t *task, tr event.Trigger, s *slot) {
	on, let := s.lend(ctx)
	defer let()
	env := e.env(t, tr, s.bus)
	env.Connected = func() {} // which is said of the bus that it has now
	env.Trouble = func(err error) {
		e.o.Log.Warn("events wait on a bus that a trigger had before", "trigger", tr.String(), "err", err)
	}
	for {
		err := e.o.Triggers.Drain(on, work, tr, env)
		if err == nil || on.Err() != nil {
			return
		}
		env.Trouble(err)
		pause := time.NewTimer(drainAgain)
		select {
		case <-on.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

// sweepTime bounds one look at a bus.
const sweepTime = time.Minute

// Sweep removes from every bus of this platform's own, now and when one comes, what it keeps for triggers that neither run here nor exist: those that
// were deleted in the moment before the platform died. It is to be called when exists can tell, and returns when ctx ends.
func (e *Engine) Sweep(ctx context.Context, exists func(context.Context, event.Name) (bool, error)) {
	if e.o.Triggers == nil {
		return
	}
	e.eachSlot(ctx, func(name event.Name, s *slot) {
		defer s.users.Done()
		if !s.own {
			return
		}
		on, let := s.lend(ctx)
		defer let()
		on, cancel := context.WithTimeout(on, sweepTime)
		defer cancel()
		err := e.o.Triggers.Sweep(on, s.bus, func(trigger event.Name) (bool, error) {
			if _, runs := e.Status(event.Ref{Kind: event.KindTrigger, Name: trigger}); runs {
				return false, nil
			}
			found, err := exists(on, trigger)
			return !found, err
		})
		if err != nil && ctx.Err() == nil {
			e.o.Log.Warn("what a bus keeps for triggers that are gone could not be removed; the next start tries again", "bus", name.String(), "err", err)
		}
	})
}
