package node_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
)

func TestCrashLoop(t *testing.T) {
	var mended atomic.Bool
	bubble(t, func(int) behaviour {
		if !mended.Load() {
			return behaviour{listens: -1, lives: 5 * time.Millisecond, exit: instance.Exit{Code: 3}, output: "one\npanic: no database\n"}
		}
		return behaviour{}
	}, func(w *world) {
		w.apply(revision())
		time.Sleep(time.Second)
		w.expect(run.Failed, 0, "ContainerCrashed", "exited before it was ready with code 3", "panic: no database")
		time.Sleep(time.Hour)
		n, _, _ := w.driver.counts()
		if n < 20 || n > 30 {
			t.Errorf("%d starts in an hour, want the 15 up to 5 minutes and then 11", n)
		}
		gaps := []time.Duration{}
		for i := range 6 {
			gaps = append(gaps, w.driver.at[i+1].Sub(w.driver.at[i])-5*time.Millisecond)
		}
		if want := []time.Duration{1e7, 2e7, 4e7, 8e7, 16e7, 32e7}; !slices.Equal(gaps, want) {
			t.Errorf("waits between the starts %v, want %v", gaps, want)
		}
		var failed *activator.FailedError
		if err := w.request(0); !errors.As(err, &failed) || !strings.Contains(err.Error(), "no database") {
			t.Errorf("a request gets %v", err)
		}
		mended.Store(true)
		time.Sleep(5*time.Minute + time.Second)
		if err := w.request(0); err != nil {
			t.Error(err)
		}
		w.expect(run.Ready, 1)
		if w.status().Restarts != n+1 && w.status().Restarts != n {
			t.Errorf("%d restarts after %d failures", w.status().Restarts, n)
		}
	})
}

func TestFailedColdStartIsNotRepeatedWithoutRequests(t *testing.T) {
	bubble(t, always(behaviour{startErr: errors.New("exec /app: no such file")}), func(w *world) {
		r := revision()
		r.Proven = true
		w.apply(r)
		err := w.request(0)
		if !errors.Is(err, activator.ErrFailed) || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("got %v", err)
		}
		w.expect(run.Failed, 0, "StartFailed", "no such file")
		n, _, _ := w.driver.counts()
		time.Sleep(time.Hour)
		if m, _, _ := w.driver.counts(); m > n+1 {
			t.Errorf("%d starts with nobody waiting", m-n)
		}
		before, _, _ := w.driver.counts()
		_ = w.request(0)
		if m, _, _ := w.driver.counts(); m == before {
			t.Error("a fresh request did not try again")
		}
	})
}

func TestCrashOfAServingCopyIsRepaired(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.apply(revision("min-scale", "1"))
		time.Sleep(time.Minute)
		w.driver.any().end(instance.Exit{Code: -1, Signal: "killed", OutOfMemory: true})
		time.Sleep(time.Millisecond)
		w.expect(run.Failed, 0, "OutOfMemory", "raise resources.limits.memory")
		time.Sleep(20 * time.Millisecond)
		w.expect(run.Ready, 1)
		if w.status().Restarts != 1 {
			t.Errorf("%d restarts", w.status().Restarts)
		}
	})
}

func TestNeverListens(t *testing.T) {
	bubble(t, always(behaviour{listens: -1, where: []string{"127.0.0.1:3000"}, output: "listening on 3000\n"}), func(w *world) {
		r := revision()
		r.StartTimeout = 7 * time.Second
		w.apply(r)
		time.Sleep(6 * time.Second)
		w.expect(run.Starting, 0)
		time.Sleep(1100 * time.Millisecond)
		w.expect(run.Failed, 0, "NotListening", "nothing listens on port 8080 after 7s", "listens on 127.0.0.1:3000", "variable PORT", "listening on 3000")
		if _, live, _ := w.driver.counts(); live != 0 {
			t.Error("the copy still runs")
		}
	})
}

// Nobody is told that a copy wrote nothing whose output goes elsewhere.
func TestWhatACopyWroteElsewhere(t *testing.T) {
	bubble(t, always(behaviour{listens: -1}), func(w *world) {
		r := revision()
		r.StartTimeout = time.Second
		w.apply(r)
		time.Sleep(1100 * time.Millisecond)
		w.expect(run.Failed, 0, "NotListening", "what it wrote is in its log (ofn logs)")
	})
}

type reasonError struct{ error }

func (reasonError) Reason() string { return "ArchitectureMismatch" }

func TestImageThatCannotBePrepared(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.images.fail(errors.New("registry is away"))
		r := revision()
		r.Proven = true
		w.apply(r)
		time.Sleep(time.Millisecond)
		w.expect(run.Failed, 0, "ImagePullFailed", "preparing image img: registry is away")
		if err := w.request(0); !errors.Is(err, activator.ErrFailed) {
			t.Errorf("a request gets %v", err)
		}
		w.images.fail(fmt.Errorf("wrapped: %w", reasonError{errors.New("image is for arm64")}))
		time.Sleep(time.Hour)
		w.expect(run.Failed, 0, "ArchitectureMismatch", "image is for arm64")
		w.images.fail(nil)
		time.Sleep(10 * time.Minute)
		w.expect(run.Ready, 0)
		if err := w.request(0); err != nil {
			t.Error(err)
		}
	})
}

func TestBrokenUnreachableRevisionIsGivenUp(t *testing.T) {
	bubble(t, always(behaviour{listens: -1, lives: time.Millisecond, exit: instance.Exit{Code: 1}}), func(w *world) {
		r := revision()
		r.Reachable = false
		w.apply(r)
		time.Sleep(time.Hour)
		n, _, _ := w.driver.counts()
		time.Sleep(24 * time.Hour)
		w.expect(run.Failed, 0, "ContainerCrashed")
		if m, _, _ := w.driver.counts(); m != n {
			t.Errorf("%d more starts of a revision that never ran and that nothing routes to", m-n)
		}
	})
}

func TestActivationSocketDoesNotProveABrokenRevision(t *testing.T) {
	bubble(t, always(behaviour{lives: 5 * time.Millisecond, exit: instance.Exit{Code: 2}}), func(w *world) {
		w.images.root.Activation = true
		w.apply(revision())
		time.Sleep(time.Minute)
		w.expect(run.Failed, 0, "ContainerCrashed", "before it was ready")
	})
}

func TestContainerThatCannotBe(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.images.root.Config.User = "nobody-here"
		w.apply(revision())
		time.Sleep(time.Second)
		w.expect(run.Failed, 0, "InvalidContainer", `user "nobody-here"`)
	})
}

func TestCrashOfAnIdleCopyIsNoFailureOfTheRevision(t *testing.T) {
	bubble(t, nil, func(w *world) {
		w.apply(revision())
		time.Sleep(20 * time.Second)
		w.driver.any().end(instance.Exit{Code: 9})
		time.Sleep(time.Minute)
		w.expect(run.Ready, 0, "exited with code 9")
		if err := w.request(0); err != nil {
			t.Error(err)
		}
		w.expect(run.Ready, 1)
		if s := w.status(); s.Message != "" || s.Restarts != 1 {
			t.Errorf("got %+v, want no message any more", s)
		}
	})
}

func TestAfterAFailureOneCopyTriesForAll(t *testing.T) {
	bubble(t, always(behaviour{startErr: errors.New("no"), startTakes: time.Millisecond}), func(w *world) {
		r := revision("container-concurrency", "1")
		r.Proven = true
		w.apply(r)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { _ = w.request(0) })
		}
		wg.Wait()
		if n, _, _ := w.driver.counts(); n < 20 || n > 30 {
			t.Errorf("%d starts, want one for each request and then one for each attempt", n)
		}
	})
}

func TestCrashOfALeavingCopyIsNoFailure(t *testing.T) {
	bubble(t, nil, func(w *world) {
		r := revision("min-scale", "1", "window", "6s")
		w.apply(r)
		time.Sleep(time.Second)
		var wg sync.WaitGroup
		wg.Go(func() { _ = w.request(time.Minute) })
		time.Sleep(time.Second)
		r.Container.Args = []string{"new"}
		old := w.driver.any()
		w.apply(r)
		time.Sleep(time.Second)
		old.end(instance.Exit{Code: 1})
		time.Sleep(10 * time.Second)
		w.expect(run.Ready, 1)
		if n := w.status().Restarts; n != 0 {
			t.Errorf("%d restarts, want none: the copy was leaving", n)
		}
		wg.Wait()
	})
}
