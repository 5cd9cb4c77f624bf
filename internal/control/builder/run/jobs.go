package run

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
)

// The reasons a build is ended for.
var (
	errCancelled   = errors.New("cancelled")
	errInterrupted = errors.New("interrupted by the end of the platform")
)

// job is one running build. done is closed after result and err are written.
type job struct {
	uid      types.UID
	function string // as in build.Request
	cancel   context.CancelCauseFunc
	start    time.Time
	done     chan struct{}
	result   build.Result
	err      error
	// reported says that the end is in the Builder's status. Only the reconciler, one at a time per Builder, touches it.
	reported bool
}

func (j *job) ended() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

// jobs are the builds of this process, those included whose end nobody has looked at yet.
type jobs struct {
	// ends tells of each build that ended by itself or was cancelled.
	ends     chan event.GenericEvent
	stopping chan struct{}

	mu      sync.Mutex
	stopped bool
	known   map[types.NamespacedName]*job
	wg      sync.WaitGroup
}

func newJobs() *jobs {
	return &jobs{ends: make(chan event.GenericEvent, 64), stopping: make(chan struct{}), known: map[types.NamespacedName]*job{}}
}

func (a *jobs) get(key types.NamespacedName) *job {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.known[key]
}

func (a *jobs) forget(key types.NamespacedName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.known, key)
}

// busy says whether a build of the function runs.
func (a *jobs) busy(function string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, j := range a.known {
		if j.function == function && !j.ended() {
			return true
		}
	}
	return false
}

// launch starts a build that outlives its caller; stop waits for it. After stop nothing is launched: the Builder stays as it
// is for the next process.
func (a *jobs) launch(key types.NamespacedName, j *job, s build.Strategy, r build.Request) {
	ctx, cancel := context.WithCancelCause(context.Background())
	j.cancel, j.function, j.done = cancel, r.Function, make(chan struct{})
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		cancel(nil)
		return
	}
	a.known[key] = j
	a.wg.Go(func() {
		defer cancel(nil)
		j.result, j.err = s.Build(ctx, r, io.Discard) // a recording strategy wraps the real one where the log is wanted
		if cause := context.Cause(ctx); j.err != nil && cause != nil {
			j.err = cause
		}
		close(j.done)
		select {
		case a.ends <- event.GenericEvent{Object: &v1beta2.Builder{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}}:
		case <-a.stopping:
		}
	})
}

// stop interrupts every build and returns after the last has ended.
func (a *jobs) stop() {
	a.mu.Lock()
	a.stopped = true
	close(a.stopping)
	for _, j := range a.known {
		j.cancel(errInterrupted)
	}
	a.mu.Unlock()
	a.wg.Wait()
}
