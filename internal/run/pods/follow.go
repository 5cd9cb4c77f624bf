package pods

import (
	"context"
	"fmt"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run"
)

// Router puts the division of a Service's requests into effect.
type Router interface {
	Set(namespace, name, function string, shares []Share) error
	Delete(namespace, name string) error
	// Refresh is called when a revision has come or gone.
	Refresh() error
}

// Follower is the gateway's half.
type Follower struct {
	client client.Client
	runner run.Runner
	router Router
	log    *slog.Logger
}

// NewFollower is a follower over a client that reads from a cache of what Selector selects.
func NewFollower(c client.Client, r run.Runner, to Router, log *slog.Logger) *Follower {
	return &Follower{c, r, to, log}
}

// Prime takes in everything that there is, so that the first request finds its way. What cannot be is tried again as it changes.
func (f *Follower) Prime(ctx context.Context) error {
	var templates corev1.PodTemplateList
	if err := f.client.List(ctx, &templates, client.MatchingLabels(Selector())); err != nil {
		return fmt.Errorf("listing pod templates: %w", err)
	}
	for i := range templates.Items {
		if err := f.apply(ctx, &templates.Items[i]); err != nil {
			f.log.Error("a revision cannot run", "err", err)
		}
	}
	var services corev1.ServiceList
	if err := f.client.List(ctx, &services, client.MatchingLabels(Selector())); err != nil {
		return fmt.Errorf("listing services: %w", err)
	}
	for i := range services.Items {
		if err := f.route(&services.Items[i]); err != nil {
			f.log.Error("a service has no route", "err", err)
		}
	}
	return nil
}

// Register adds the controllers that follow changes.
func (f *Follower) Register(m ctrl.Manager) error {
	one := controller.Options{SkipNameValidation: new(true)}
	templates := ctrl.NewControllerManagedBy(m).Named("pods-revision").For(&corev1.PodTemplate{}).WithOptions(one).
		WatchesRawSource(f.changes())
	if err := templates.Complete(reconcile.Func(f.Revision)); err != nil {
		return fmt.Errorf("following revisions: %w", err)
	}
	services := ctrl.NewControllerManagedBy(m).Named("pods-service").For(&corev1.Service{}).WithOptions(one)
	if err := services.Complete(reconcile.Func(f.Service)); err != nil {
		return fmt.Errorf("following services: %w", err)
	}
	return nil
}

// changes queues the revisions whose status changes.
func (f *Follower) changes() source.Source {
	return source.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		f.runner.Watch(ctx, func(k run.Key) {
			queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{Namespace: k.Namespace, Name: k.Name}})
		})
		return nil
	})
}

// Revision makes the runner have the revision of a PodTemplate, or no longer, and writes down how it stands.
func (f *Follower) Revision(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	key := run.Key{Namespace: req.Namespace, Name: req.Name}
	t := &corev1.PodTemplate{}
	if err := f.client.Get(ctx, req.NamespacedName, t); client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("reading pod template %s: %w", req, err)
	} else if err != nil || !t.DeletionTimestamp.IsZero() {
		if err := f.runner.Delete(ctx, key); err != nil {
			return reconcile.Result{}, err
		}
		return reconcile.Result{}, f.router.Refresh()
	}
	status := run.Status{Phase: run.Failed, Reason: "InvalidRevision"}
	if err := f.apply(ctx, t); err != nil {
		status.Message = err.Error()
	} else if known, ok := f.runner.Status(ctx, key); ok {
		status = known
	}
	if err := f.router.Refresh(); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, f.record(ctx, t, status)
}

func (f *Follower) apply(ctx context.Context, t *corev1.PodTemplate) error {
	r, err := Revision(t)
	if err != nil {
		return err
	}
	return f.runner.Apply(ctx, r)
}

// record writes a status that is another than what is written.
func (f *Follower) record(ctx context.Context, t *corev1.PodTemplate, s run.Status) error {
	text, err := encode(s)
	if err != nil || t.Annotations[annotationStanding] == text {
		return err
	}
	before := t.DeepCopy()
	if t.Annotations == nil {
		t.Annotations = map[string]string{}
	}
	t.Annotations[annotationStanding] = text
	if err := f.client.Patch(ctx, t, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing how revision %s stands: %w", t.Name, err)
	}
	return nil
}

// Service makes the router have the shares of a Service, or no longer.
func (f *Follower) Service(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	s := &corev1.Service{}
	if err := f.client.Get(ctx, req.NamespacedName, s); client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("reading service %s: %w", req, err)
	} else if err != nil || !s.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, f.router.Delete(req.Namespace, req.Name)
	}
	return reconcile.Result{}, f.route(s)
}

func (f *Follower) route(s *corev1.Service) error {
	of, err := Shares(s)
	if err != nil {
		return err
	}
	return f.router.Set(s.Namespace, s.Name, s.Labels[v1beta2.LabelFunction], of)
}
