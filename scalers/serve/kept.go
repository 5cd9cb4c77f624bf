package serve

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// sweepEvery is how often unused scalers are looked for.
const sweepEvery = 30 * time.Second

// kept are the scalers in use and those used lately. Scalers are made by others and may neither honour contexts nor be safe for
// concurrent use, so that each is used by one goroutine at a time, which its caller need not wait for.
type kept struct {
	build Builder
	most  int
	log   *slog.Logger
	stop  chan struct{}
	swept chan struct{} // closed when the sweeper ended

	mu  sync.Mutex
	all map[key]*entry
}

// entry is one scaler.
type entry struct {
	trigger Trigger
	busy    chan struct{} // holds one while the scaler is used
	scaler  Scaler        // nil: to be made; only for who holds busy
	used    time.Time     // under kept.mu
}

func newKept(build Builder, most int, log *slog.Logger) *kept {
	k := &kept{build: build, most: most, log: log, stop: make(chan struct{}), swept: make(chan struct{}), all: map[key]*entry{}}
	go k.sweeps()
	return k
}

// with lends the scaler of a trigger, making it when there is none. After an error it is closed, and made anew for the next
// request: its connection may be broken. When ctx ends first, the use goes on by itself and the scaler is lent again after it.
func (k *kept) with(ctx context.Context, id key, t Trigger, use func(context.Context, Scaler) error) error {
	e, err := k.entry(id, t)
	if err != nil {
		return err
	}
	select {
	case e.busy <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("waiting for the request before this one: %w", ctx.Err())
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-e.busy }()
		_, err := guarded(func() (struct{}, error) { return struct{}{}, k.use(ctx, e, use) })
		if err != nil {
			k.drop(e)
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("asking the source: %w", ctx.Err())
	}
}

func (k *kept) use(ctx context.Context, e *entry, use func(context.Context, Scaler) error) error {
	if e.scaler == nil {
		sc, err := k.build(ctx, e.trigger)
		if err != nil {
			return fmt.Errorf("making the scaler: %w", err)
		}
		e.scaler = sc
	}
	return use(ctx, e.scaler)
}

// guarded turns a panic of somebody else's code into an error.
func guarded[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the scaler panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// drop closes the scaler of an entry that the caller holds.
func (k *kept) drop(e *entry) {
	if e.scaler == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := guarded(func() (struct{}, error) { return struct{}{}, e.scaler.Close(ctx) })
	if err != nil {
		k.log.Debug("closing a scaler", "trigger", e.trigger.String(), "error", err)
	}
	e.scaler = nil
}

// entry finds or makes the place of a trigger, in place of the one unused longest when there are too many.
func (k *kept) entry(id key, t Trigger) (*entry, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.all[id]; e != nil {
		e.used = time.Now()
		return e, nil
	}
	if len(k.all) >= k.most && !k.evict() {
		return nil, fmt.Errorf("all %d scalers are in use", k.most)
	}
	e := &entry{trigger: t, busy: make(chan struct{}, 1), used: time.Now()}
	k.all[id] = e
	return e, nil
}

// evict drops the idle entry that was unused longest. It needs k.mu.
func (k *kept) evict() bool {
	var oldest *entry
	var at key
	for id, e := range k.all {
		if len(e.busy) == 0 && (oldest == nil || e.used.Before(oldest.used)) {
			oldest, at = e, id
		}
	}
	return oldest != nil && k.retire(at, oldest)
}

// retire takes an entry out unless it is in use, and closes its scaler. It needs k.mu.
func (k *kept) retire(id key, e *entry) bool {
	select {
	case e.busy <- struct{}{}: // for ever: who waits for it gets its own error in time
		delete(k.all, id)
		go k.drop(e)
		return true
	default:
		return false
	}
}

// sweeps drops what is unused for too long, until the end.
func (k *kept) sweeps() {
	defer close(k.swept)
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-k.stop:
			return
		case now := <-t.C:
			k.sweep(now)
		}
	}
}

func (k *kept) sweep(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, e := range k.all {
		if now.Sub(e.used) > e.trigger.Keep {
			k.retire(id, e)
		}
	}
}

// close closes what is not in use.
func (k *kept) close() {
	close(k.stop)
	<-k.swept
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, e := range k.all {
		select {
		case e.busy <- struct{}{}:
			delete(k.all, id)
			k.drop(e)
		default:
		}
	}
}
