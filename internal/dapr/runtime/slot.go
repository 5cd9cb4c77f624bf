package runtime

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/openfunction/ofn/internal/dapr/components"
	"github.com/openfunction/ofn/internal/event"
)

// ErrGone says that a component was deleted while it was asked for.
var ErrGone = errors.New("the component is being deleted")

// slot keeps one component connected: it opens it, again after each failure and each change, and lends it out. A changed
// component takes over when it is connected; the former one is closed when the last who had it gives it back.
type slot struct {
	open     func(context.Context, event.Component) (*components.Opened, error)
	notify   func()
	ctx      context.Context //nolint:containedctx // the slot's own life
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	mu       sync.Mutex
	spec     event.Component
	revised  chan struct{} // closed when spec changes
	current  *held
	failure  error
	moved    chan struct{} // closed when current or failure change
	started  bool
	readying event.Status
}

// held is a connected component and who has it.
type held struct {
	*components.Opened
	users sync.WaitGroup
}

// newSlot makes a slot that connects when it is first asked for, or at once if eager is set.
func newSlot(ctx context.Context, spec event.Component, eager bool, open func(context.Context, event.Component) (*components.Opened, error), notify func()) *slot {
	ctx, cancel := context.WithCancel(ctx)
	s := &slot{open: open, notify: notify, ctx: ctx, cancel: cancel, spec: spec, revised: make(chan struct{}), moved: make(chan struct{})}
	s.readying = event.Status{Reason: "NotUsed", Message: "connects when it is first used", Since: time.Now(), Lag: -1, Ready: true}
	if eager {
		s.mu.Lock()
		s.start()
		s.mu.Unlock()
	}
	return s
}

// start begins to connect. mu is held.
func (s *slot) start() {
	if s.started || s.ctx.Err() != nil {
		return
	}
	s.started = true
	s.readying = event.Status{Reason: "Connecting", Message: "connecting", Since: time.Now(), Lag: -1}
	s.wg.Go(s.run)
}

// revise gives the slot another specification; true if it is another one.
func (s *slot) revise(spec event.Component) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reflect.DeepEqual(spec, s.spec) {
		return false
	}
	s.spec = spec
	close(s.revised)
	s.revised = make(chan struct{})
	return true
}

// look is the specification, and what is closed when it changes.
func (s *slot) look() (event.Component, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spec, s.revised
}

func (s *slot) run() {
	wait := reconnects()
	for s.ctx.Err() == nil {
		spec, revised := s.look()
		opened, err := s.open(s.ctx, spec)
		s.settle(opened, err)
		var again <-chan time.Time
		var lost <-chan struct{}
		var invalid *components.Invalid
		switch {
		case err == nil:
			wait.Reset()
			lost = opened.Lost()
		case !errors.As(err, &invalid):
			again = time.After(wait.NextBackOff())
		}
		select {
		case <-s.ctx.Done():
		case <-revised:
			wait.Reset()
		case <-lost:
		case <-again:
		}
	}
}

// reconnects is how long to wait between attempts to connect.
func reconnects() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = 250*time.Millisecond, 15*time.Second, 2
	b.Reset()
	return b
}

// settle keeps what came of an attempt to open. A failure to open what was changed leaves the former in place, as broken as its
// new specification is: what works is not taken away, but its status tells.
func (s *slot) settle(opened *components.Opened, err error) {
	s.mu.Lock()
	if s.ctx.Err() != nil { // close has taken what there was
		s.mu.Unlock()
		if err == nil {
			_ = opened.Close()
		}
		return
	}
	former := s.current
	status := event.Status{Ready: err == nil, Since: time.Now(), Lag: -1}
	if err == nil {
		s.current = &held{Opened: opened}
		status.Reason, status.Message = "Ready", "connected"
		if len(opened.Ignored) > 0 {
			status.Message = fmt.Sprintf("connected; metadata that %s does not know are ignored: %v", s.spec.Type, opened.Ignored)
		}
	} else {
		former = nil
		status.Reason, status.Message = reason(err), err.Error()
	}
	told := status.Reason != s.readying.Reason || status.Message != s.readying.Message
	if !told {
		status.Since = s.readying.Since
	}
	s.failure, s.readying = err, status
	close(s.moved)
	s.moved = make(chan struct{})
	s.mu.Unlock()
	if former != nil {
		s.retire(former)
	}
	if told {
		s.notify()
	}
}

func reason(err error) string {
	var invalid *components.Invalid
	if errors.As(err, &invalid) {
		return invalid.Reason
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "Timeout"
	}
	return "Connecting"
}

// retire closes what nobody has any more.
func (s *slot) retire(h *held) {
	s.wg.Go(func() {
		h.users.Wait()
		_ = h.Close()
	})
}

// NotReady says that a component is not connected, and why.
type NotReady struct {
	Component string
	Cause     error
}

func (e *NotReady) Error() string {
	if e.Cause == nil {
		return fmt.Sprintf("component %s is still connecting", e.Component)
	}
	return fmt.Sprintf("component %s is not connected: %v", e.Component, e.Cause)
}

func (e *NotReady) Unwrap() error { return e.Cause }

// acquire lends the component, waiting until it is connected or ctx ends. release must be called once.
func (s *slot) acquire(ctx context.Context) (h *held, release func(), err error) {
	for {
		s.mu.Lock()
		s.start()
		h, moved, failure, name := s.current, s.moved, s.failure, s.spec.Name.Name
		if s.ctx.Err() != nil {
			s.mu.Unlock()
			return nil, nil, ErrGone
		}
		if h != nil {
			h.users.Add(1)
			s.mu.Unlock()
			return h, sync.OnceFunc(h.users.Done), nil
		}
		s.mu.Unlock()
		var invalid *components.Invalid
		if errors.As(failure, &invalid) {
			return nil, nil, &NotReady{name, failure}
		}
		select {
		case <-moved:
		case <-s.ctx.Done():
			return nil, nil, ErrGone
		case <-ctx.Done():
			return nil, nil, &NotReady{name, failure}
		}
	}
}

// replaced is closed, at the latest, when h is no more the component that acquire gives.
func (s *slot) replaced(h *held) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != h {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return s.moved
}

func (s *slot) status() event.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readying
}

// close ends the slot; it waits for who has the component.
func (s *slot) close() {
	s.mu.Lock()
	s.cancel()
	h := s.current
	s.current = nil
	s.mu.Unlock()
	if h != nil {
		s.retire(h)
	}
	s.wg.Wait()
}
