package worker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/openfunction/ofn/internal/instance/drivers/wasm/guest"
)

// TestLent: a request that comes while the only instance is looked at has it afterwards, and not another one with a state of its own.
func TestLent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool()
		if p.look(func(*guest.Instance) {}) {
			t.Error("looked at one that is not there")
		}
		only := &guest.Instance{}
		p.total++
		p.put(only, true)

		var waiting sync.WaitGroup
		made := errors.New("made")
		take := func() {
			i, err := p.take(t.Context(), func(context.Context) (*guest.Instance, error) { return nil, made })
			if i != only && !errors.Is(err, made) {
				t.Errorf("took %p, %v", i, err)
			}
			if i == only {
				waiting.Done()
			}
		}
		waiting.Add(1)
		p.look(func(*guest.Instance) {
			go take()
			go take()
			synctest.Wait() // both wait
			if p.total != 1 {
				t.Errorf("%d instances while one is looked at", p.total)
			}
		})
		waiting.Wait() // one has it
		synctest.Wait()
		if p.total != 1 || p.lent {
			t.Errorf("%d instances in the end, lent: %v", p.total, p.lent)
		}
	})
}

// TestAllThatWaited: each request that waited for the one that was looked at goes on, the others with an instance of their own.
func TestAllThatWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool()
		p.total++
		p.put(&guest.Instance{}, true)
		var taken atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		p.look(func(*guest.Instance) {
			for range 5 {
				go func() {
					i, err := p.take(ctx, func(context.Context) (*guest.Instance, error) { return &guest.Instance{}, nil })
					if i != nil && err == nil {
						taken.Add(1)
					}
				}()
			}
			synctest.Wait() // all wait
		})
		synctest.Wait()
		if n := taken.Load(); n != 5 {
			t.Errorf("%d of 5 requests go on", n)
		}
		cancel()
	})
}

// TestNoRoom: a request that has no room for an instance of its own tries again when there may be, and not all the time.
func TestNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, only := newPool(), &guest.Instance{}
		tries := 0
		take := func() *guest.Instance {
			i, err := p.take(t.Context(), func(context.Context) (*guest.Instance, error) {
				if tries++; tries > 1 && tries < 1000 {
					return nil, guest.ErrNoRoom
				}
				return only, nil
			})
			if err != nil {
				t.Error(err)
			}
			return i
		}
		first := take()
		got := make(chan *guest.Instance)
		go func() { got <- take() }()
		synctest.Wait()
		if tries > 3 { // the first one's making wakes it once for nothing
			t.Errorf("%d tries while nothing changes", tries)
		}
		p.put(first, true)
		if <-got != only {
			t.Error("it has another one")
		}
	})
}
