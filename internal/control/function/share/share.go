// Package share lets several Functions be served by the same copies, where their user asks for it: KNIX's workers shared by
// many functions. It stands around the phases build and serve. The oldest Function of a group leads: it alone has a build and
// revisions, which serve all functions of the application. The others take over its state and traffic, and the route phase
// sends their requests to the path of their function.
package share

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/condition"
	"github.com/openfunction/ofn/internal/control/owned"
)

// Step is a phase of a Function's life.
type Step interface {
	Reconcile(ctx context.Context, fn *v1beta2.Function) (reconcile.Result, error)
	Gone(ctx context.Context, namespace, name string) error
}

// Phase is a Step around others.
type Phase struct {
	client client.Client
	own    []Step // of Functions that serve themselves
}

// New is the phase around those that build and serve one Function.
func New(c client.Client, own ...Step) *Phase { return &Phase{client: c, own: own} }

// Gone tells the phases inside.
func (p *Phase) Gone(ctx context.Context, namespace, name string) error {
	var errs []error
	for _, s := range p.own {
		errs = append(errs, s.Gone(ctx, namespace, name))
	}
	return errors.Join(errs...)
}

// Reconcile builds and serves the function, or lets its leader do so.
func (p *Phase) Reconcile(ctx context.Context, fn *v1beta2.Function) (reconcile.Result, error) {
	if fn.Annotations[v1beta2.AnnotationShare] == "" {
		disown(fn)
		condition.Remove(&fn.Status.Conditions, v1beta2.ConditionShared)
		return p.alone(ctx, fn)
	}
	group, err := p.group(ctx, fn)
	if err != nil {
		return reconcile.Result{}, err
	}
	leader := group[0]
	if leader.UID == fn.UID {
		return p.lead(ctx, fn, group[1:])
	}
	return p.follow(ctx, fn, leader)
}

func (p *Phase) alone(ctx context.Context, fn *v1beta2.Function) (reconcile.Result, error) {
	var result reconcile.Result
	var errs []error
	for _, s := range p.own {
		r, err := s.Reconcile(ctx, fn)
		errs = append(errs, err)
		if result.RequeueAfter == 0 || r.RequeueAfter != 0 && r.RequeueAfter < result.RequeueAfter {
			result = r
		}
	}
	return result, errors.Join(errs...)
}

// group is every Function of fn's group, the oldest first; fn is one of them.
func (p *Phase) group(ctx context.Context, fn *v1beta2.Function) ([]*v1beta2.Function, error) {
	var all v1beta2.FunctionList
	if err := p.client.List(ctx, &all, client.InNamespace(fn.Namespace)); err != nil {
		return nil, fmt.Errorf("listing the functions of group %s: %w", fn.Annotations[v1beta2.AnnotationShare], err)
	}
	group := []*v1beta2.Function{fn} // as it is now, whatever the cache shows
	for i := range all.Items {
		f := &all.Items[i]
		if f.UID != fn.UID && f.DeletionTimestamp.IsZero() && SameGroup(f, fn) {
			group = append(group, f)
		}
	}
	slices.SortFunc(group, func(a, b *v1beta2.Function) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return group, nil
}

// SameGroup is whether two Functions ask to share their copies with one another.
func SameGroup(a, b *v1beta2.Function) bool {
	group := a.Annotations[v1beta2.AnnotationShare]
	return group != "" && a.Namespace == b.Namespace && group == b.Annotations[v1beta2.AnnotationShare]
}

// lead serves the whole application, in which nothing selects one function.
func (p *Phase) lead(ctx context.Context, fn *v1beta2.Function, others []*v1beta2.Function) (reconcile.Result, error) {
	if fn.Status.Shared != nil && fn.Status.Shared.Leader != fn.Name {
		disown(fn)
	}
	whole := fn.DeepCopy()
	if s := whole.Spec.Serving; s != nil {
		if s.Params == nil {
			s.Params = map[string]string{}
		}
		s.Params[envTarget], s.Params[envName] = "", ""
	}
	result, err := p.alone(ctx, whole)
	fn.Status = whole.Status
	if err != nil {
		return result, err
	}
	known, err := p.functions(ctx, fn)
	if err != nil {
		return result, err
	}
	shared := &v1beta2.SharedStatus{Leader: fn.Name}
	shared.Path, _ = place(fn, known) // a leader of no function of its own is the application as it is
	for _, o := range others {
		if o.Status.Shared != nil && o.Status.Shared.Leader == fn.Name {
			shared.Members = append(shared.Members, o.Name)
		}
	}
	slices.Sort(shared.Members)
	fn.Status.Shared = shared
	condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionShared, "True", "Leads", "")
	return result, nil
}

// follow takes the leader's state over, or serves the function by itself when it differs.
func (p *Phase) follow(ctx context.Context, fn, leader *v1beta2.Function) (reconcile.Result, error) {
	if field := Difference(leader, fn); field != "" {
		return p.apart(ctx, fn, "Differs", fmt.Sprintf("it differs from function %s, which leads its group, in %s; it is served by copies of its own", leader.Name, field))
	}
	known, err := p.functions(ctx, leader)
	if err != nil {
		return reconcile.Result{}, err
	}
	path, err := place(fn, known)
	switch {
	case err == nil:
	case leader.Spec.Build != nil && len(known) == 0 && leader.Status.LatestReadyRevision == "":
		wait(fn, leader)
		return reconcile.Result{}, nil
	default:
		return p.apart(ctx, fn, "FunctionUnknown", err.Error()+"; it is served by copies of its own")
	}
	settled := routedTo(fn, leader)
	fn.Status.Shared = &v1beta2.SharedStatus{Leader: leader.Name, Path: path}
	condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionShared, "True", "Shares", "served by the copies of function "+leader.Name)
	adopt(fn, leader)
	if !settled {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, p.dismiss(ctx, fn)
}

// routedTo is whether an earlier reconciliation has made the route lead to the leader's copies.
func routedTo(fn, leader *v1beta2.Function) bool {
	c := condition.Get(fn.Status.Conditions, v1beta2.ConditionRouted)
	return fn.Status.Shared != nil && fn.Status.Shared.Leader == leader.Name && (c == nil || c.Status == "True")
}

func (p *Phase) apart(ctx context.Context, fn *v1beta2.Function, reason, message string) (reconcile.Result, error) {
	disown(fn)
	condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionShared, "False", reason, message)
	return p.alone(ctx, fn)
}

// wait leaves things as they are until the leader is built; what a function has of its own goes on serving.
func wait(fn, leader *v1beta2.Function) {
	condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionShared, "Unknown", "WaitingForLeader", "function "+leader.Name+", which leads its group, is not built")
	if fn.Status.LatestReadyRevision == "" || fn.Status.Shared != nil {
		disown(fn)
		report(fn, leader)
	}
}

// disown forgets what was another function's.
func disown(fn *v1beta2.Function) {
	if s := &fn.Status; s.Shared != nil && s.Shared.Leader != fn.Name {
		s.Build, s.Serving, s.Revision, s.Traffic = nil, nil, nil, nil
		s.LatestCreatedRevision, s.LatestReadyRevision = "", ""
	}
	fn.Status.Shared = nil
}

// adopt makes the leader's revisions and traffic the function's.
func adopt(fn, leader *v1beta2.Function) {
	from, to := &leader.Status, &fn.Status
	to.Build = &v1beta2.StageStatus{State: v1beta2.StateSkipped}
	to.Revision, to.Sources = from.Revision.DeepCopy(), nil
	to.Serving = from.Serving.DeepCopy()
	to.LatestCreatedRevision, to.LatestReadyRevision = from.LatestCreatedRevision, from.LatestReadyRevision
	to.Traffic = nil
	for _, t := range from.Traffic {
		t.Tag, t.URL = "", "" // hosts of a tag are the leader's
		to.Traffic = append(to.Traffic, t)
	}
	report(fn, leader)
}

// report says of build and revision what the leader says.
func report(fn, leader *v1beta2.Function) {
	for _, kind := range []string{v1beta2.ConditionBuilt, v1beta2.ConditionServed} {
		c := condition.Get(leader.Status.Conditions, kind)
		if c == nil {
			c = &metav1.Condition{Status: "Unknown", Reason: "WaitingForLeader"}
		}
		message := c.Message
		if message != "" {
			message = "function " + leader.Name + ": " + message
		}
		condition.Set(&fn.Status.Conditions, fn.Generation, kind, c.Status, c.Reason, message)
	}
}

// dismiss removes what the function had of its own. Copies end when their requests have.
func (p *Phase) dismiss(ctx context.Context, fn *v1beta2.Function) error {
	servings, err := owned.List[*v1beta2.Serving](ctx, p.client, fn, &v1beta2.ServingList{})
	if err != nil {
		return err
	}
	builders, err := owned.List[*v1beta2.Builder](ctx, p.client, fn, &v1beta2.BuilderList{})
	if err != nil {
		return err
	}
	return errors.Join(
		owned.Prune(ctx, p.client, servings, 0, func(*v1beta2.Serving) bool { return false }),
		owned.Prune(ctx, p.client, builders, 0, func(*v1beta2.Builder) bool { return false }))
}

// functions are those of the application that the leader's newest build found.
func (p *Phase) functions(ctx context.Context, leader *v1beta2.Function) ([]v1beta2.BuiltFunction, error) {
	b := leader.Status.Build
	if b == nil || b.LastSuccessfulResourceRef == "" {
		return nil, nil
	}
	builder := &v1beta2.Builder{}
	key := types.NamespacedName{Namespace: leader.Namespace, Name: b.LastSuccessfulResourceRef}
	if err := p.client.Get(ctx, key, builder); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if builder.Status.Output == nil {
		return nil, nil
	}
	return builder.Status.Output.Functions, nil
}
