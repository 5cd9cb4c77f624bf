package runtime

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/dapr/components"
)

// errStopping goes to a broker for events that came while their reader was stopping: they come again to the next one.
var errStopping = errors.New("the reader is stopping")

// session is one connection of an app to a component that calls it, from subscribing until it is closed.
type session struct {
	opened  []*components.Opened
	release func() // of a component that is shared; nil if opened are the session's own
	fetch   context.Context
	stop    context.CancelFunc // ends fetch: the subscriptions
	work    context.Context    //nolint:containedctx // of calls under way
	abort   context.CancelFunc // ends work
	mu      sync.Mutex
	sealed  bool
	running int
	last    time.Time     // when the last delivery ended
	idle    chan struct{} // closed when sealed and nothing runs
}

func newSession() *session {
	s := &session{idle: make(chan struct{})}
	s.fetch, s.stop = context.WithCancel(context.Background())
	s.work, s.abort = context.WithCancel(context.Background())
	return s
}

// handle runs one delivery. An error means that the event is not done with: it is held until the subscription is over, as is
// what comes while the session is ending, for brokers do what they like with a refusal: some send the event round and round,
// some drop it.
func (s *session) handle(deliver func(context.Context) error) error {
	if !s.enter() {
		<-s.fetch.Done()
		return errStopping
	}
	err := deliver(s.work)
	s.leave()
	if err != nil {
		<-s.fetch.Done()
	}
	return err
}

func (s *session) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sealed {
		return false
	}
	s.running++
	return true
}

func (s *session) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = time.Now()
	if s.running--; s.running == 0 && s.sealed {
		close(s.idle)
	}
}

// busy is how many deliveries are under way.
func (s *session) busy() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// end waits for deliveries under way, at most grace, then cuts them off, and closes the connection.
func (s *session) end(grace time.Duration) error {
	s.mu.Lock()
	if !s.sealed {
		s.sealed = true
		if s.running == 0 {
			close(s.idle)
		}
	}
	s.mu.Unlock()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-s.idle:
	case <-timer.C:
		s.abort()
		<-s.idle
	}
	s.flush()
	s.stop()
	s.abort()
	if s.release != nil {
		s.release()
		return nil
	}
	var errs []error
	for _, o := range s.opened {
		errs = append(errs, o.Close())
	}
	return errors.Join(errs...)
}

// flushTime is what a driver gets to send the acknowledgement of a delivery that has just ended, before its connection is closed.
// Drivers tell nobody when they have; an acknowledgement that is not sent is an event that comes twice.
const flushTime = 100 * time.Millisecond

func (s *session) flush() {
	s.mu.Lock()
	since := time.Since(s.last)
	s.mu.Unlock()
	if since < flushTime {
		<-time.After(flushTime - since)
	}
}

// lost is closed when a connection of the session was given up by its driver.
func (s *session) lost() <-chan struct{} {
	if len(s.opened) == 1 {
		return s.opened[0].Lost()
	}
	any := make(chan struct{})
	var once sync.Once
	for _, o := range s.opened {
		if l := o.Lost(); l != nil {
			go func() {
				select {
				case <-l:
					once.Do(func() { close(any) })
				case <-s.fetch.Done():
				}
			}()
		}
	}
	return any
}
