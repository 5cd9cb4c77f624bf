package dapr

import (
	"context"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/bus"
)

// subscription hands messages to a consumer's handler, no more at once than it may have.
type subscription struct {
	handle bus.Handler
	slots  chan struct{}

	running sync.WaitGroup
}

func (s *subscription) handler(end context.Context, topic string) Handler {
	return func(ctx context.Context, data []byte, metadata map[string]string) error {
		s.running.Add(1)
		defer s.running.Done()
		// The component's own context may end for reasons of its own; ours when the consumer does.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stop := context.AfterFunc(end, cancel)
		defer stop()
		m := bus.Stored{Message: decode(topic, data, metadata), Time: time.Now()}
		for {
			m.Attempt++
			v, err := s.once(ctx, m)
			if err != nil {
				return err
			}
			if !v.Retry {
				return nil
			}
			sleep(ctx, v.After)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
}

func (s *subscription) once(ctx context.Context, m bus.Stored) (bus.Verdict, error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return bus.Verdict{}, ctx.Err()
	}
	defer func() { <-s.slots }()
	if ctx.Err() != nil {
		return bus.Verdict{}, ctx.Err()
	}
	return s.handle(ctx, m), nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
