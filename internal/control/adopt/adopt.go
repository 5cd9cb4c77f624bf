// Package adopt takes functions over from OpenFunction's operator without an interruption. What that operator made for a function,
// its Servings with generated names and all that belongs to them, goes on serving until the function's first revision of this program is
// ready and requests are led to it, and is removed then. Functions that events call are taken over when their user says so, because two
// copies would each get the events.
//
// It stands around the phases of a Function on a cluster, and around what leads requests to it. For functions that OpenFunction has
// nothing of it does nothing.
package adopt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	eventsv1 "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/function"
	"github.com/openfunction/ofn/internal/control/owned"
)

// again is when a function is looked at that waits for a route, which somebody may change by hand.
const again = 30 * time.Second

// Annotation on a Function says how it is taken over from OpenFunction.
const (
	Annotation = "openfunction.io/adoption"
	// Keep leaves the function to what OpenFunction made, until the annotation goes.
	Keep = "keep"
	// Replace ends what OpenFunction made before anything else is started. Functions that events call are taken over in this way only.
	Replace = "replace"
)

// ConditionAdopted is on a Function while there is something of OpenFunction's. It goes when nothing is left.
const ConditionAdopted = "Adopted"

// Builds takes builds that OpenFunction made as its own.
type Builds interface {
	Accept(ctx context.Context, fn *v1beta2.Function) error
}

// Phase is the phases of a Function, and what must come before and after them.
type Phase struct {
	client client.Client
	live   client.Reader
	builds Builds
	inner  []function.Phase
}

// New stands around the phases given. The client reads from a cache, live does not.
func New(c client.Client, live client.Reader, builds Builds, inner ...function.Phase) *Phase {
	return &Phase{client: c, live: live, builds: builds, inner: inner}
}

// Gone tells the phases.
func (p *Phase) Gone(ctx context.Context, namespace, name string) error {
	var errs []error
	for _, each := range p.inner {
		errs = append(errs, each.Gone(ctx, namespace, name))
	}
	return errors.Join(errs...)
}

// Watch adds what the phases watch.
func (p *Phase) Watch(m ctrl.Manager, b *builder.Builder) error {
	for _, each := range p.inner {
		if w, ok := each.(interface {
			Watch(ctrl.Manager, *builder.Builder) error
		}); ok {
			if err := w.Watch(m, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// former is what OpenFunction made for a function.
type former struct {
	servings []*v1beta2.Serving
	builders []*v1beta2.Builder
}

// state is a Served condition: how what OpenFunction made stands.
func (f *former) state() metav1.Condition {
	for _, s := range f.servings {
		if s.Status.State == v1beta2.StateRunning {
			return metav1.Condition{Status: metav1.ConditionTrue, Reason: "ServedByOpenFunction", Message: s.Name}
		}
	}
	return metav1.Condition{Status: metav1.ConditionUnknown, Reason: "ServedByOpenFunction", Message: "OpenFunction's Serving was not ready when its operator last looked"}
}

// Reconcile does what is to be done before the phases, lets them go, and does what is to be done after.
func (p *Phase) Reconcile(ctx context.Context, fn *v1beta2.Function) (reconcile.Result, error) {
	if owner := handles(fn); owner != "" {
		condition.Set(&fn.Status.Conditions, fn.Generation, ConditionAdopted, metav1.ConditionFalse, "EventHandler",
			"OpenFunction's operator made this Function for "+owner+", and it is left as it is")
		return reconcile.Result{}, nil
	}
	f, err := find(ctx, p.client, fn)
	if err != nil {
		return reconcile.Result{}, err
	}
	if held, err := p.before(ctx, fn, f); held || err != nil {
		return reconcile.Result{}, err
	}
	var result reconcile.Result
	var errs []error
	for _, each := range p.inner {
		r, err := each.Reconcile(ctx, fn)
		errs = append(errs, err)
		result = sooner(result, r)
	}
	if err := errors.Join(errs...); err != nil {
		return result, err
	}
	r, err := p.after(ctx, fn, f)
	return sooner(result, r), err
}

func sooner(a, b reconcile.Result) reconcile.Result {
	if a.RequeueAfter == 0 || b.RequeueAfter != 0 && b.RequeueAfter < a.RequeueAfter {
		return b
	}
	return a
}

// handles is the EventSource or Trigger that OpenFunction made a Function for: "EventSource es". What is of ofn has another name.
func handles(fn *v1beta2.Function) string {
	owner := metav1.GetControllerOf(fn)
	if owner == nil || !strings.HasPrefix(owner.APIVersion, eventsv1.GroupVersion.Group+"/") {
		return ""
	}
	if strings.HasPrefix(fn.Name, "esw-") || strings.HasPrefix(fn.Name, "t-") {
		return owner.Kind + " " + owner.Name
	}
	return ""
}

// find reads what OpenFunction made for a function and nobody is removing.
func find(ctx context.Context, c client.Reader, fn *v1beta2.Function) (*former, error) {
	f := &former{}
	var servings v1beta2.ServingList
	var builders v1beta2.BuilderList
	for _, list := range []client.ObjectList{&servings, &builders} {
		if err := c.List(ctx, list, client.InNamespace(fn.Namespace), client.MatchingLabels{v1beta2.LabelFunction: fn.Name}); err != nil {
			return nil, fmt.Errorf("listing what OpenFunction made for %s: %w", fn.Name, err)
		}
	}
	for i := range servings.Items {
		if s := &servings.Items[i]; owned.By(fn, s) && owned.Foreign(s) {
			f.servings = append(f.servings, s)
		}
	}
	for i := range builders.Items {
		if b := &builders.Items[i]; owned.By(fn, b) && owned.Foreign(b) {
			f.builders = append(f.builders, b)
		}
	}
	return f, nil
}

// before holds the phases back where OpenFunction's copies must go on, or end first.
func (p *Phase) before(ctx context.Context, fn *v1beta2.Function, f *former) (held bool, err error) {
	how := fn.Annotations[Annotation]
	switch {
	case len(f.servings) > 0 && how == Keep:
		hold(fn, f, "Kept", fmt.Sprintf("OpenFunction's %s goes on, as the annotation %s: %s asks", names(f.servings), Annotation, Keep))
		return true, nil
	case len(f.servings) > 0 && eventful(fn) && how != Replace:
		hold(fn, f, "EventsHeld", fmt.Sprintf("events call this function, and two copies would each get them: OpenFunction's %s goes on until the annotation %s: %s says that it is to be ended first", names(f.servings), Annotation, Replace))
		return true, nil
	case len(f.servings) > 0 && how == Replace:
		condition.Set(&fn.Status.Conditions, seen(fn), ConditionAdopted, metav1.ConditionUnknown, "Ending", "OpenFunction's "+names(f.servings)+" is ending")
		// With what belongs to it: when the Serving is gone its pods are.
		return true, p.remove(ctx, f.servings, metav1.DeletePropagationForeground)
	}
	return false, p.takeBuilds(ctx, fn, f)
}

// takeBuilds ends a build of OpenFunction's that is under way, because two would push to one image, and takes one that has succeeded
// as that of the source, unless that was changed since. It does so once.
func (p *Phase) takeBuilds(ctx context.Context, fn *v1beta2.Function, f *former) error {
	for _, b := range f.builders {
		if b.Status.State.Finished() || !b.DeletionTimestamp.IsZero() {
			continue
		}
		if err := p.client.Delete(ctx, b, client.PropagationPolicy(metav1.DeletePropagationBackground)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("ending OpenFunction's build %s: %w", b.Name, err)
		}
	}
	s := fn.Status.Build
	if s == nil || !generated("builder-", s.ResourceRef) {
		return nil
	}
	s.ResourceRef = ""
	if seen(fn) != fn.Generation {
		return nil
	}
	return p.builds.Accept(ctx, fn)
}

// generated says whether a name is one that OpenFunction's operator let the API server make.
func generated(prefix, name string) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	return ok && rest != "" && !strings.Contains(rest, "-")
}

// seen is the generation of the function that was there when this program first saw it: the condition keeps it.
func seen(fn *v1beta2.Function) int64 {
	if c := condition.Get(fn.Status.Conditions, ConditionAdopted); c != nil {
		return c.ObservedGeneration
	}
	return fn.Generation
}

// hold reports that OpenFunction's copies serve.
func hold(fn *v1beta2.Function, f *former, reason, message string) {
	condition.Set(&fn.Status.Conditions, seen(fn), ConditionAdopted, metav1.ConditionFalse, reason, message)
	served := f.state()
	condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionServed, served.Status, served.Reason, served.Message)
}

// eventful says whether something else than requests calls a function.
func eventful(fn *v1beta2.Function) bool {
	if fn.Spec.Serving == nil {
		return false
	}
	t := fn.Spec.Serving.Triggers
	return t == nil || t.HTTP == nil || len(t.Dapr) > 0
}

// after removes what OpenFunction made once requests come to the function's own revision.
func (p *Phase) after(ctx context.Context, fn *v1beta2.Function, f *former) (reconcile.Result, error) {
	if fn.Spec.Serving != nil && len(f.servings) > 0 {
		reason, message, err := p.waits(ctx, fn, f)
		if err != nil {
			return reconcile.Result{}, err
		}
		if reason != "" {
			condition.Set(&fn.Status.Conditions, fn.Generation, ConditionAdopted, metav1.ConditionUnknown, reason, message)
			return reconcile.Result{RequeueAfter: again}, nil
		}
	}
	condition.Remove(&fn.Status.Conditions, ConditionAdopted)
	for _, b := range f.builders {
		if err := p.client.Delete(ctx, b, client.PropagationPolicy(metav1.DeletePropagationBackground)); client.IgnoreNotFound(err) != nil {
			return reconcile.Result{}, fmt.Errorf("removing OpenFunction's builder %s: %w", b.Name, err)
		}
	}
	return reconcile.Result{}, p.remove(ctx, f.servings, metav1.DeletePropagationBackground)
}

// waits says why OpenFunction's copies go on; empty when they need not.
func (p *Phase) waits(ctx context.Context, fn *v1beta2.Function, f *former) (reason, message string, err error) {
	if s := fn.Status.Serving; s == nil || s.State != v1beta2.StateRunning || fn.Status.LatestReadyRevision == "" {
		return "Starting", fmt.Sprintf("OpenFunction's %s serves until revision %s is ready", names(f.servings), fn.Status.LatestCreatedRevision), nil
	}
	if c := condition.Get(fn.Status.Conditions, v1beta2.ConditionRouted); !eventful(fn) && (c == nil || c.Status != metav1.ConditionTrue) {
		return "Routing", fmt.Sprintf("OpenFunction's %s serves until requests are led to revision %s", names(f.servings), fn.Status.LatestReadyRevision), nil
	}
	message, err = p.stillLeads(ctx, fn, f)
	if message != "" {
		reason = "Routing"
	}
	return reason, message, err
}

func (p *Phase) remove(ctx context.Context, servings []*v1beta2.Serving, how metav1.DeletionPropagation) error {
	for _, s := range servings {
		if !s.DeletionTimestamp.IsZero() {
			continue
		}
		if err := p.client.Delete(ctx, s, client.PropagationPolicy(how)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("removing OpenFunction's serving %s: %w", s.Name, err)
		}
	}
	return nil
}

func names(servings []*v1beta2.Serving) string {
	out := make([]string, len(servings))
	for i, s := range servings {
		out[i] = s.Name
	}
	return strings.Join(out, " and ")
}
