// Package run carries out Builders: each becomes one call of a build strategy, which runs beside the controller and ends
// in the Builder's status. A build that was interrupted by the end of the platform is started anew.
package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/secret"
)

const (
	// patience is how long a Builder waits for a secret or configmap that it names: manifests are applied in any order.
	patience = time.Minute
	// again is how soon it looks for them again.
	again = 5 * time.Second
	// shortly is how soon a Builder is tried again that waits for another build of its function to stop.
	shortly = 500 * time.Millisecond

	reasonMissing = "MissingReference"
)

// Options of the controller.
type Options struct {
	// Strategies by name; "" is the default one.
	Strategies map[string]build.Strategy
	// Local says whether an image without push credentials stays in the embedded registry.
	Local bool
	// Done is told of every finished build; may be nil.
	Done func(namespace, result string, d time.Duration)
	// Gone is told of every Builder that no longer exists, when its build has stopped; may be nil.
	Gone  func(namespace, name string)
	Clock clock.PassiveClock
	Log   *slog.Logger
}

// Controller runs Builders.
type Controller struct {
	client  client.Client
	options Options
	jobs    *jobs
}

// NewController runs Builders with the strategies of o.
func NewController(c client.Client, o Options) *Controller {
	return &Controller{client: c, options: o, jobs: newJobs()}
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
		WatchesRawSource(source.Channel(c.jobs.ends, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(c)
}

// Start holds the builds: when ctx ends they are interrupted, and it returns after the last has stopped. A build
// interrupted so keeps its state and is started anew by the next process.
func (c *Controller) Start(ctx context.Context) error {
	<-ctx.Done()
	c.jobs.stop()
	return nil
}

// Reconcile starts, cancels and concludes builds.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	b := &v1beta2.Builder{}
	err := c.client.Get(ctx, req.NamespacedName, b)
	if client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("reading builder: %w", err)
	}
	gone := err != nil || !b.DeletionTimestamp.IsZero()
	j := c.jobs.get(req.NamespacedName)
	if j != nil && (gone || j.uid != b.UID) {
		j.cancel(errCancelled) // nobody wants its result
		if !j.ended() {
			return reconcile.Result{}, nil // its end brings the key back
		}
		c.jobs.forget(req.NamespacedName)
		j = nil
	}
	switch {
	case gone:
		if err != nil && c.options.Gone != nil {
			c.options.Gone(req.Namespace, req.Name)
		}
		return reconcile.Result{}, nil
	case b.Status.State.Finished(): // and the cache knows
		c.jobs.forget(req.NamespacedName)
		return reconcile.Result{}, nil
	case j != nil:
		return reconcile.Result{}, c.follow(ctx, b, j)
	case b.Spec.State == v1beta2.BuilderStateCancelled:
		return reconcile.Result{}, c.conclude(ctx, b, v1beta2.StateCanceled, "Cancelled", "the build was cancelled before it ran")
	default:
		return c.begin(ctx, b)
	}
}

// follow passes a cancellation on and writes the end of a build.
func (c *Controller) follow(ctx context.Context, b *v1beta2.Builder, j *job) error {
	if !j.ended() {
		if b.Spec.State == v1beta2.BuilderStateCancelled {
			j.cancel(errCancelled)
		}
		return nil
	}
	if j.reported || errors.Is(j.err, errInterrupted) {
		return nil // this Builder comes from a cache that has not seen the status yet; or the next process builds it
	}
	if err := c.finish(ctx, b, j); err != nil {
		return err
	}
	j.reported = true
	return nil
}

// begin resolves everything the build needs and starts it.
func (c *Controller) begin(ctx context.Context, b *v1beta2.Builder) (reconcile.Result, error) {
	strategy, bad := c.strategy(b)
	if bad != nil {
		return reconcile.Result{}, c.conclude(ctx, b, v1beta2.StateFailed, bad.Reason, bad.Message)
	}
	request, err := c.request(ctx, b)
	if missing := (*secret.Missing)(nil); errors.As(err, &missing) {
		if c.options.Clock.Since(b.CreationTimestamp.Time) < patience {
			return reconcile.Result{RequeueAfter: again}, c.wait(ctx, b, missing.Message)
		}
		return reconcile.Result{}, c.conclude(ctx, b, v1beta2.StateFailed, reasonMissing, missing.Message+"; when it is there, build again, as with `ofn rebuild`")
	} else if err != nil {
		return reconcile.Result{}, err
	}
	if c.jobs.busy(request.Function) { // with a Builder that is deleted: two builds of a function would share its directory
		return reconcile.Result{RequeueAfter: shortly}, nil
	}
	now := metav1.NewTime(c.options.Clock.Now())
	err = c.patch(ctx, b, func(s *v1beta2.BuilderStatus) {
		s.Phase, s.State, s.StartTime = v1beta2.PhaseBuild, v1beta2.StateBuilding, &now
		s.Reason, s.Message = "", ""
		condition.Set(&s.Conditions, b.Generation, v1beta2.ConditionSucceeded, "Unknown", "Building", "")
	})
	if err != nil {
		return reconcile.Result{}, err
	}
	c.jobs.launch(client.ObjectKeyFromObject(b), &job{uid: b.UID, start: now.Time}, strategy, request)
	return reconcile.Result{}, nil
}
