// Package run carries out Servings: it resolves everything a revision refers to, hands it to a runner, and reports what
// the runner says.
package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
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
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/secret"
	"github.com/openfunction/ofn/internal/run"
)

// again is how soon a Serving is tried again whose secret or configmap is not there; the watch on them is cheaper than
// it looks, but a function may name objects it cannot watch.
const again = 10 * time.Second

// Options of the controller.
type Options struct {
	Runner run.Runner
	Clock  clock.PassiveClock
	Log    *slog.Logger
	// StartTimeout is how long a start may take when serving.timeout does not say.
	StartTimeout time.Duration
	// Gone is told of every revision that no longer exists; may be nil.
	Gone func(run.Key)
}

// Controller runs Servings.
type Controller struct {
	client  client.Client
	options Options
	changed chan event.GenericEvent
}

// NewController runs Servings with the runner of o.
func NewController(c client.Client, o Options) *Controller {
	return &Controller{client: c, options: o, changed: make(chan event.GenericEvent, 1024)}
}

// Name is the controller's.
func (c *Controller) Name() string { return "serving.run" }

// Register watches Servings, their Functions (whose traffic decides reachability) and the runner.
func (c *Controller) Register(m ctrl.Manager) error {
	if err := m.Add(c); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(m).Named(c.Name()).
		For(&v1beta2.Serving{}).
		Watches(&v1beta2.Function{}, handler.EnqueueRequestsFromMapFunc(c.servingsOf)).
		WatchesRawSource(source.Channel(c.changed, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: 8}).
		Complete(c)
}

// Start passes the runner's changes on until ctx ends. The runner must not be held up, so that its changes wait in a set:
// however many there are, each revision waits once.
func (c *Controller) Start(ctx context.Context) error {
	var mu sync.Mutex
	waiting := map[run.Key]struct{}{}
	some := make(chan struct{}, 1)
	c.options.Runner.Watch(ctx, func(k run.Key) {
		mu.Lock()
		waiting[k] = struct{}{}
		mu.Unlock()
		select {
		case some <- struct{}{}:
		default:
		}
	})
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-some:
		}
		mu.Lock()
		now := waiting
		waiting = map[run.Key]struct{}{}
		mu.Unlock()
		for k := range now {
			select {
			case c.changed <- event.GenericEvent{Object: &v1beta2.Serving{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}}}:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

func (c *Controller) servingsOf(ctx context.Context, fn client.Object) []reconcile.Request {
	var all v1beta2.ServingList
	if err := c.client.List(ctx, &all, client.InNamespace(fn.GetNamespace()), client.MatchingLabels{v1beta2.LabelFunction: fn.GetName()}); err != nil {
		return nil // the cache answers once it has synced, and every Serving is queued then
	}
	out := make([]reconcile.Request, len(all.Items))
	for i := range all.Items {
		out[i].NamespacedName = client.ObjectKeyFromObject(&all.Items[i])
	}
	return out
}

// Reconcile applies the revision and reports its state.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	s := &v1beta2.Serving{}
	if err := c.client.Get(ctx, req.NamespacedName, s); err != nil {
		if apierrors.IsNotFound(err) {
			return reconcile.Result{}, c.remove(ctx, req.NamespacedName)
		}
		return reconcile.Result{}, fmt.Errorf("reading serving: %w", err)
	}
	if !s.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, c.remove(ctx, req.NamespacedName)
	}
	stored := s.DeepCopy()
	var result reconcile.Result
	revision, err := c.resolve(ctx, s)
	if err == nil {
		if refused := c.options.Runner.Apply(ctx, revision); refused != nil {
			err = &invalid{"InvalidRevision", refused}
		}
	}
	if wrong := (*invalid)(nil); errors.As(err, &wrong) {
		report(s, v1beta2.StateFailed, wrong.reason, wrong.Error())
		result.RequeueAfter = again
	} else if err != nil {
		return result, err
	} else if status, ok := c.options.Runner.Status(ctx, revision.Key); ok {
		c.observe(s, status)
	}
	s.Status.ObservedGeneration = s.Generation
	if !equality.Semantic.DeepEqual(stored.Status, s.Status) {
		if err := c.client.Status().Patch(ctx, s, client.MergeFrom(stored)); client.IgnoreNotFound(err) != nil {
			return result, fmt.Errorf("writing status: %w", err)
		}
	}
	return result, nil
}

func (c *Controller) remove(ctx context.Context, key types.NamespacedName) error {
	k := run.Key{Namespace: key.Namespace, Name: key.Name}
	if err := c.options.Runner.Delete(ctx, k); err != nil {
		return fmt.Errorf("removing revision %s: %w", k, err)
	}
	if c.options.Gone != nil {
		c.options.Gone(k)
	}
	return nil
}

// observe translates the runner's report. Timeout is a failure to start in the time that serving.timeout gives.
func (c *Controller) observe(s *v1beta2.Serving, r run.Status) {
	s.Status.Service = s.Name
	s.Status.Replicas, s.Status.ReadyReplicas = int32(r.Ready+r.Starting), int32(r.Ready)
	if r.ImageDigest != "" {
		s.Status.ImageDigest = r.ImageDigest
	}
	switch r.Phase {
	case run.Ready:
		report(s, v1beta2.StateRunning, r.Reason, r.Message)
	case run.Failed:
		state := v1beta2.StateFailed
		if r.Reason == "StartTimeout" {
			state = v1beta2.StateTimeout
		}
		report(s, state, r.Reason, r.Message)
	default:
		report(s, v1beta2.StateStarting, r.Reason, r.Message)
	}
}

func report(s *v1beta2.Serving, state v1beta2.State, reason, message string) {
	s.Status.Phase, s.Status.State, s.Status.Reason, s.Status.Message = v1beta2.PhaseServing, state, reason, message
	status := metav1.ConditionUnknown
	switch state {
	case v1beta2.StateRunning:
		status = metav1.ConditionTrue
	case v1beta2.StateFailed, v1beta2.StateTimeout:
		status = metav1.ConditionFalse
	}
	condition.Set(&s.Status.Conditions, s.Generation, v1beta2.ConditionReady, status, reason, message)
}

// invalid is what the user must mend before the revision can run.
type invalid struct {
	reason string
	err    error
}

func (i *invalid) Error() string { return i.err.Error() }
func (i *invalid) Unwrap() error { return i.err }

func unsupported(format string, args ...any) error {
	return &invalid{"Unsupported", fmt.Errorf(format, args...)}
}

// asInvalid makes a missing reference the user's to mend.
func asInvalid(err error) error {
	var missing *secret.Missing
	if errors.As(err, &missing) {
		return &invalid{"MissingReference", err}
	}
	return err
}

// container is the user's container of the template. Others are refused: on one machine a copy is one process tree.
func container(pod *corev1.PodSpec) (corev1.Container, error) {
	if len(pod.InitContainers) > 0 {
		return corev1.Container{}, unsupported("template.initContainers are not supported on one machine; move their work into the image")
	}
	for i := range pod.Containers {
		if pod.Containers[i].Name != v1beta2.FunctionContainer {
			return corev1.Container{}, unsupported("template.containers has %q: only the container named %q runs on one machine", pod.Containers[i].Name, v1beta2.FunctionContainer)
		}
	}
	return v1beta2.Container(pod), nil
}
