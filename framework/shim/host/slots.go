package host

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
)

// ErrFull says that as many calls run, and wait, as may.
var ErrFull = errors.New("too many calls at once")

// Slots bound how many calls run at the same time and how many more wait.
type Slots struct {
	free    chan struct{}
	waiting atomic.Int64
	most    int64
}

// MaxWaiting is how many calls wait for a slot before others are refused.
const MaxWaiting = 1024

// NewSlots lets n calls run while most wait.
func NewSlots(n int, most int64) *Slots {
	return &Slots{free: make(chan struct{}, n), most: most}
}

// Enter waits for a slot. Leave gives it back.
func (s *Slots) Enter(ctx context.Context) error {
	select {
	case s.free <- struct{}{}:
		return nil
	default:
	}
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > s.most {
		return ErrFull
	}
	select {
	case s.free <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Leave ends a call that has entered.
func (s *Slots) Leave() { <-s.free }

// Busy tells whether no slot is free.
func (s *Slots) Busy() bool { return len(s.free) == cap(s.free) }

// Limit lets calls through as slots allow and answers the others with code.
func (s *Slots) Limit(code int, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.Enter(r.Context()); err != nil {
			Answer(w, code, ErrFull.Error())
			return
		}
		defer s.Leave()
		next.ServeHTTP(w, r)
	})
}
