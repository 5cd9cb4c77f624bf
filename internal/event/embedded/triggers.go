package embedded

import (
	"context"
	"errors"
	"time"

	"github.com/openfunction/ofn/internal/event"
)

// ApplyTrigger runs a trigger, as long as its bus is there.
func (e *Engine) ApplyTrigger(_ context.Context, tr event.Trigger) error {
	if e.o.Triggers == nil {
		return errors.New("this platform runs no triggers")
	}
	return e.start(event.Ref{Kind: event.KindTrigger, Name: tr.Name}, tr, &task{
		run: func(ctx, work context.Context, t *task) error { return e.trigger(ctx, work, t, tr) },
		forgotten: func(ctx context.Context) error {
			s, release, err := e.hold(tr.Bus)
			if err != nil {
				return nil // with its bus went what was kept for it
			}
			defer release()
			return e.o.Triggers.Forget(ctx, tr, s.bus)
		},
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
	on, let := context.WithCancelCause(ctx)
	defer let(nil)
	lost := make(chan struct{})
	go func() {
		defer close(lost)
		select {
		case <-s.gone:
			let(errReplaced)
		case <-on.Done():
		}
	}()
	err = e.o.Triggers.Run(on, work, tr, Env{
		Bus: s.bus, Deliver: e.deliver, Log: e.o.Log.With("trigger", tr.String()), Connected: t.connected, Trouble: t.failed,
		Handled: func() { t.count.handled(time.Now()) }, Failed: t.count.failed, Dead: t.count.dead,
	})
	let(nil)
	<-lost
	if cause := context.Cause(on); errors.Is(cause, errReplaced) && ctx.Err() == nil {
		return cause
	}
	return err
}
