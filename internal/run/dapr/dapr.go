// Package dapr runs functions that Dapr calls with events, beside Kubernetes' own workloads: a Deployment, StatefulSet or Job for
// each revision that is to have copies, KEDA's ScaledObject or ScaledJob where triggers scale it, and a Service where requests call it,
// too. The sidecar and the components come by annotations of the revision, which Dapr's injector reads.
package dapr

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/drift"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
	"github.com/openfunction/ofn/internal/run/podstatus"
)

// Engine makes workloads.
type Engine struct {
	client client.Client
	live   client.Reader
	keda   func(context.Context) (bool, error)
}

// New is an engine over a client that reads from a cache, and a reader that does not. keda says whether the cluster has KEDA now; a
// revision that needs it is not to be applied while it has not.
func New(c client.Client, live client.Reader, keda func(context.Context) (bool, error)) *Engine {
	return &Engine{client: c, live: live, keda: keda}
}

var _ cluster.Engine = (*Engine)(nil)

// Apply implements cluster.Engine. One revision is live and gets all events; what has copies beside it is the newest one until it has
// proven itself, and the former live one until this one is ready.
func (e *Engine) Apply(ctx context.Context, s cluster.Service) (cluster.Status, error) {
	keda, err := e.keda(ctx)
	if err != nil {
		return cluster.Status{}, err
	}
	p := planOf(&s)
	out := cluster.Status{Revisions: map[string]run.Status{}, Made: map[string]bool{}, Own: map[string]map[string]string{},
		Objects: map[string]string{v1beta2.RefAsyncWorkload: p.live.Name},
		Routed:  cluster.Condition{Status: metav1.ConditionTrue}}
	made := map[object]bool{}
	for _, r := range p.running() {
		status, err := e.revision(ctx, &s, r, keda, made)
		if err != nil {
			return cluster.Status{}, err
		}
		out.Revisions[r.Name], out.Made[r.Name] = status, true
		out.Own[r.Name] = map[string]string{v1beta2.RefAsyncWorkload: r.Name}
		if scaled(r) {
			out.Own[r.Name][v1beta2.RefAsyncScaler] = r.Name
		}
	}
	p.rest(&out)
	if err := e.serve(ctx, &s, p, &out, made); err != nil {
		return cluster.Status{}, err
	}
	return out, e.retire(ctx, &s, p, ready(out.Revisions[p.live.Name]), keda, made)
}

// Remove implements cluster.Engine. What the workloads made goes with them.
func (e *Engine) Remove(ctx context.Context, namespace, name string, owner metav1.OwnerReference) error {
	keda, err := e.keda(ctx)
	if err != nil {
		return err
	}
	return e.each(ctx, namespace, name, owner, keda, func(o *unstructured.Unstructured) error { return e.delete(ctx, o) })
}

// revision makes what a revision consists of, notes it in made, and says how the revision stands.
func (e *Engine) revision(ctx context.Context, s *cluster.Service, r *cluster.Revision, keda bool, made map[object]bool) (run.Status, error) {
	if scaled(r) && !keda {
		return run.Status{Phase: run.Starting, Reason: run.ReasonTriggerError, Message: "its triggers are KEDA's, which the cluster does not have any more"}, nil
	}
	var triggers []trigger
	if scaled(r) {
		var err error
		if triggers, err = e.triggers(ctx, s, r, made); err != nil {
			return run.Status{}, err
		}
	}
	kind := workloadOf(r)
	if kind == v1beta2.WorkloadTypeJob && scaled(r) {
		return e.jobs(ctx, s, r, triggers, made)
	}
	workload, tried, err := e.workload(ctx, s, r, kind, made)
	if err != nil {
		return run.Status{}, err
	}
	status, err := e.workloadStatus(ctx, r, workload, tried)
	if err != nil || !scaled(r) || !tried { // a scaler with nothing to do takes the first copy away before anybody knows whether it works
		return status, err
	}
	wanted, err := scaledObject(s, r, kind, triggers)
	if err != nil {
		return run.Status{}, err
	}
	scaler, err := e.ensure(ctx, wanted, made)
	if err != nil {
		return run.Status{}, err
	}
	said, err := conditionsOf(scaler)
	return withScaler(status, said), err
}

// jobs makes a revision whose Jobs KEDA makes.
func (e *Engine) jobs(ctx context.Context, s *cluster.Service, r *cluster.Revision, triggers []trigger, made map[object]bool) (run.Status, error) {
	wanted, err := scaledJob(s, r, triggers)
	if err != nil {
		return run.Status{}, err
	}
	o, err := e.ensure(ctx, wanted, made)
	if err != nil {
		return run.Status{}, err
	}
	if wanted.Metadata.Annotations[v1beta2.AnnotationPaused] == "" { // it was about to go, and is wanted again
		if err := e.pause(ctx, o, false); err != nil {
			return run.Status{}, err
		}
	}
	return e.scaledJobStatus(ctx, r, o)
}

// workload makes that of a revision, and says whether it has been tried: it is or was ready. A Job is made once: what it does is done, and
// its template cannot be changed.
func (e *Engine) workload(ctx context.Context, s *cluster.Service, r *cluster.Revision, kind string, made map[object]bool) (o *unstructured.Unstructured, tried bool, err error) {
	wanted, err := workload(s, r, kind)
	if err != nil {
		return nil, false, err
	}
	u, err := drift.Object(wanted)
	if err != nil {
		return nil, false, err
	}
	there, err := drift.Read(ctx, e.client, u)
	if err != nil {
		return nil, false, refused(err)
	}
	if kind == v1beta2.WorkloadTypeJob && there != nil {
		made[key(u)] = true
		return there, r.Proven, nil
	}
	tried = r.Proven || available(there)
	if scaled(r) {
		count(&wanted, tried)
	}
	o, err = e.ensure(ctx, wanted, made)
	return o, tried, err
}

// serve makes the Service of a function that requests call, too: they go to the live revision.
func (e *Engine) serve(ctx context.Context, s *cluster.Service, p plan, out *cluster.Status, made map[object]bool) error {
	if !p.live.HTTP {
		return nil
	}
	if _, err := e.ensure(ctx, serviceOf(s, p.live), made); err != nil {
		return err
	}
	out.Backends = []cluster.Backend{{Namespace: s.Namespace, Name: s.Name, Port: servicePort, Weight: 100}}
	if len(s.Traffic) > 1 {
		out.Routed = cluster.Condition{Status: metav1.ConditionTrue, Reason: "OneRevision",
			Message: "a function that Dapr calls has one live revision, " + p.live.Name + ", which gets the requests, too"}
	}
	return nil
}

// ensure makes one object as it is to be, and notes that.
func (e *Engine) ensure(ctx context.Context, wanted any, made map[object]bool) (*unstructured.Unstructured, error) {
	u, err := drift.Object(wanted)
	if err != nil {
		return nil, err
	}
	made[key(u)] = true
	current, err := drift.Ensure(ctx, e.client, e.live, u)
	return current, refused(err)
}

// refused sorts out what is not the operator's to mend.
func refused(err error) error {
	taken := (*drift.Taken)(nil)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &taken):
		return &cluster.Refused{Reason: "NameTaken", Err: err}
	case apierrors.IsForbidden(err):
		if reason := podstatus.Refusal(err.Error()); reason != podstatus.ReasonRefused {
			return &cluster.Refused{Reason: reason, Err: err}
		}
		return &cluster.Refused{Reason: "Forbidden", Err: err} // a policy, or a right the operator lacks
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return &cluster.Refused{Reason: "RefusedByKubernetes", Err: err}
	default:
		return err
	}
}

func (e *Engine) delete(ctx context.Context, o *unstructured.Unstructured) error {
	uid := o.GetUID()
	err := e.client.Delete(ctx, o, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) { // another of the name came meanwhile
		return fmt.Errorf("deleting %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return nil
}
