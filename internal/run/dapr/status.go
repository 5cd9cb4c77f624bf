package dapr

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
	"github.com/openfunction/ofn/internal/run/podstatus"
)

// workloadStatus is how a revision stands by its workload.
func (e *Engine) workloadStatus(ctx context.Context, r *cluster.Revision, o *unstructured.Unstructured, tried bool) (run.Status, error) {
	if o.GetKind() != v1beta2.WorkloadTypeJob {
		return e.copiesStatus(ctx, o, tried)
	}
	j := &batchv1.Job{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, j); err != nil {
		return run.Status{}, fmt.Errorf("reading Job %s: %w", o.GetName(), err)
	}
	return e.jobStatus(ctx, r, j)
}

// copiesStatus is how a Deployment or StatefulSet stands. What is ready for a moment only has not proven itself.
func (e *Engine) copiesStatus(ctx context.Context, o *unstructured.Unstructured, tried bool) (run.Status, error) {
	out, err := podstatus.OfObject(ctx, e.client, o, tried)
	if err == nil && out.Phase == run.Ready && !tried && !available(o) {
		out.Phase, out.Reason = run.Starting, podstatus.ReasonPodsStarting
	}
	return out, err
}

// available says of a Deployment or StatefulSet, which may be nil, whether copies of it are ready for long enough, or were.
func available(o *unstructured.Unstructured) bool {
	if o == nil {
		return false
	}
	n, _, _ := unstructured.NestedInt64(o.Object, "status", "availableReplicas")
	return n > 0 || o.GetAnnotations()[annotationTried] != ""
}

// jobStatus is how a Job stands that is done once: it is ready when its pod is, or has done its work.
func (e *Engine) jobStatus(ctx context.Context, r *cluster.Revision, j *batchv1.Job) (run.Status, error) {
	out := run.Status{Phase: run.Starting, Reason: podstatus.ReasonPodsStarting, Desired: int(j.Status.Active), Succeeded: int(j.Status.Succeeded), Lost: int(j.Status.Failed)}
	if j.Status.Ready != nil {
		out.Ready = int(*j.Status.Ready)
	}
	for _, c := range j.Status.Conditions {
		if c.Status == corev1.ConditionTrue && c.Type == batchv1.JobFailed {
			out.Phase, out.Reason, out.Message = run.Failed, c.Reason, c.Message
			return out, nil
		}
	}
	if out.Ready > 0 || out.Succeeded > 0 || r.Proven {
		out.Phase, out.Reason = run.Ready, ""
		return out, nil
	}
	t, err := e.trouble(ctx, j.Namespace, j.Name)
	if err == nil && t.Reason != "" {
		out.Reason, out.Message, out.Restarts = t.Reason, t.Message, t.Restarts
		if t.Fatal {
			out.Phase = run.Failed
		}
	}
	return out, err
}

// pods are those of a revision.
func (e *Engine) pods(ctx context.Context, namespace, revision string) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := e.client.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{v1beta2.LabelServing: revision, labelEngine: engineName}); err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	return list.Items, nil
}

func (e *Engine) trouble(ctx context.Context, namespace, revision string) (podstatus.Trouble, error) {
	pods, err := e.pods(ctx, namespace, revision)
	return podstatus.Find(pods), err
}

// conditions are KEDA's.
type conditions []condition

type condition struct {
	Type    string                 `json:"type"`
	Status  metav1.ConditionStatus `json:"status"`
	Reason  string                 `json:"reason"`
	Message string                 `json:"message"`
}

// conditionAsked stands for what KEDA keeps of each metric where there is a fallback. A server that accepts no connections is in no
// condition of KEDA's own.
const conditionAsked = "Asked"

func conditionsOf(o *unstructured.Unstructured) (conditions, error) {
	var is struct {
		Status struct {
			Conditions conditions `json:"conditions"`
			Health     map[string]struct {
				Status string `json:"status"`
			} `json:"health"`
		} `json:"status"`
	}
	data, err := o.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(data, &is)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	for _, metric := range slices.Sorted(maps.Keys(is.Status.Health)) {
		if is.Status.Health[metric].Status == "Failing" {
			failing := condition{conditionAsked, metav1.ConditionFalse, "", "there is no answer for " + metric}
			is.Status.Conditions = append(is.Status.Conditions, failing)
			break
		}
	}
	return is.Status.Conditions, nil
}

// is says whether a condition has a status, and what it says.
func (c conditions) is(kind string, status metav1.ConditionStatus) (string, bool) {
	for _, each := range c {
		if each.Type == kind && each.Status == status {
			return each.Message, true
		}
	}
	return "", false
}

// withScaler adds what a ScaledObject says. What keeps the copies from coming up is of more interest than who wants them.
func withScaler(s run.Status, c conditions) run.Status {
	if s.Phase == run.Failed || s.Reason != "" && s.Phase == run.Ready {
		return s
	}
	if message, ok := c.is("Ready", metav1.ConditionFalse); ok {
		s.Reason, s.Message = run.ReasonTriggerError, "KEDA cannot scale it: "+message
	} else if message, ok := c.is("Fallback", metav1.ConditionTrue); ok {
		s.Reason, s.Message = run.ReasonTriggerError, "KEDA cannot ask a trigger, and has as many copies as fallback says: "+message
	} else if message, ok := c.is(conditionAsked, metav1.ConditionFalse); ok {
		s.Reason, s.Message = run.ReasonTriggerError, "KEDA cannot ask a trigger: "+message
	} else if message, ok := c.is("Ready", metav1.ConditionUnknown); ok && message != "" { // some of its triggers fail; a new one says nothing
		s.Reason, s.Message = run.ReasonTriggerError, "KEDA cannot ask all of its triggers: "+message
	} else if message, ok := c.is("HPAActive", metav1.ConditionFalse); ok {
		s.Reason, s.Message = run.ReasonTriggerError, "the number of its copies stays as it is: "+message
	}
	return s
}

// scaledJobStatus is how a revision stands whose Jobs KEDA makes: it is ready when KEDA has taken it in.
func (e *Engine) scaledJobStatus(ctx context.Context, r *cluster.Revision, o *unstructured.Unstructured) (run.Status, error) {
	c, err := conditionsOf(o)
	if err != nil {
		return run.Status{}, err
	}
	pods, err := e.pods(ctx, o.GetNamespace(), r.Name)
	if err != nil {
		return run.Status{}, err
	}
	out := run.Status{Phase: run.Starting, Reason: "Deploying"}
	for i := range pods {
		switch pods[i].Status.Phase {
		case corev1.PodRunning:
			out.Desired, out.Ready = out.Desired+1, out.Ready+1
		case corev1.PodPending:
			out.Desired, out.Starting = out.Desired+1, out.Starting+1
		case corev1.PodSucceeded:
			out.Succeeded++
		case corev1.PodFailed:
			out.Lost++
		default:
		}
	}
	if _, ok := c.is("Ready", metav1.ConditionTrue); ok || r.Proven {
		out.Phase, out.Reason = run.Ready, ""
	}
	if t := podstatus.Find(pods); t.Reason != "" && out.Ready+out.Succeeded == 0 {
		out.Reason, out.Message, out.Restarts = t.Reason, t.Message, t.Restarts
	}
	return withScaler(out, c), nil
}
