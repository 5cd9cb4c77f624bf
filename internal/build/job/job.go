// Package job runs ofn's own build in a Job of Kubernetes: one for each Builder, in its namespace and under its name. It needs no
// engine on the cluster.
package job

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/pod"
	"github.com/openfunction/ofn/internal/drift"
)

const (
	// longest is how long a Job lives that nothing else limits: its pod may wait for a node or an image.
	longest = time.Hour
	// grace lets the program say itself that the time is over, which it does better than Kubernetes.
	grace = 30 * time.Second
)

// Engine makes Jobs.
type Engine struct {
	client  client.Client
	live    client.Reader
	options pod.Options
}

// New is an engine over a client that reads Jobs and Pods with the label v1beta2.LabelBuilder from a cache, and a reader that does
// not.
func New(c client.Client, live client.Reader, o pod.Options) *Engine {
	return &Engine{client: c, live: live, options: o}
}

// Apply makes the Job of a Builder that has not ended, or suspends it when the Builder is cancelled, and says how it stands. It
// is idempotent, and quiet when nothing is to be changed. What the user must mend is a *build.Failure.
func (e *Engine) Apply(ctx context.Context, b *v1beta2.Builder) (build.Progress, error) {
	cancelled := b.Spec.State == v1beta2.BuilderStateCancelled
	wanted, err := e.wanted(b)
	if err != nil {
		return build.Progress{}, err
	}
	if cancelled {
		if ran, err := pod.Ran(ctx, e.live, wanted); err != nil || !ran {
			return pod.NeverRan(), err
		}
	}
	there, err := pod.Keep(ctx, e.client, e.live, wanted, mutable(b, cancelled))
	if err != nil {
		return build.Progress{}, err
	}
	p, err := e.progress(ctx, there, cancelled)
	p.Objects = map[string]string{v1beta2.RefBuildJob: b.Name}
	return p, err
}

// wanted is the Job as it is made.
func (e *Engine) wanted(b *v1beta2.Builder) (*unstructured.Unstructured, error) {
	c, err := e.options.Container(b, pod.Part{Outcome: corev1.TerminationMessagePathDefault})
	if err != nil {
		return nil, err
	}
	j := &batchv1.Job{TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, ObjectMeta: pod.Metadata(b)}
	j.Spec = batchv1.JobSpec{
		Parallelism: new(int32(1)), Completions: new(int32(1)), BackoffLimit: new(int32(0)),
		ActiveDeadlineSeconds: new(deadline(b)),
		// A pod that a drained or lost node took with it is not the build's fault: another takes its place.
		PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{Action: batchv1.PodFailurePolicyActionIgnore,
			OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}}}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels(b)}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{c}, Volumes: pod.Volumes(b), RestartPolicy: corev1.RestartPolicyNever, ImagePullSecrets: pod.PullSecrets(b),
			AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false), SecurityContext: pod.Security(),
		}},
	}
	u, err := drift.Object(j)
	if err != nil {
		return nil, err
	}
	// What Go cannot leave out: fields that nobody here has a say in.
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	unstructured.RemoveNestedField(u.Object, "spec", "template", "metadata", "creationTimestamp")
	return u, nil
}

// mutable is what of a Job may change once it is there, and is mended when somebody else changes it. Nothing removes a Job that
// has ended but the end of its Builder.
func mutable(b *v1beta2.Builder, cancelled bool) map[string]any {
	labels := map[string]any{}
	for k, v := range pod.Labels(b) {
		labels[k] = v
	}
	return map[string]any{"metadata": map[string]any{"labels": labels},
		"spec": map[string]any{"suspend": cancelled, "parallelism": int64(1), "backoffLimit": int64(0), "activeDeadlineSeconds": deadline(b)}}
}

func deadline(b *v1beta2.Builder) int64 {
	if t := b.Spec.Timeout; t != nil && t.Duration > 0 {
		return int64((t.Duration + grace) / time.Second)
	}
	return int64(longest / time.Second)
}

// typed reads an object of the cache into its Go type.
func typed(u *unstructured.Unstructured, into any) error {
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into); err != nil {
		return fmt.Errorf("reading %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	return nil
}
