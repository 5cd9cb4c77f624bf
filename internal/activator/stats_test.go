package activator

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestStatsWeighTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{})
		r.Add(target("a"))
		go r.Do(t.Context(), func(*Endpoint) error { time.Sleep(5 * time.Second); return nil })
		go r.Do(t.Context(), func(*Endpoint) error { time.Sleep(2500 * time.Millisecond); return nil })
		time.Sleep(10 * time.Second)
		s := r.Stats(time.Now())
		if s.AvgConcurrency != 0.75 || s.Requests != 2 || s.InFlight != 0 {
			t.Errorf("got %+v", s)
		}
		if s := r.Stats(time.Now().Add(time.Second)); s.AvgConcurrency != 0 || s.Requests != 0 {
			t.Errorf("the next period: %+v", s)
		}
	})
}

func TestLoadIsThatOfTheMoment(t *testing.T) {
	r := New(Options{Concurrency: 1})
	want := func(inFlight, waiting int) {
		t.Helper()
		for range 2 { // looking changes nothing
			if f, w := r.Load(); f != inFlight || w != waiting {
				t.Errorf("got %d in flight and %d waiting, want %d and %d", f, w, inFlight, waiting)
			}
		}
	}
	want(0, 0)
	r.Add(target("a"))
	_, release := hold(t, r)
	want(1, 0)
	ctx, cancel := context.WithCancel(t.Context())
	waits := make(chan error)
	go func() { waits <- r.Do(ctx, nothing) }()
	for _, w := r.Load(); w == 0; _, w = r.Load() {
		runtime.Gosched()
	}
	want(1, 1)
	cancel()
	<-waits
	want(1, 0)
	release()
	want(0, 0)
}
