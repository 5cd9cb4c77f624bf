// Package run carries out Builders: each becomes one call of a build strategy, which runs beside the controller and ends
// in the Builder's status. A build that was interrupted by the end of the platform is started anew.
package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/control/condition"
)

// Options of the controller.
type Options struct {
	// Strategies by name; "" is the default one.
	Strategies map[string]build.Strategy
	// Local says whether an image without push credentials stays in the embedded registry.
	Local bool
	// Done is told of every finished build; may be nil.
	Done  func(namespace, result string, d time.Duration)
	Clock clock.PassiveClock
	Log   *slog.Logger
}

// Controller runs Builders.
type Controller struct {
	client  client.Client
	options Options
	ended   chan event.GenericEvent

	mu      sync.Mutex
	running map[types.NamespacedName]*job
	wg      sync.WaitGroup
}

// job is one running build. done is closed after result is written.
type job struct {
	uid    types.UID
	cancel context.CancelCauseFunc
	start  time.Time
	done   chan struct{}
	result build.Result
	err    error
	// reported says that the end is in the Builder's status. Only the reconciler, one at a time per Builder, touches it.
	reported bool
}

// The reasons a build is ended for.
var (
	errCancelled = errors.New("cancelled")
	errTimeout   = errors.New("timed out")
)

// NewController runs Builders with the strategies of o.
func NewController(c client.Client, o Options) *Controller {
	return &Controller{client: c, options: o, ended: make(chan event.GenericEvent, 64), running: map[types.NamespacedName]*job{}}
}

// Name is the controller's.
func (c *Controller) Name() string { return "builder.run" }

// Register watches Builders and the ends of builds.
func (c *Controller) Register(m ctrl.Manager) error {
	if err := m.Add(c); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(m).Named(c.Name()).
		For(&v1beta2.Builder{}).
		WatchesRawSource(source.Channel(c.ended, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(c)
}

// Start holds the builds: when ctx ends they are interrupted, and it returns after the last has stopped. A build
// interrupted so keeps its state and is started anew by the next process.
func (c *Controller) Start(ctx context.Context) error {
	<-ctx.Done()
	c.mu.Lock()
	for _, j := range c.running {
		j.cancel(ctx.Err())
	}
	c.mu.Unlock()
	c.wg.Wait()
	return nil
}

// Reconcile starts, cancels and concludes builds.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	b := &v1beta2.Builder{}
	if err := c.client.Get(ctx, req.NamespacedName, b); err != nil {
		if apierrors.IsNotFound(err) {
			c.stop(req.NamespacedName)
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("reading builder: %w", err)
	}
	j := c.job(req.NamespacedName)
	if j != nil && j.uid != b.UID {
		c.stop(req.NamespacedName)
		j = nil
	}
	switch {
	case !b.DeletionTimestamp.IsZero():
		c.stop(req.NamespacedName)
		return reconcile.Result{}, nil
	case b.Status.State.Finished(): // and the cache knows
		c.forget(req.NamespacedName)
		return reconcile.Result{}, nil
	case j != nil:
		return reconcile.Result{}, c.follow(ctx, b, j)
	case b.Spec.State == v1beta2.BuilderStateCancelled:
		return reconcile.Result{}, c.conclude(ctx, b, v1beta2.StateCanceled, "Cancelled", "the build was cancelled before it ran")
	default:
		return reconcile.Result{}, c.begin(ctx, b)
	}
}

// follow passes a cancellation on and writes the end of a build.
func (c *Controller) follow(ctx context.Context, b *v1beta2.Builder, j *job) error {
	select {
	case <-j.done:
		if j.reported {
			return nil // this Builder comes from a cache that has not seen the status yet
		}
		if err := c.finish(ctx, b, j); err != nil {
			return err
		}
		j.reported = true
		return nil
	default:
		if b.Spec.State == v1beta2.BuilderStateCancelled {
			j.cancel(errCancelled)
		}
		return nil
	}
}

// begin resolves everything the build needs and starts it.
func (c *Controller) begin(ctx context.Context, b *v1beta2.Builder) error {
	request, err := c.request(ctx, b)
	if bad := (*build.Failure)(nil); errors.As(err, &bad) {
		return c.conclude(ctx, b, v1beta2.StateFailed, bad.Reason, bad.Message)
	} else if err != nil {
		return err
	}
	strategy, bad := c.strategy(b)
	if bad != nil {
		return c.conclude(ctx, b, v1beta2.StateFailed, bad.Reason, bad.Message)
	}
	now := metav1.NewTime(c.options.Clock.Now())
	err = c.patch(ctx, b, func(s *v1beta2.BuilderStatus) {
		s.Phase, s.State, s.StartTime = v1beta2.PhaseBuild, v1beta2.StateBuilding, &now
		condition.Set(&s.Conditions, b.Generation, v1beta2.ConditionSucceeded, "Unknown", "Building", "")
	})
	if err != nil {
		return err
	}
	c.launch(client.ObjectKeyFromObject(b), b.UID, strategy, request)
	return nil
}

func (c *Controller) launch(key types.NamespacedName, uid types.UID, s build.Strategy, r build.Request) {
	// The job outlives this reconcile: Start owns it and waits for it.
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := func() {}
	if r.Timeout > 0 {
		ctx, stop = context.WithTimeoutCause(ctx, r.Timeout, errTimeout)
	}
	j := &job{uid: uid, cancel: cancel, start: c.options.Clock.Now(), done: make(chan struct{})}
	c.mu.Lock()
	c.running[key] = j
	c.mu.Unlock()
	c.wg.Go(func() {
		defer stop()
		defer cancel(nil)
		j.result, j.err = s.Build(ctx, r, discard{})
		if cause := context.Cause(ctx); j.err != nil && cause != nil {
			j.err = cause
		}
		close(j.done)
		if errors.Is(j.err, context.Canceled) {
			return // the platform is ending
		}
		c.ended <- event.GenericEvent{Object: &v1beta2.Builder{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}}
	})
}

// discard is where the log goes when no recording strategy wraps the real one.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func (c *Controller) job(key types.NamespacedName) *job {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running[key]
}

// stop ends a build whose Builder is gone; nobody wants its result.
func (c *Controller) stop(key types.NamespacedName) {
	if j := c.job(key); j != nil {
		j.cancel(errCancelled)
		c.forget(key)
	}
}

func (c *Controller) forget(key types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, key)
}
