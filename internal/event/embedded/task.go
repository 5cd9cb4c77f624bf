package embedded

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/source"
)

// task is something that runs until it is told to end.
type task struct {
	ref    event.Ref
	print  string
	engine *Engine
	count  *counter
	cancel context.CancelFunc
	forget atomic.Bool // it was deleted, not replaced

	// run works until ctx ends, and returns nil then; work ends later: it is for what is under way.
	run func(ctx, work context.Context, t *task) error
	// forgotten cleans up after a delete.
	forgotten func(ctx context.Context) error
	// poll is called now and then while it runs; nil is nothing.
	poll func(ctx context.Context, t *task)
}

const pollEvery = 5 * time.Second

// supervise runs the task until ctx ends, anew after a pause when it fails.
func (t *task) supervise(ctx context.Context) {
	pause := &backoff.ExponentialBackOff{InitialInterval: 500 * time.Millisecond, Multiplier: 2, RandomizationFactor: 0.3, MaxInterval: 30 * time.Second}
	pause.Reset()
	for ctx.Err() == nil {
		began := time.Now()
		err := t.once(ctx)
		if ctx.Err() != nil {
			break
		}
		t.failed(err)
		var invalid source.Invalid
		if errors.As(err, &invalid) {
			<-ctx.Done()
			break
		}
		if time.Since(began) > time.Minute {
			pause.Reset()
		}
		wait := time.NewTimer(pause.NextBackOff())
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
	}
	if t.forget.Load() && t.forgotten != nil {
		t.clean()
	}
}

// clean forgets what others keep for a task that was deleted, as long as that takes at most.
func (t *task) clean() {
	ctx, cancel := context.WithTimeout(context.Background(), t.engine.o.Drain)
	defer cancel()
	if err := t.forgotten(ctx); err != nil {
		t.engine.o.Log.Warn("something of what was deleted is left behind", "kind", t.ref.Kind, "name", t.ref.String(), "event", t.ref.Event, "err", err)
	}
}

// once runs the task once. What is under way when ctx ends has the time of Drain to end.
func (t *task) once(ctx context.Context) error {
	work, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	stop := context.AfterFunc(ctx, func() {
		late := time.AfterFunc(t.engine.o.Drain, end)
		context.AfterFunc(work, func() { late.Stop() })
	})
	defer stop()
	polled := make(chan struct{})
	go func() {
		defer close(polled)
		t.polling(work)
	}()
	err := t.run(ctx, work, t)
	end()
	<-polled
	return err
}

func (t *task) polling(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if t.poll != nil {
				t.poll(ctx, t)
			}
			if t.count.moved() {
				t.engine.watch.notify(t.ref)
			}
		}
	}
}

func (t *task) connected() {
	if t.count.ready() {
		t.engine.o.Log.Info("events flow", "kind", t.ref.Kind, "name", t.ref.String(), "event", t.ref.Event)
		t.engine.watch.notify(t.ref)
	}
}

// failed says what is wrong; the same trouble is told once.
func (t *task) failed(err error) {
	if err == nil {
		err = errors.New("it ended though nobody ended it")
	}
	if t.count.trouble(reason(err), err) {
		t.engine.o.Log.Warn("no events flow", "kind", t.ref.Kind, "name", t.ref.String(), "event", t.ref.Event, "err", err)
		t.engine.watch.notify(t.ref)
	}
}

func reason(err error) string {
	var invalid source.Invalid
	switch {
	case errors.As(err, &invalid):
		return "Invalid"
	case errors.Is(err, source.ErrDenied):
		return "BadCredentials"
	case errors.Is(err, errNoBus):
		return "NoBus"
	}
	return "Connecting"
}
