package activator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// target is a copy that nobody dials.
type target string

func (t target) ID() string { return string(t) }

func (t target) Dial(context.Context) (net.Conn, error) { return nil, errors.New("nothing listens") }

// hold occupies a slot until the returned function is called; it fails the test when there is none at once.
func hold(t *testing.T, r *Revision) (id string, release func()) {
	t.Helper()
	in, out, done := make(chan string), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		err := r.Do(t.Context(), func(e *Endpoint) error {
			in <- e.ID()
			<-out
			return nil
		})
		if err != nil {
			t.Errorf("Do: %v", err)
		}
	}()
	return <-in, func() { close(out); <-done }
}

func nothing(*Endpoint) error { return nil }

func TestLimitFillsFirstCopyFirst(t *testing.T) {
	r := New(Options{Concurrency: 2})
	r.Add(target("a"))
	r.Add(target("b"))
	var got []string
	for range 4 {
		id, release := hold(t, r)
		defer release()
		got = append(got, id)
	}
	if want := []string{"a", "a", "b", "b"}; !slices.Equal(got, want) {
		t.Errorf("copies: %v, want %v", got, want)
	}
}

func TestUnlimitedSpreads(t *testing.T) {
	r := New(Options{})
	for i := range 4 {
		r.Add(target(fmt.Sprint(i)))
	}
	load := map[string]int{}
	for range 200 {
		id, release := hold(t, r)
		defer release()
		load[id]++
	}
	for id, n := range load {
		if n < 25 || n > 75 {
			t.Errorf("copy %s has %d of 200 requests", id, n)
		}
	}
}

func TestWaitsFirstInFirstOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waits []int
		var started []time.Duration
		r := New(Options{
			Concurrency: 1,
			OnWait:      func(n int) { waits = append(waits, n) },
			OnStart:     func(d time.Duration) { started = append(started, d) },
		})
		var order []int
		for i := range 5 {
			go r.Do(t.Context(), func(*Endpoint) error { order = append(order, i); time.Sleep(time.Second); return nil })
			synctest.Wait()
		}
		if s := r.Stats(time.Now()); s.Waiting != 5 || s.InFlight != 0 || s.Requests != 5 {
			t.Errorf("stats: %+v", s)
		}
		time.Sleep(3 * time.Second)
		r.Add(target("a"))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if !slices.Equal(order, []int{0, 1, 2, 3, 4}) {
			t.Errorf("order: %v", order)
		}
		if !slices.Equal(waits, []int{1, 2, 3, 4, 5}) {
			t.Errorf("OnWait: %v", waits)
		}
		if len(started) != 5 || started[0] != 3*time.Second || started[4] != 7*time.Second {
			t.Errorf("OnStart: %v", started)
		}
	})
}

func TestColdOnlyWithoutCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{Concurrency: 1})
		var seen []Wait
		request := func() {
			r.Serve(t.Context(), recordWait(func(w Wait) { seen = append(seen, w); time.Sleep(time.Second) }))
		}
		go request()
		synctest.Wait()
		r.Add(target("a"))
		synctest.Wait()
		go request()
		time.Sleep(5 * time.Second)
		request()
		synctest.Wait()
		if len(seen) != 3 || !seen[0].Cold || seen[1].Cold || seen[1].For != time.Second || seen[2].For != 0 {
			t.Errorf("waits: %+v", seen)
		}
	})
}

type recordWait func(Wait)

func (f recordWait) Handle(_ *Endpoint, w Wait) error { f(w); return nil }

func TestRefusals(t *testing.T) {
	reason := errors.New("image not found")
	tests := []struct {
		name string
		make func(*testing.T, *Revision) context.Context
		want error
	}{
		{"queue full", func(t *testing.T, r *Revision) context.Context {
			for range 3 {
				go r.Do(t.Context(), nothing)
			}
			synctest.Wait()
			return t.Context()
		}, ErrQueueFull},
		{"timeout", func(t *testing.T, _ *Revision) context.Context { return t.Context() }, ErrTimeout},
		{"client gone", func(t *testing.T, _ *Revision) context.Context {
			ctx, cancel := context.WithCancelCause(context.Background())
			time.AfterFunc(time.Second, func() { cancel(io.ErrClosedPipe) })
			return ctx
		}, io.ErrClosedPipe},
		{"closed before", func(t *testing.T, r *Revision) context.Context { r.Close(); return context.Background() }, ErrClosed},
		{"closed while waiting", func(t *testing.T, r *Revision) context.Context {
			time.AfterFunc(time.Second, r.Close)
			return context.Background()
		}, ErrClosed},
		{"failed before", func(t *testing.T, r *Revision) context.Context { r.Fail(reason); return context.Background() }, ErrFailed},
		{"failed while waiting", func(t *testing.T, r *Revision) context.Context {
			time.AfterFunc(time.Second, func() { r.Fail(reason) })
			return context.Background()
		}, reason},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := New(Options{QueueDepth: 3, Timeout: time.Minute})
				defer r.Close()
				err := r.Do(tt.make(t, r), nothing)
				if !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				r.Close()
				synctest.Wait()
				if s := r.Stats(time.Now()); s.Waiting != 0 || s.InFlight != 0 {
					t.Errorf("left behind: %+v", s)
				}
			})
		})
	}
}

func TestFailEnds(t *testing.T) {
	r := New(Options{})
	r.Fail(errors.New("crashed"))
	if err := r.Do(t.Context(), nothing); !errors.Is(err, ErrFailed) || err.Error() != "the revision cannot start: crashed" {
		t.Errorf("while failed: %v", err)
	}
	r.Add(target("a"))
	if err := r.Do(t.Context(), nothing); err != nil {
		t.Errorf("with a copy: %v", err)
	}
	r.Fail(errors.New("the second copy crashed"))
	if err := r.Do(t.Context(), nothing); err != nil {
		t.Errorf("with a good copy beside the failed one: %v", err)
	}
}

func TestUnreachableRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{Concurrency: 10})
		r.Add(target("a"))
		r.Add(target("b"))
		fail := func(*Endpoint) error { return fmt.Errorf("%w: refused", ErrUnreachable) }
		if err := r.Do(t.Context(), fail); !errors.Is(err, ErrUnreachable) {
			t.Fatal(err)
		}
		var next string
		r.Do(t.Context(), func(e *Endpoint) error { next = e.ID(); return nil })
		if next != "b" {
			t.Errorf("the next request went to %s", next)
		}
		r.Remove("b")
		began := time.Now()
		r.Do(t.Context(), func(e *Endpoint) error { next = e.ID(); return nil })
		if waited := time.Since(began); next != "a" || waited == 0 || waited > time.Second {
			t.Errorf("went to %s after %v", next, waited)
		}
	})
}

func TestIdleConnections(t *testing.T) {
	r := New(Options{})
	r.Add(target("a"))
	conns := []*closer{{}, {}, {}}
	now := time.Now()
	r.Do(t.Context(), func(e *Endpoint) error {
		if e.Take() != nil {
			t.Error("a connection out of nowhere")
		}
		e.Keep(conns[0], now.Add(-2*idleTimeout))
		e.Keep(conns[1], now)
		e.Keep(conns[2], now)
		if e.Take() != conns[2] {
			t.Error("not the one used last")
		}
		return nil
	})
	r.Stats(now)
	if !conns[0].closed || conns[1].closed {
		t.Errorf("after Stats: old closed %v, new closed %v", conns[0].closed, conns[1].closed)
	}
	var late *Endpoint
	r.Do(t.Context(), func(e *Endpoint) error { late = e; r.Remove("a"); e.Keep(conns[2], now); return nil })
	if !conns[1].closed || !conns[2].closed || late.Take() != nil {
		t.Error("connections of a removed copy are open")
	}
}

type closer struct{ closed bool }

func (c *closer) Close() error { c.closed = true; return nil }

func TestPanicGivesTheSlotBack(t *testing.T) {
	r := New(Options{Concurrency: 1, Budget: NewBudget(10)})
	r.Add(target("a"))
	func() {
		defer func() { recover() }()
		r.Do(t.Context(), func(*Endpoint) error { panic("handler") })
	}()
	if err := r.Do(t.Context(), nothing); err != nil {
		t.Error(err)
	}
}

// TestHammer changes everything at once and checks that no copy ever had more than its limit and that nothing leaks.
func TestHammer(t *testing.T) {
	const workers, loops, limit = 16, 400, 3
	b := NewBudget(1000)
	r := New(Options{Concurrency: limit, QueueDepth: 8, Budget: b})
	var mu sync.Mutex
	inside := map[*Endpoint]int{}
	visit := func(e *Endpoint) error {
		mu.Lock()
		inside[e]++
		if inside[e] > limit {
			t.Errorf("%d requests inside one copy", inside[e])
		}
		mu.Unlock()
		e.Keep(&closer{}, time.Now())
		mu.Lock()
		inside[e]--
		mu.Unlock()
		return nil
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range loops {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%5)*time.Millisecond)
				r.Do(ctx, visit)
				cancel()
				if w%4 == 0 {
					id := fmt.Sprintf("%d-%d", w, i%3)
					switch i % 4 {
					case 0, 1:
						r.Add(target(id))
					case 2:
						r.Remove(id)
					case 3:
						ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
						r.Drain(ctx, id)
						cancel()
					}
					r.Stats(time.Now())
				}
			}
		})
	}
	wg.Wait()
	if s := r.Stats(time.Now()); s.InFlight != 0 || s.Waiting != 0 || b.InUse() != 0 {
		t.Errorf("left behind: %+v, budget %d", s, b.InUse())
	}
	r.Close()
	if len(b.shares) != 0 {
		t.Errorf("budget still knows %v", b.shares)
	}
}
