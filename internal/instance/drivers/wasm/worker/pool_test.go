package worker

import (
	"context"
	"errors"
	"sync"
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
