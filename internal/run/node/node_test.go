package node_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
)

// do holds a slot for some time, at whose end the copy must still be there.
func do(r *activator.Revision, takes time.Duration) error {
	return r.Do(context.Background(), func(e *activator.Endpoint) error {
		time.Sleep(takes)
		c, err := e.Dial(context.Background())
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// bubble runs a test in virtual time with a node that is ended afterwards.
func bubble(t *testing.T, behave func(n int) behaviour, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, behave)
		test(w)
		w.close()
	})
}

func always(b behaviour) func(int) behaviour { return func(int) behaviour { return b } }

func TestNewRevisionIsProvenOnceAndGoesToZero(t *testing.T) {
	bubble(t, always(behaviour{startTakes: time.Second, listens: time.Second}), func(w *world) {
		w.apply(revision())
		w.expect(run.Starting, 0)
		time.Sleep(1500 * time.Millisecond)
		w.expect(run.Starting, 0)
		time.Sleep(time.Second)
		w.expect(run.Ready, 1)
		if d := w.status().ImageDigest; d != "sha256:img" {
			t.Errorf("image digest %q", d)
		}
		time.Sleep(50 * time.Second)
		w.expect(run.Ready, 1)
		time.Sleep(15 * time.Second)
		w.expect(run.Ready, 0)
		time.Sleep(24 * time.Hour)
		if n, _, _ := w.driver.counts(); n != 1 {
			t.Errorf("%d starts, want one", n)
		}
	})
}

func TestCopiesThatAreKept(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.apply(revision())
		time.Sleep(time.Second)
		w.keep.Store(true)
		time.Sleep(24 * time.Hour)
		w.expect(run.Ready, 1)
		if err := w.request(time.Second); err != nil {
			t.Error(err)
		}
		w.keep.Store(false)
		time.Sleep(2 * time.Minute)
		w.expect(run.Ready, 0)
		if n, _, _ := w.driver.counts(); n != 1 {
			t.Errorf("%d starts, want one", n)
		}
	})
}

func TestProvenRevisionStartsNothingUntilARequest(t *testing.T) {
	bubble(t, always(behaviour{startTakes: 3 * time.Millisecond, listens: 2 * time.Millisecond}), func(w *world) {
		r := revision()
		r.Proven = true
		w.apply(r)
		time.Sleep(time.Hour)
		w.expect(run.Ready, 0)
		asked, _ := w.images.counts()
		if n, _, _ := w.driver.counts(); n != 0 || asked != 1 {
			t.Errorf("%d starts, image asked for %d times; want none and once", n, asked)
		}
		begin := time.Now()
		if err := w.request(0); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d > 10*time.Millisecond {
			t.Errorf("the cold start took %v, the copy needs 5 ms", d)
		}
		if asked, _ := w.images.counts(); asked != 1 {
			t.Error("a cold start asked for the image again")
		}
		time.Sleep(time.Second)
		w.expect(run.Ready, 1)
	})
}

func TestBurstStartsNoMoreThanItNeeds(t *testing.T) {
	for name, tt := range map[string]struct {
		annotations []string
		requests    int
		want        int
	}{
		"no limit of concurrency":   {nil, 60, 1},
		"one at a time":             {[]string{"container-concurrency", "1"}, 20, 20},
		"several at a time":         {[]string{"container-concurrency", "8"}, 20, 3},
		"no more than the maximum":  {[]string{"container-concurrency", "1", "max-scale", "4"}, 20, 4},
		"at least activation-scale": {[]string{"activation-scale", "3"}, 5, 3},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, always(behaviour{startTakes: 50 * time.Millisecond, listens: 10 * time.Millisecond}), func(w *world) {
				r := revision(tt.annotations...)
				r.Proven = true
				w.apply(r)
				var wg sync.WaitGroup
				for range tt.requests {
					wg.Go(func() {
						if err := w.request(10 * time.Second); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if started, _, most := w.driver.counts(); started != tt.want || most != tt.want {
					t.Errorf("%d starts, at most %d copies; want %d", started, most, tt.want)
				}
			})
		})
	}
}

func TestBusyCopyIsNotScaledIn(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.apply(revision("window", "6s", "container-concurrency", "1", "scale-down-delay", "0s"))
		time.Sleep(time.Second)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { _ = w.request(time.Second) })
		}
		wg.Go(func() {
			if err := w.request(200 * time.Second); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(150 * time.Second)
		if _, live, _ := w.driver.counts(); live == 0 {
			t.Error("the copy with a request inside is gone")
		}
		wg.Wait()
		time.Sleep(20 * time.Second)
		w.expect(run.Ready, 0)
	})
}

func TestDeleteDrains(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.apply(revision())
		time.Sleep(time.Second)
		rev := w.node.Revision(key)
		done := make(chan error, 1)
		go func() { done <- do(rev, 10*time.Second) }()
		time.Sleep(time.Second)
		if err := w.node.Delete(context.Background(), key); err != nil {
			t.Error(err)
		}
		if _, ok := w.node.Status(context.Background(), key); ok {
			t.Error("the deleted revision is still known")
		}
		time.Sleep(time.Second)
		if err := do(rev, 0); !errors.Is(err, activator.ErrFailed) && !errors.Is(err, activator.ErrClosed) {
			t.Errorf("a request to the deleted revision gets %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("the request inside gets %v", err)
		}
		time.Sleep(time.Second)
		_, released := w.images.counts()
		if _, live, _ := w.driver.counts(); live != 0 || released != 1 {
			t.Errorf("%d copies left, %d images released", live, released)
		}
		if err := w.node.Delete(context.Background(), key); err != nil {
			t.Error("deleting again:", err)
		}
		w.apply(revision())
		time.Sleep(time.Second)
		w.expect(run.Ready, 1)
	})
}

func TestCloseKillsWhatDoesNotEnd(t *testing.T) {
	bubble(t, always(behaviour{deaf: true}), func(w *world) {
		w.apply(revision("min-scale", "2"))
		time.Sleep(time.Second)
		go func() { _ = w.request(time.Hour) }()
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		if err := w.node.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if d := time.Since(begin); d != 3*time.Second {
			t.Errorf("took %v, want the 3 s it was given", d)
		}
		if err := w.node.Apply(context.Background(), revision()); err == nil {
			t.Error("a closed runner took a revision")
		}
		time.Sleep(time.Hour)
	})
}

func TestBounds(t *testing.T) {
	bubble(t, nil, func(w *world) {
		r := revision("window", "6s")
		r.MinScale, r.MaxScale = 3, 5
		w.apply(r)
		time.Sleep(time.Minute)
		w.expect(run.Ready, 3)
		r.MinScale = 1
		w.apply(r)
		time.Sleep(30 * time.Second)
		w.expect(run.Ready, 1)
		r.MinScale, r.Reachable = 2, false
		w.apply(r)
		time.Sleep(30 * time.Second)
		w.expect(run.Ready, 0)
		r.Reachable = true
		w.apply(r)
		time.Sleep(time.Second)
		w.expect(run.Ready, 2)
	})
}

func TestChangedContainerReplacesCopiesWithoutAGap(t *testing.T) {
	bubble(t, func(n int) behaviour { return behaviour{startTakes: time.Second} }, func(w *world) {
		r := revision("min-scale", "2")
		w.apply(r)
		time.Sleep(2 * time.Second)
		r.Annotations = map[string]string{g + "min-scale": "2", g + "window": "30s"}
		w.apply(r)
		time.Sleep(2 * time.Second)
		if n, _, _ := w.driver.counts(); n != 2 {
			t.Errorf("%d starts after a change of the scaling alone, want none beside the first 2", n)
		}
		r.Container.Env = []run.EnvVar{{Name: "A", Value: "b"}}
		w.apply(r)
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			begin := time.Now()
			if err := w.request(0); err != nil || time.Since(begin) > 0 {
				t.Fatalf("a request waited %v and got %v", time.Since(begin), err)
			}
		}
		if n, live, _ := w.driver.counts(); n != 4 || live != 2 {
			t.Errorf("%d starts, %d copies; want 4 and 2", n, live)
		}
	})
}

func TestApplyRefuses(t *testing.T) {
	bubble(t, nil, func(w *world) {
		for name, tt := range map[string]struct {
			change func(*run.Revision)
			says   string
		}{
			"annotation":    {func(r *run.Revision) { r.Annotations[g+"window"] = "1s" }, "autoscaling.knative.dev/window"},
			"runtime class": {func(r *run.Revision) { r.RuntimeClass = "kata" }, "known are the default one (leave it empty) and: wasm"},
			"port":          {func(r *run.Revision) { r.Port = 70000 }, "from 1 to 65535"},
		} {
			r := revision()
			tt.change(&r)
			if err := w.node.Apply(context.Background(), r); err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "ns/fn-1") {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if _, ok := w.node.Status(context.Background(), key); ok {
			t.Error("a refused revision is known")
		}
	})
}

func TestWatch(t *testing.T) {
	bubble(t, nil, func(w *world) {
		ctx, cancel := context.WithCancel(context.Background())
		var seen atomic.Int32
		w.node.Watch(ctx, func(k run.Key) {
			if s, ok := w.node.Status(ctx, k); ok && k == key && s.Phase == run.Ready {
				seen.Add(1)
			}
		})
		w.apply(revision())
		time.Sleep(time.Second)
		if seen.Load() == 0 {
			t.Error("nobody told that the revision is ready")
		}
		cancel()
		synctest.Wait()
		before := seen.Load()
		time.Sleep(time.Hour)
		if seen.Load() != before {
			t.Error("told after the end")
		}
	})
}

func TestWhatACopyIsGiven(t *testing.T) {
	var got instance.Spec
	bubble(t, always(behaviour{spec: func(s instance.Spec) { got = s }}), func(w *world) {
		r := revision()
		r.Container = run.Container{Args: []string{"-v"}, WorkingDir: "/w", Memory: 1 << 20, CPU: 250, PIDs: 9, ReadOnlyRoot: true,
			Files: []run.File{{Path: "/etc/secret", Data: []byte("s"), Mode: 0o400}}}
		w.apply(r)
		time.Sleep(time.Second)
		synctest.Wait()
		p := got.Process
		if strings.Join(p.Args, " ") != "/app -v" || p.Dir != "/w" || !p.ReadOnlyRoot || !slices.Contains(p.Env, "K_REVISION=fn-1") ||
			!slices.Contains(p.Env, "POD_NAME="+got.ID) || got.Limits != (instance.Limits{MemoryBytes: 1 << 20, CPUMillis: 250, PIDs: 9}) ||
			len(got.Files) != 1 || got.Files[0].Path != "/etc/secret" || got.Files[0].Mode != 0o400 || got.Listen.Port != 8080 || got.Log == nil {
			t.Errorf("got %+v", got)
		}
	})
}

func TestScaleUpFollowsLoad(t *testing.T) {
	bubble(t, always(behaviour{startTakes: 20 * time.Millisecond}), func(w *world) {
		w.apply(revision("target", "10", "window", "30s"))
		time.Sleep(time.Second)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						if err := w.request(100 * time.Millisecond); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		time.Sleep(20 * time.Second)
		w.expect(run.Ready, 8)
		close(stop)
		wg.Wait()
		time.Sleep(2 * time.Minute)
		w.expect(run.Ready, 0)
	})
}

func TestBurstIsNotScaledInWhileItMayComeBack(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.apply(revision("container-concurrency", "1"))
		for range 10 { // six at once, every five seconds
			var wg sync.WaitGroup
			for range 6 {
				wg.Go(func() { _ = w.request(10 * time.Millisecond) })
			}
			wg.Wait()
			time.Sleep(5 * time.Second)
		}
		if started, _, _ := w.driver.counts(); started != 6 {
			t.Errorf("%d starts for six requests at a time, want 6 copies that stay", started)
		}
		time.Sleep(3 * time.Minute)
		w.expect(run.Ready, 0)
	})
}
