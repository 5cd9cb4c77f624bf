package embedded

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event"
)

// ApplyTrigger runs a trigger, as long as its bus is there.
func (e *Engine) ApplyTrigger(_ context.Context, tr event.Trigger) error {
	if e.o.Triggers == nil {
		return errors.New("this platform runs no triggers")
	}
	return e.start(event.Ref{Kind: event.KindTrigger, Name: tr.Name}, tr, &task{
		run:       func(ctx, work context.Context, t *task) error { return e.trigger(ctx, work, t, tr) },
		forgotten: func(ctx context.Context) error { return e.forgetTrigger(ctx, tr) },
		poll: func(ctx context.Context, t *task) {
			s, release, err := e.hold(tr.Bus)
			if err != nil {
				return
			}
			defer release()
			ctx, cancel := context.WithTimeout(ctx, pollEvery)
			defer cancel()
			t.count.lag(e.o.Triggers.Lag(ctx, tr, s.bus))
		},
	})
}

// errReplaced ends a trigger whose bus is another now.
var errReplaced = errors.New("its event bus was changed")

func (e *Engine) trigger(ctx, work context.Context, t *task, tr event.Trigger) error {
	s, release, err := e.await(ctx, tr.Bus)
	if err != nil {
		return err
	}
	defer release()
	on, let := s.lend(ctx)
	var former sync.WaitGroup
	defer former.Wait()
	defer let()
	former.Go(func() { e.former(on, work, t, tr) })
	err = e.o.Triggers.Run(on, work, tr, e.env(t, tr, s.bus))
	if cause := context.Cause(on); errors.Is(cause, errReplaced) && ctx.Err() == nil {
		return cause
	}
	return err
}

func (e *Engine) env(t *task, tr event.Trigger, on bus.Bus) Env {
	return Env{
		Bus: on, Deliver: e.deliver, Log: e.o.Log.With("trigger", tr.String()), Connected: t.connected, Trouble: t.failed,
		Handled: func() { t.count.handled(time.Now()) }, Failed: t.count.failed, Dead: t.count.dead,
	}
}

// forgetTrigger takes a trigger off every bus that may keep something for it.
func (e *Engine) forgetTrigger(ctx context.Context, tr event.Trigger) error {
	var errs []error
	for name, s := range e.slots(nil) {
		if s.own || name == tr.Bus {
			errs = append(errs, e.o.Triggers.Forget(ctx, tr, s.bus))
		}
		s.users.Done()
	}
	return errors.Join(errs...)
}
