package runtime

import (
	"context"
	"sync"
	"time"
)

const (
	defaultBulkMax  = 100
	defaultBulkWait = time.Second
)

// batcher gathers events of one subscription and gives them to the app together: those that came until there are enough, or
// until the first has waited long enough. Each event waits for its own verdict.
type batcher struct {
	most  int
	wait  time.Duration
	send  func(context.Context, []*topicEvent) []verdict
	mu    sync.Mutex
	open  map[string]*batch // by path
	group sync.WaitGroup
}

type batch struct {
	ctx      context.Context //nolint:containedctx // of the first event: deliveries of a session end together
	events   []*topicEvent
	verdicts []verdict
	full     chan struct{}
	done     chan struct{}
}

func newBatcher(most int, wait time.Duration, send func(context.Context, []*topicEvent) []verdict) *batcher {
	if most <= 0 {
		most = defaultBulkMax
	}
	if wait <= 0 {
		wait = defaultBulkWait
	}
	return &batcher{most: most, wait: wait, send: send, open: map[string]*batch{}}
}

// give returns the app's verdict of one event.
func (b *batcher) give(ctx context.Context, ev *topicEvent) verdict {
	b.mu.Lock()
	now := b.open[ev.path]
	if now == nil {
		now = &batch{ctx: ctx, full: make(chan struct{}), done: make(chan struct{})}
		b.open[ev.path] = now
		b.group.Go(func() { b.run(ev.path, now) })
	}
	i := len(now.events)
	now.events = append(now.events, ev)
	if len(now.events) >= b.most {
		delete(b.open, ev.path)
		close(now.full)
	}
	b.mu.Unlock()
	<-now.done
	return now.verdicts[i]
}

func (b *batcher) run(path string, now *batch) {
	timer := time.NewTimer(b.wait)
	defer timer.Stop()
	select {
	case <-now.full:
	case <-timer.C:
	case <-now.ctx.Done():
	}
	b.mu.Lock()
	if b.open[path] == now {
		delete(b.open, path)
	}
	b.mu.Unlock()
	now.verdicts = b.send(now.ctx, now.events)
	close(now.done)
}
