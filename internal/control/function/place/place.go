// Package place is the phase of a Function on a cluster that takes the place of serving/run and function/route on one machine:
// it hands the function with all its revisions to an engine of the cluster, and reports what the engine says in the statuses of
// the Servings and of the Function.
package place

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/daprapp"
	"github.com/openfunction/ofn/internal/control/engines"
	"github.com/openfunction/ofn/internal/control/owned"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
)

// again is how soon a function is tried again that the cluster refuses: nothing tells when a quota grows.
const again = 30 * time.Second

// reasonUnsupported is that of what `ofn operator` does not do yet.
const reasonUnsupported = "Unsupported"

// Options of the phase.
type Options struct {
	// Ways are those in which functions are run; where a function leaves the choice, the first that is possible is taken. At least
	// one is for http triggers.
	Ways []Way
	// Default is the name of the way for functions that name none; empty leaves it to what the cluster has.
	Default string
	Engines *engines.Controller
	// Live reads what no cache holds.
	Live client.Reader
	// Exposer leads requests from outside to functions; nil leaves that to their engines.
	Exposer Exposer
	// PodSecurity is one of the PodSecurity constants of the API, for functions that name none.
	PodSecurity string
	// ClusterDomain ends the internal names, "cluster.local".
	ClusterDomain string
	Log           *slog.Logger
}

// Exposer leads requests from outside to functions that an engine runs.
type Exposer interface {
	// Expose makes the route of a function, writes its addresses into the status, which has those of the engine, and says whether requests
	// reach it.
	Expose(ctx context.Context, fn *v1beta2.Function, has cluster.Status) (cluster.Condition, error)
	// Hide takes the route of a function away.
	Hide(ctx context.Context, fn *v1beta2.Function) error
	// Gone is told that a function no longer exists.
	Gone(ctx context.Context, namespace, name string) error
	// Watch adds to what queues Functions.
	Watch(m ctrl.Manager, b *builder.Builder) error
}

// Phase places functions.
type Phase struct {
	client  client.Client
	options Options
}

// New is the phase over a client.
func New(c client.Client, o Options) *Phase {
	if o.Exposer == nil {
		o.Exposer = unexposed{}
	}
	return &Phase{client: c, options: o}
}

// unexposed leaves functions as their engines have them.
type unexposed struct{}

func (unexposed) Expose(_ context.Context, _ *v1beta2.Function, has cluster.Status) (cluster.Condition, error) {
	return has.Routed, nil
}
func (unexposed) Hide(context.Context, *v1beta2.Function) error { return nil }
func (unexposed) Gone(context.Context, string, string) error    { return nil }
func (unexposed) Watch(ctrl.Manager, *builder.Builder) error    { return nil }

// Gone leaves what a deleted function owns to the garbage collector.
func (p *Phase) Gone(ctx context.Context, namespace, name string) error {
	return p.options.Exposer.Gone(ctx, namespace, name)
}

// Watch queues Functions when an engine comes or goes, when an object that one made changes, and when the platform gives all of them
// something else. The manager's cache must hold no other ConfigMap than the platform's.
func (p *Phase) Watch(m ctrl.Manager, b *builder.Builder) error {
	concerned := engines.Labelled(v1beta2.LabelFunction)
	watched := map[string]bool{}
	for _, w := range p.options.Ways {
		for _, e := range w.engines() {
			if !watched[e.Name] {
				watched[e.Name] = true
				b.WatchesRawSource(p.options.Engines.Source(engines.User{Engine: e, All: p.all, Concerned: concerned}))
			}
		}
		for _, o := range w.Kinds {
			if kind := fmt.Sprintf("%T %s", o, o.GetObjectKind().GroupVersionKind().Kind); !watched[kind] {
				watched[kind] = true
				b.Watches(o, handler.EnqueueRequestsFromMapFunc(concerned))
			}
		}
	}
	b.Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(p.served), builder.WithPredicates(newDefaults()))
	return p.options.Exposer.Watch(m, b)
}

func (p *Phase) all(ctx context.Context) []reconcile.Request {
	return p.functions(ctx, func(*v1beta2.Function) bool { return true })
}

// Reconcile hands the function to the engine, when there is a revision to run.
func (p *Phase) Reconcile(ctx context.Context, fn *v1beta2.Function) (reconcile.Result, error) {
	servings, err := owned.List[*v1beta2.Serving](ctx, p.client, fn, &v1beta2.ServingList{})
	if err != nil {
		return reconcile.Result{}, err
	}
	if fn.Spec.Serving == nil || len(servings) == 0 {
		return reconcile.Result{}, p.absent(ctx, fn)
	}
	way, err := p.wayOf(ctx, fn, servings)
	if err == nil {
		err = unsupported(fn, servings[0], way)
	}
	if wrong := (*cluster.Refused)(nil); errors.As(err, &wrong) {
		return reconcile.Result{}, p.refuse(ctx, fn, servings, wrong.Reason, wrong.Error())
	} else if err != nil {
		return reconcile.Result{}, err
	}
	if lacks, err := p.missing(ctx, way.with(servings[0])); err != nil {
		return reconcile.Result{}, err
	} else if lacks != nil { // its coming brings the function back
		return reconcile.Result{}, p.refuse(ctx, fn, servings, lacks.Reason(), lacks.Error())
	}
	service, err := p.service(ctx, fn, servings)
	if wrong := (*cluster.Refused)(nil); errors.As(err, &wrong) {
		return reconcile.Result{}, p.refuse(ctx, fn, servings[:1], wrong.Reason, wrong.Error())
	} else if err != nil {
		return reconcile.Result{}, err
	}
	var status cluster.Status
	if err = p.components(ctx, fn, providers(fn, servings)); err == nil {
		status, err = way.Engine.Apply(ctx, service)
	}
	if wrong := (*cluster.Refused)(nil); errors.As(err, &wrong) {
		return reconcile.Result{RequeueAfter: again}, p.refuse(ctx, fn, servings[:1], wrong.Reason, wrong.Error())
	} else if err != nil {
		return reconcile.Result{}, err
	}
	if err := p.route(ctx, fn, status); err != nil {
		return reconcile.Result{}, err
	}
	for _, s := range servings {
		r, ok := status.Revisions[s.Name]
		if !ok {
			continue
		}
		var objects map[string]string
		if status.Made[s.Name] {
			objects = status.Objects
			if own := status.Own[s.Name]; own != nil {
				objects = own
			}
		}
		if err := p.report(ctx, s, r, objects); err != nil {
			return reconcile.Result{}, err
		}
	}
	if status.Revisions[servings[0].Name].Phase != run.Ready {
		return reconcile.Result{RequeueAfter: status.Again}, nil // what it was run with before goes on
	}
	return reconcile.Result{RequeueAfter: status.Again}, p.leave(ctx, fn, way)
}

// absent takes away what was made for a function that is not served, or not yet again.
func (p *Phase) absent(ctx context.Context, fn *v1beta2.Function) error {
	if fn.Spec.Serving != nil {
		return nil // the first image is still built
	}
	return errors.Join(p.unroute(ctx, fn), p.leave(ctx, fn, nil), p.components(ctx, fn, nil))
}

func owner(fn *v1beta2.Function) metav1.OwnerReference {
	return *metav1.NewControllerRef(fn, v1beta2.GroupVersion.WithKind("Function"))
}

// unsupported says what of a function cannot be done on a cluster, or not in this way.
func unsupported(fn *v1beta2.Function, newest *v1beta2.Serving, w *Way) error {
	switch {
	case daprapp.Enabled(newest) && !w.Components:
		return &cluster.Refused{Reason: reasonUnsupported, Err: fmt.Errorf("this function uses components of Dapr, for which `ofn operator` makes no objects with the engine %q; run it with `ofn up`, or switch Dapr off with the annotation %s: \"false\"",
			w.Name, v1beta2.AnnotationEnableDapr)}
	case fn.Annotations[v1beta2.AnnotationShare] != "":
		return &cluster.Refused{Reason: reasonUnsupported, Err: fmt.Errorf("functions that share their copies (%s) are not run by `ofn operator` yet", v1beta2.AnnotationShare)}
	}
	return undelivered(newest)
}

// refuse reports into Servings and the Function why they do not run. A function that nobody calls by an address any more loses its route
// all the same.
func (p *Phase) refuse(ctx context.Context, fn *v1beta2.Function, servings []*v1beta2.Serving, reason, message string) error {
	if !called(fn) {
		if err := p.hide(ctx, fn); err != nil {
			return err
		}
	}
	condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionRouted, metav1.ConditionFalse, reason, message)
	for _, s := range servings {
		if err := p.report(ctx, s, run.Status{Phase: run.Failed, Reason: reason, Message: message}, nil); err != nil {
			return err
		}
	}
	return nil
}
