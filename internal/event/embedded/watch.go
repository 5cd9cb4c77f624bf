package embedded

import (
	"context"
	"sync"

	"github.com/openfunction/ofn/internal/event"
)

// watchers tell of changes. Many changes of one thing that nobody has looked at yet are one.
type watchers struct {
	mu  sync.Mutex
	all map[*watcher]struct{}
}

type watcher struct {
	mu      sync.Mutex
	pending map[event.Ref]struct{}
	wake    chan struct{}
}

func (w *watchers) watch(ctx context.Context, changed func(event.Ref)) {
	one := &watcher{pending: map[event.Ref]struct{}{}, wake: make(chan struct{}, 1)}
	w.mu.Lock()
	if w.all == nil {
		w.all = map[*watcher]struct{}{}
	}
	w.all[one] = struct{}{}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.all, one)
		w.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-one.wake:
			for _, ref := range one.take() {
				changed(ref)
			}
		}
	}
}

func (o *watcher) take() []event.Ref {
	o.mu.Lock()
	defer o.mu.Unlock()
	refs := make([]event.Ref, 0, len(o.pending))
	for ref := range o.pending {
		refs = append(refs, ref)
	}
	clear(o.pending)
	return refs
}

func (w *watchers) notify(ref event.Ref) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.all {
		one.mu.Lock()
		one.pending[ref] = struct{}{}
		one.mu.Unlock()
		select {
		case one.wake <- struct{}{}:
		default:
		}
	}
}
