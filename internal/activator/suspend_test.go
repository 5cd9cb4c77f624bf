package activator

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{})
		r.Add(target("a"))
		r.Add(target("b"))
		_, release := hold(t, r)
		r.Suspend("a")
		r.Suspend("a")
		r.Suspend("unknown")
		for range 20 {
			if id, done := hold(t, r); id != "b" {
				t.Fatalf("a request went to %s", id)
			} else {
				done()
			}
		}
		release() // whether it was inside a or b, it may end
		r.Suspend("b")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Do(ctx, nothing); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with every copy suspended: %v", err)
		}
		answered := make(chan error, 1)
		go func() { answered <- r.Do(t.Context(), nothing) }()
		synctest.Wait()
		r.Resume("b")
		if err := <-answered; err != nil {
			t.Errorf("a waiting request was not let go on: %v", err)
		}
		r.Resume("b")
		r.Resume("unknown")
		if n := len(r.ready); n != 1 {
			t.Errorf("%d copies get requests after b was resumed twice, want one", n)
		}
		r.Suspend("a")
		if err := r.Drain(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		r.Resume("a")
		if n := len(r.ready); n != 1 {
			t.Errorf("%d copies get requests after a was drained, want one", n)
		}
		r.Close()
	})
}
