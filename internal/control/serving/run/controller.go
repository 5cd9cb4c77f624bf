// Package run carries out Servings: it resolves everything a revision refers to, hands it to a runner, and reports what
// the runner says.
package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	kedav1 "github.com/openfunction/ofn/api/keda/v1alpha1"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/eventing"
	"github.com/openfunction/ofn/internal/control/secret"
	"github.com/openfunction/ofn/internal/run"
)

// again is how soon a Serving is tried again that cannot run as it is: a secret or configmap that it names may be made.
const again = 10 * time.Second

// Options of the controller.
type Options struct {
	Runner run.Runner
	Log    *slog.Logger
	// StartTimeout is how long a start may take when serving.timeout does not say.
	StartTimeout time.Duration
	// Sidecars is whether the runner starts a daprd beside the copies of revisions that ask for it.
	Sidecars bool
	// Gone is told of every revision that no longer exists; may be nil.
	Gone func(run.Key)
	// ComponentName is what a component of a function's own is called where it runs; nil is as the function calls it.
	ComponentName func(fn, component string) string
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

// Register watches Servings, their Functions (whose traffic decides reachability), what their contexts are made of, and the runner.
func (c *Controller) Register(m ctrl.Manager) error {
	if err := m.Add(c); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(m).Named(c.Name()).
		For(&v1beta2.Serving{}).
		Watches(&v1beta2.Function{}, handler.EnqueueRequestsFromMapFunc(c.servingsOf)).
		Watches(&daprv1.Component{}, eventing.Users(c.client, allServings, usesComponent)).
		Watches(&kedav1.TriggerAuthentication{}, eventing.Users(c.client, allServings, usesLogin)).
		WatchesMetadata(&corev1.Secret{}, eventing.Users(c.client, allServings, usesLogin)).
		WatchesMetadata(&corev1.ConfigMap{}, eventing.Users(c.client, allServings, usesDefaults)).
		WatchesRawSource(source.Channel(c.changed, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: 8}).
		Complete(c)
}

// Start passes the runner's changes on until ctx ends. The runner must not be held up, so that its changes wait in a set:
// however many there are, each revision waits once.
func (c *Controller) Start(ctx context.Context) error {
	w := &waiting{keys: map[run.Key]struct{}{}, some: make(chan struct{}, 1)}
	c.options.Runner.Watch(ctx, w.add)
	// What changed between the first Apply and the Watch was told to nobody.
	var all v1beta2.ServingList
	if err := c.client.List(ctx, &all); err != nil {
		return fmt.Errorf("listing servings: %w", err)
	}
	for i := range all.Items {
		w.add(run.Key{Namespace: all.Items[i].Namespace, Name: all.Items[i].Name})
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.some:
		}
		for k := range w.take() {
			select {
			case c.changed <- event.GenericEvent{Object: &v1beta2.Serving{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}}}:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// waiting is a set of revisions that changed. some holds one while it is not empty.
type waiting struct {
	some chan struct{}

	mu   sync.Mutex
	keys map[run.Key]struct{}
}

func (w *waiting) add(k run.Key) {
	w.mu.Lock()
	w.keys[k] = struct{}{}
	w.mu.Unlock()
	select {
	case w.some <- struct{}{}:
	default:
	}
}

func (w *waiting) take() map[run.Key]struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.keys
	w.keys = map[run.Key]struct{}{}
	return now
}

func allServings() client.ObjectList { return &v1beta2.ServingList{} }

func usesComponent(s *v1beta2.Serving, changed client.Object) bool {
	return s.Namespace == changed.GetNamespace() && slices.Contains(s.Spec.ForeignComponents(), changed.GetName())
}

func usesDefaults(_ *v1beta2.Serving, changed client.Object) bool {
	return changed.GetNamespace() == configNamespace && changed.GetName() == configName
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
	wrong := (*invalid)(nil)
	if err != nil && !errors.As(err, &wrong) {
		return result, err
	}
	status, known := c.options.Runner.Status(ctx, run.Key{Namespace: s.Namespace, Name: s.Name})
	switch {
	case wrong == nil && known:
		c.observe(s, status)
	case wrong != nil && known && status.Phase == run.Ready:
		// What was applied before runs on; only a change of it must wait until this is mended.
		status.Reason, status.Message = wrong.reason, wrong.Error()
		c.observe(s, status)
		result.RequeueAfter = again
	case wrong != nil:
		report(s, v1beta2.StateFailed, wrong.reason, wrong.Error())
		result.RequeueAfter = again
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

// observe translates the runner's report. Timeout is a failure to start in the time that serving.timeout gives; when the
// platform's own limit elapsed, why the copy is not ready counts more.
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
		if r.TimedOut() && s.Spec.Timeout != nil && s.Spec.Timeout.Duration > 0 {
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
