package node_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
)

// TestHammer lets everything happen at once, in real time, and demands that nothing is left and no image held.
func TestHammer(t *testing.T) {
	w := newWorld(t, func(n int) behaviour {
		switch n % 7 {
		case 0:
			return behaviour{startErr: fmt.Errorf("start %d failed", n)}
		case 1:
			return behaviour{lives: time.Millisecond, exit: instance.Exit{Code: 1}}
		}
		return behaviour{startTakes: time.Duration(n%3) * 100 * time.Microsecond, output: "hello\n"}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 800*time.Millisecond)
	defer cancel()
	keys := []run.Key{{Namespace: "a", Name: "x"}, {Namespace: "a", Name: "y"}, {Namespace: "b", Name: "x"}}
	w.node.Watch(ctx, func(k run.Key) { w.node.Status(ctx, k) })
	var wg sync.WaitGroup
	for p := range 6 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(p), 1))
			for ctx.Err() == nil {
				k := keys[r.IntN(len(keys))]
				rev := revision("container-concurrency", fmt.Sprint(r.IntN(3)))
				rev.Key, rev.MinScale, rev.Reachable, rev.Grace = k, r.IntN(3), r.IntN(2) == 0, 20*time.Millisecond
				rev.Image = fmt.Sprint("image", r.IntN(2))
				switch n := r.IntN(20); {
				case n < 4:
					if err := w.node.Apply(ctx, rev); err != nil {
						t.Error(err)
					}
				case n == 4:
					if err := w.node.Delete(ctx, k); err != nil {
						t.Error(err)
					}
				default:
					if a := w.node.Revision(k); a != nil {
						_ = do(a, time.Duration(r.IntN(2000))*time.Microsecond) // it may fail: copies crash and revisions go
					}
				}
			}
		})
	}
	wg.Wait()
	w.close()
	if asked, released := w.images.counts(); asked != released {
		t.Errorf("%d images taken, %d given back", asked, released)
	}
}
