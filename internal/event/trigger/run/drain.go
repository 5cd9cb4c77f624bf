package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/embedded"
	"github.com/openfunction/ofn/internal/event/source"
)

const (
	drainLook = 500 * time.Millisecond
	// drainLeast is how long a bus that a trigger had before is read at least: its sources may still be on their way to another.
	drainLeast = 10 * time.Second
)

// Drain implements embedded.Triggers. Only subscribers that had a place on the bus get anything of it.
func (r *Runner) Drain(ctx, work context.Context, t event.Trigger, env embedded.Env) error {
	lister, ok := env.Bus.(bus.Lister)
	if !ok {
		return nil
	}
	have, err := lister.Consumers(ctx)
	if err != nil {
		return fmt.Errorf("finding what waits on a former bus: %w", err)
	}
	have = slices.DeleteFunc(have, func(name string) bool { return !strings.HasPrefix(name, prefix(t)) })
	if len(have) == 0 {
		return nil
	}
	subscribers, err := r.prepare(t, env)
	if errors.As(err, new(source.Invalid)) {
		return nil // it is told of the bus that the trigger has now
	}
	if err != nil {
		return err
	}
	subscribers = slices.DeleteFunc(subscribers, func(s *subscriber) bool { return !slices.Contains(have, s.consumer) })
	if err := r.empty(ctx, work, subscribers, env.Bus); err != nil || ctx.Err() != nil {
		return err
	}
	t.Subscribers = nil
	return tidy(ctx, t, env.Bus)
}

// empty runs subscribers until nothing waits for them, or ctx ends.
func (r *Runner) empty(ctx, work context.Context, subscribers []*subscriber, on bus.Bus) error {
	running, stop := context.WithCancelCause(ctx)
	var busy sync.WaitGroup
	defer busy.Wait()
	defer stop(nil)
	for _, s := range subscribers {
		busy.Go(func() {
			if err := s.run(running, work); err != nil {
				stop(err)
			}
		})
	}
	least := r.now().Add(r.drainLeast)
	for pause(running, drainLook) {
		left := int64(0)
		for _, s := range subscribers {
			n, err := on.Lag(running, s.consumer)
			if err != nil && running.Err() == nil {
				return fmt.Errorf("asking what waits on a former bus: %w", err)
			}
			left += n
		}
		if left == 0 && running.Err() == nil && !r.now().Before(least) {
			return nil
		}
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // being told to end is no failure
	}
	return context.Cause(running)
}

// Sweep implements embedded.Triggers.
func (r *Runner) Sweep(ctx context.Context, on bus.Bus, gone func(event.Name) (bool, error)) error {
	lister, ok := on.(bus.Lister)
	if !ok {
		return nil
	}
	have, err := lister.Consumers(ctx)
	if err != nil {
		return err
	}
	for _, name := range have {
		of, ok := owner(name)
		if !ok {
			continue
		}
		removed, err := gone(of)
		if err != nil {
			return fmt.Errorf("finding trigger %s: %w", of, err)
		}
		if !removed {
			continue
		}
		if err := on.Forget(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// owner is the trigger that a consumer is of.
func owner(consumer string) (event.Name, bool) {
	parts := strings.Split(consumer, "/")
	if len(parts) != 4 || parts[0] != "trigger" {
		return event.Name{}, false
	}
	return event.Name{Namespace: parts[1], Name: parts[2]}, true
}
