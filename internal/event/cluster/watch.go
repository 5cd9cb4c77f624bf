package cluster

import (
	"context"
	"sync"

	"github.com/openfunction/ofn/internal/event"
)

// watchers are told of changes at once, by whoever notices them; none of this package's locks may be held then.
type watchers struct {
	mu   sync.RWMutex
	last int
	all  map[int]func(event.Ref)
}

func (w *watchers) watch(ctx context.Context, changed func(event.Ref)) {
	w.mu.Lock()
	if w.all == nil {
		w.all = map[int]func(event.Ref){}
	}
	w.last++
	id := w.last
	w.all[id] = changed
	w.mu.Unlock()
	<-ctx.Done()
	w.mu.Lock()
	delete(w.all, id)
	w.mu.Unlock()
}

func (w *watchers) notify(refs ...event.Ref) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for _, changed := range w.all {
		for _, ref := range refs {
			changed(ref)
		}
	}
}
