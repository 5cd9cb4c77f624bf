// Package podstatus reads how a revision that runs as a Deployment or StatefulSet stands, and why its pods do not come up: what the
// cluster refused, what cannot be scheduled or pulled, what crashes. All engines that make pods by themselves share it.
package podstatus

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/internal/run"
)

// Reasons beside those of package run.
const (
	ReasonQuota          = "QuotaExceeded"          // of the namespace's ResourceQuotas
	ReasonLimit          = "LimitExceeded"          // of its LimitRanges
	ReasonPodSecurity    = "PodSecurityViolated"    // of its pod security level
	ReasonAccount        = "ServiceAccountNotFound" // the template's
	ReasonRuntimeClass   = "RuntimeClassNotFound"
	ReasonRefused        = "PodRefused" // by the cluster, for another reason
	ReasonUnschedulable  = "Unschedulable"
	ReasonImagePull      = "ImagePullFailed"
	ReasonConfig         = "ContainerConfigInvalid" // such as a secret that is not there
	ReasonCrashed        = "ContainerCrashed"
	ReasonOutOfMemory    = "OutOfMemory"
	ReasonScaledToZero   = "ScaledToZero"
	ReasonPodsStarting   = "PodsStarting"
	reasonDeadline       = "ProgressDeadlineExceeded" // Kubernetes' own
	reasonNotObservedYet = "Deploying"
)

// Of is how the revision of a Deployment stands. Pods are read only while it has fewer ready copies than it wants. A revision
// that is proven, because it has been ready before, is Ready without a copy, too.
func Of(ctx context.Context, c client.Reader, d *appsv1.Deployment, proven bool) (run.Status, error) {
	w := workload{namespace: d.Namespace, selector: d.Spec.Selector, wanted: replicas(d.Spec.Replicas), ready: int(d.Status.ReadyReplicas),
		observed: d.Status.ObservedGeneration >= d.Generation, proven: proven}
	for _, c := range d.Status.Conditions {
		switch {
		case c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue:
			w.refused = c.Message
		case c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse && c.Reason == reasonDeadline:
			w.late = true
		}
	}
	return w.status(ctx, c)
}

// OfStatefulSet is the same for a StatefulSet, which does not say by itself what the cluster refused, or that it takes too long.
func OfStatefulSet(ctx context.Context, c client.Reader, s *appsv1.StatefulSet, proven bool) (run.Status, error) {
	w := workload{namespace: s.Namespace, selector: s.Spec.Selector, wanted: replicas(s.Spec.Replicas), ready: int(s.Status.ReadyReplicas),
		observed: s.Status.ObservedGeneration >= s.Generation, proven: proven}
	return w.status(ctx, c)
}

// OfObject is the same for either, as package drift returns them.
func OfObject(ctx context.Context, c client.Reader, o *unstructured.Unstructured, proven bool) (run.Status, error) {
	switch o.GetKind() {
	case "Deployment":
		d := &appsv1.Deployment{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, d); err != nil {
			return run.Status{}, fmt.Errorf("reading Deployment %s: %w", o.GetName(), err)
		}
		return Of(ctx, c, d, proven)
	case "StatefulSet":
		s := &appsv1.StatefulSet{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, s); err != nil {
			return run.Status{}, fmt.Errorf("reading StatefulSet %s: %w", o.GetName(), err)
		}
		return OfStatefulSet(ctx, c, s, proven)
	default:
		return run.Status{}, fmt.Errorf("reading how %s %s stands: it is neither a Deployment nor a StatefulSet", o.GetKind(), o.GetName())
	}
}

// workload is what a Deployment and a StatefulSet have in common.
type workload struct {
	namespace      string
	selector       *metav1.LabelSelector
	wanted, ready  int
	observed, late bool
	proven         bool
	refused        string // what the cluster said when a pod was to be made
}

func replicas(n *int32) int {
	if n == nil {
		return 1
	}
	return int(*n)
}

func (w *workload) status(ctx context.Context, c client.Reader) (run.Status, error) {
	out := run.Status{Phase: run.Starting, Desired: w.wanted, Ready: w.ready, Starting: max(0, w.wanted-w.ready)}
	if w.ready > 0 || w.proven {
		out.Phase = run.Ready
	}
	if !w.observed {
		if out.Phase == run.Starting {
			out.Reason = reasonNotObservedYet
		}
		return out, nil
	}
	if w.wanted == 0 {
		if out.Phase == run.Starting {
			out.Reason, out.Message = ReasonScaledToZero, "it has no copies, and has not been ready before"
		}
		return out, nil
	}
	if w.ready >= w.wanted {
		return out, nil
	}
	pods, err := w.pods(ctx, c)
	if err != nil {
		return out, err
	}
	trouble := Find(pods)
	if w.refused != "" {
		trouble = Trouble{Reason: Refusal(w.refused), Message: "the cluster makes no pod: " + w.refused, Fatal: true}
	}
	out.Restarts = trouble.Restarts
	w.judge(&out, trouble)
	return out, nil
}

// judge says what trouble means for a revision that has fewer ready copies than it wants.
func (w *workload) judge(out *run.Status, t Trouble) {
	switch {
	case w.ready > 0: // it serves; why there are not more of it is worth knowing
		out.Reason, out.Message = t.Reason, t.Message
	case t.Fatal:
		out.Phase, out.Reason, out.Message = run.Failed, t.Reason, t.Message
	case w.late && t.Reason != "":
		out.Phase, out.Reason, out.Message = run.Failed, t.Reason, t.Message
	case w.late:
		out.Phase, out.Reason, out.Message = run.Failed, run.ReasonStartTimeout, "no copy was ready in time; its log may say why, or serving.timeout is too short"
	case t.Reason != "":
		out.Phase, out.Reason, out.Message = run.Starting, t.Reason, t.Message
	case out.Phase == run.Starting:
		out.Reason = ReasonPodsStarting
	}
}

func (w *workload) pods(ctx context.Context, c client.Reader) ([]corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(w.selector)
	if err != nil {
		return nil, fmt.Errorf("reading the selector of pods: %w", err)
	}
	var list corev1.PodList
	if err := c.List(ctx, &list, client.InNamespace(w.namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	return list.Items, nil
}
