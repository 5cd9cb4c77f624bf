package node

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openfunction/ofn/internal/run"
)

// What a start changes of the numbers is told when the start is over, in one go; another phase is told at once.
func TestPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Int32
		n := &Node{watchers: map[*func(run.Key)]struct{}{}}
		n.Watch(t.Context(), func(run.Key) { told.Add(1) })
		a := &actor{node: n, status: run.Status{Phase: run.Ready}}
		expect := func(when string, want int32) {
			t.Helper()
			synctest.Wait()
			if got := told.Load(); got != want {
				t.Errorf("%s: told %d times, want %d", when, got, want)
			}
		}
		a.publish(run.Status{Phase: run.Ready, Desired: 1, Starting: 1})
		a.publish(run.Status{Phase: run.Ready, Desired: 1, Ready: 1})
		expect("during the start", 0)
		time.Sleep(2 * numbersDelay)
		expect("after the start", 1)
		a.publish(run.Status{Phase: run.Ready, Desired: 1, Ready: 1})
		time.Sleep(2 * numbersDelay)
		expect("nothing changed", 1)
		a.publish(run.Status{Phase: run.Ready})
		a.publish(run.Status{Phase: run.Failed, Reason: "ContainerCrashed"})
		expect("another phase", 2)
		time.Sleep(2 * numbersDelay)
		expect("which said everything", 2)
	})
}
