package job

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/pod"
)

// progress says how a Job stands: by its conditions whether it has ended, by its pod what it told.
func (e *Engine) progress(ctx context.Context, u *unstructured.Unstructured, cancelled bool) (build.Progress, error) {
	j := &batchv1.Job{}
	if err := typed(u, j); err != nil {
		return build.Progress{}, err
	}
	complete, failed := condition(j, batchv1.JobComplete), condition(j, batchv1.JobFailed)
	switch {
	case failed != nil && failed.Reason == batchv1.JobReasonDeadlineExceeded && !cancelled:
		return build.Progress{Stage: build.TimedOut, Reason: "BuildTimeout",
			Message: "the time for the build is over; it had not ended, or not even begun: raise build.timeout or make the build smaller"}, nil
	case complete != nil, failed != nil && !cancelled:
		return e.ended(ctx, j, failed)
	case cancelled && (failed != nil || j.Status.Active == 0):
		return build.Progress{Stage: build.Cancelled, Reason: "Cancelled", Message: "the build was cancelled"}, nil
	case cancelled:
		return build.Progress{Stage: build.Running, Reason: "Cancelling", Message: "the pod of the build is being ended"}, nil
	default:
		return e.running(ctx, j)
	}
}

func condition(j *batchv1.Job, kind batchv1.JobConditionType) *batchv1.JobCondition {
	for i, c := range j.Status.Conditions {
		if c.Type == kind && c.Status == corev1.ConditionTrue {
			return &j.Status.Conditions[i]
		}
	}
	return nil
}

func (e *Engine) running(ctx context.Context, j *batchv1.Job) (build.Progress, error) {
	p := build.Progress{Stage: build.Running, Reason: "Building"}
	if j.Status.StartTime == nil { // Kubernetes has not looked at it yet
		return p, nil
	}
	pods, err := podsOf(ctx, e.client, j)
	if err != nil {
		return p, err
	}
	if len(pods) == 0 {
		p.Reason, p.Message = "NoPod", "Kubernetes has not made the pod of the build yet; if it never does, kubectl describe job "+j.Name+" says why (such as a quota)"
	}
	for i := range pods {
		if reason, message := pod.Trouble(&pods[i]); reason != "" {
			p.Reason, p.Message = reason, message
		}
	}
	return p, nil
}

// ended reads the outcome. The cache of pods may be behind that of Jobs.
func (e *Engine) ended(ctx context.Context, j *batchv1.Job, failed *batchv1.JobCondition) (build.Progress, error) {
	for _, from := range []client.Reader{e.client, e.live} {
		pods, err := podsOf(ctx, from, j)
		if err != nil {
			return build.Progress{}, err
		}
		for i := range pods {
			if o, ok := pod.Ended(&pods[i]); ok && (o.Reason == "") == (failed == nil) {
				return o.Progress(), nil
			}
		}
	}
	p := build.Progress{Stage: build.Failed, Reason: "OutcomeLost", Message: "the pod of the build is gone, and with it what it said: build again, as with `ofn rebuild`"}
	if failed != nil && failed.Message != "" {
		p.Message += fmt.Sprintf(" (%s: %s)", failed.Reason, failed.Message)
	}
	return p, nil
}

// podsOf are the pods that the Job controller made for a Job.
func podsOf(ctx context.Context, from client.Reader, j *batchv1.Job) ([]corev1.Pod, error) {
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("v1")
	list.SetKind("PodList")
	if err := from.List(ctx, list, client.InNamespace(j.Namespace), client.MatchingLabels{v1beta2.LabelBuilder: j.Name}); err != nil {
		return nil, fmt.Errorf("listing the pods of job %s: %w", j.Name, err)
	}
	var out []corev1.Pod
	for i := range list.Items {
		p := corev1.Pod{}
		if err := typed(&list.Items[i], &p); err != nil {
			return nil, err
		}
		if metav1.IsControlledBy(&p, j) {
			out = append(out, p)
		}
	}
	return out, nil
}
