package build

import (
	"context"
	"io"
	"sync"
)

// Warmer is a Strategy that can do ahead of time what every first build has to.
type Warmer interface {
	// Warm fills caches, once: where they are full it does nothing. It may be ended at any time; what it has done by then is of use, and
	// the next call goes on from there.
	Warm(ctx context.Context) error
}

// WarmWhenIdle lets a strategy be warmed while nothing is built.
func WarmWhenIdle(s Strategy) *Warmed { return &Warmed{next: s} }

// Warmed is a Strategy whose builds interrupt its warming: the machine is theirs then, and so are the caches.
type Warmed struct {
	next Strategy

	mu     sync.Mutex
	builds int
	idle   chan struct{} // closed when the last of builds ends
	end    func()        // ends the warming and waits for it; nil when none runs
	ended  chan struct{} // closed when the warming has ended
}

// Build implements Strategy.
func (w *Warmed) Build(ctx context.Context, r Request, log io.Writer) (Result, error) {
	w.begin()
	defer w.done()
	return w.next.Build(ctx, r, log)
}

// begin returns when no warming runs, and none does until done.
func (w *Warmed) begin() {
	w.mu.Lock()
	if w.builds++; w.builds == 1 {
		w.idle = make(chan struct{})
	}
	end := w.end
	w.mu.Unlock()
	if end != nil {
		end()
	}
}

func (w *Warmed) done() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.builds--; w.builds == 0 {
		close(w.idle)
	}
}

// Warm has by fill its caches whenever nothing is built. It returns when that is done, with its error, or when ctx ends, without one.
// It must not be called again before it has returned.
func (w *Warmed) Warm(ctx context.Context, by Warmer) error {
	for {
		interrupted, err := w.warm(ctx, by)
		if ctx.Err() != nil {
			return nil
		}
		if !interrupted {
			return err
		}
	}
}

// warm is one attempt; interrupted tells that a build ended it.
func (w *Warmed) warm(ctx context.Context, by Warmer) (interrupted bool, err error) {
	attempt, cancel := context.WithCancel(ctx)
	defer cancel()
	if !w.enter(attempt, cancel) {
		return false, nil
	}
	defer w.leave()
	err = by.Warm(attempt)
	return attempt.Err() != nil, err
}

// enter waits until nothing is built, and makes builds end the attempt from then on. It is false when ctx ended first.
func (w *Warmed) enter(ctx context.Context, cancel func()) bool {
	for {
		w.mu.Lock()
		if w.builds == 0 {
			ended := make(chan struct{})
			w.ended, w.end = ended, func() { cancel(); <-ended }
			w.mu.Unlock()
			return true
		}
		idle := w.idle
		w.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return false
		}
	}
}

func (w *Warmed) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.ended)
	w.ended, w.end = nil, nil
}
