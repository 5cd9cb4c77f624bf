package activator

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{})
		r.Add(target("a"))
		_, release := hold(t, r)
		drained := make(chan error, 1)
		go func() { drained <- r.Drain(t.Context(), "a") }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Do(ctx, nothing); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a draining copy took a request: %v", err)
		}
		select {
		case err := <-drained:
			t.Errorf("drained with a request inside: %v", err)
		default:
		}
		release()
		if err := <-drained; err != nil {
			t.Errorf("Drain: %v", err)
		}
		if err := r.Drain(t.Context(), "a"); err != nil {
			t.Errorf("draining again: %v", err)
		}
	})
}

func TestDrainGivesUp(t *testing.T) {
	r := New(Options{})
	r.Add(target("a"))
	_, release := hold(t, r)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Drain(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if len(r.byID) != 0 {
		t.Error("the copy is still known")
	}
}
