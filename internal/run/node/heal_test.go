package node_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/run"
)

// A revision that refused its requests and then becomes another container does not refuse them for what the old one did.
func TestAnotherContainerIsNotRefusedForTheOldOne(t *testing.T) {
	var mended atomic.Bool
	bubble(t, func(int) behaviour {
		if mended.Load() {
			return behaviour{}
		}
		return behaviour{startErr: reasonError{errors.New("no such program")}}
	}, func(w *world) {
		r := revision()
		r.Proven = true
		w.apply(r)
		if err := w.request(0); !errors.Is(err, activator.ErrFailed) {
			t.Fatalf("a request gets %v", err)
		}
		mended.Store(true)
		r.Container.Env = []run.EnvVar{{Name: "SECRET", Value: "right"}}
		w.apply(r)
		time.Sleep(time.Second)
		if err := w.request(0); err != nil {
			t.Errorf("a request to the new container gets: %v", err)
		}
	})
}

// A copy that is ready again makes requests welcome, also later, when it has gone.
func TestRefusalEndsWithACopyThatIsReadyAgain(t *testing.T) {
	var sick, mended atomic.Bool
	bubble(t, func(n int) behaviour {
		if n == 1 || mended.Load() {
			return behaviour{sick: &sick}
		}
		return behaviour{startErr: reasonError{errors.New("no such program")}}
	}, func(w *world) {
		r := revision("min-scale", "2")
		r.MinScale = 2
		r.Container.Probe = &run.Probe{Period: time.Second, FailureThreshold: 1}
		w.apply(r)
		time.Sleep(time.Minute) // the attempts to start the second one are far between now
		w.expect(run.Ready, 1)
		sick.Store(true)
		time.Sleep(3 * time.Second)
		sick.Store(false)
		time.Sleep(3 * time.Second)
		w.expect(run.Ready, 1)
		r.Annotations, r.MinScale = nil, 0
		w.apply(r)
		mended.Store(true)
		time.Sleep(10 * time.Minute)
		w.expect(run.Ready, 0)
		if err := w.request(0); err != nil {
			t.Errorf("a request gets: %v", err)
		}
	})
}
