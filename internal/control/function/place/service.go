package place

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/daprapp"
	servingrun "github.com/openfunction/ofn/internal/control/serving/run"
	"github.com/openfunction/ofn/internal/run/cluster"
	"github.com/openfunction/ofn/internal/run/podspec"
)

// Annotations of Knative's that fields of ours stand for.
const (
	annotationConcurrency = "autoscaling.knative.dev/container-concurrency"
	annotationMinScale    = "autoscaling.knative.dev/min-scale"
	annotationMaxScale    = "autoscaling.knative.dev/max-scale"
	annotationDeadline    = "serving.knative.dev/progress-deadline"
)

// service is the function as an engine gets it. Servings come the newest first.
func (p *Phase) service(ctx context.Context, fn *v1beta2.Function, servings []*v1beta2.Serving) (cluster.Service, error) {
	s := cluster.Service{Namespace: fn.Namespace, Name: fn.Name, Owner: owner(fn), Labels: fn.Labels, Annotations: fn.Annotations, Pinned: pinned(fn)}
	for _, serving := range slices.Backward(servings) {
		r, err := p.revision(ctx, fn, serving)
		if err != nil {
			return s, err
		}
		s.Revisions = append(s.Revisions, r)
	}
	for _, t := range fn.Status.Traffic {
		s.Traffic = append(s.Traffic, cluster.Share{Revision: t.RevisionName, Percent: t.Percent, Tag: t.Tag})
	}
	return s, nil
}

func (p *Phase) revision(ctx context.Context, fn *v1beta2.Function, s *v1beta2.Serving) (cluster.Revision, error) {
	r := cluster.Revision{Name: s.Name, Annotations: annotations(&s.Spec), Made: len(s.Status.ResourceRef) > 0, Proven: s.Status.State == v1beta2.StateRunning,
		HTTP: s.Spec.Triggers != nil && s.Spec.Triggers.HTTP != nil, Workload: s.Spec.WorkloadType, Scale: s.Spec.ScaleOptions}
	if t := s.Spec.Timeout; t != nil {
		r.StartTimeout = t.Duration
	}
	if daprapp.Enabled(s) {
		maps.Copy(r.Annotations, daprapp.PodAnnotations(s))
	}
	r.Labels = map[string]string{v1beta2.LabelManaged: "true"}
	maps.Copy(r.Labels, s.Spec.Labels)
	maps.Copy(r.Labels, map[string]string{v1beta2.LabelFunction: fn.Name, v1beta2.LabelServing: s.Name})
	if v := r.Annotations[annotationConcurrency]; v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 {
			return r, &cluster.Refused{Reason: "InvalidRevision", Err: fmt.Errorf("annotation %s is %q: it must be a number of at least 0", annotationConcurrency, v)}
		}
		r.Concurrency = n
	}
	pod, err := s.Spec.PodSpec()
	if err != nil {
		return r, &cluster.Refused{Reason: "InvalidTemplate", Err: err}
	}
	if pod.Containers, err = p.containers(ctx, s, pod); err != nil {
		return r, err
	}
	if ref := s.Spec.ImageCredentials; ref != nil && ref.Name != "" && !slices.Contains(pod.ImagePullSecrets, *ref) {
		pod.ImagePullSecrets = append(pod.ImagePullSecrets, *ref)
	}
	security := cmp.Or(s.Spec.Annotations[v1beta2.AnnotationPodSecurity], s.Annotations[v1beta2.AnnotationPodSecurity], p.options.PodSecurity)
	if err := podspec.Valid(security); err != nil {
		return r, &cluster.Refused{Reason: "InvalidRevision", Err: fmt.Errorf("annotation %s: %w", v1beta2.AnnotationPodSecurity, err)}
	}
	// Dapr's sidecar asks the cluster for secrets as the pod's service account.
	podspec.Complete(pod, podspec.Options{Security: security, Nonroot: s.Annotations[v1beta2.AnnotationImageUser] == v1beta2.ImageUserNonroot, Token: daprapp.Enabled(s)})
	r.Pod = *pod
	return r, nil
}

// annotations are those of the template. As on one machine, scaleOptions.knative wins over them, and the fields of scaleOptions
// over both.
func annotations(s *v1beta2.ServingSpec) map[string]string {
	out := map[string]string{}
	if t := s.Timeout; t != nil && t.Duration >= time.Second {
		out[annotationDeadline] = t.Duration.Round(time.Second).String()
	}
	maps.Copy(out, s.Annotations)
	o := s.ScaleOptions
	if o == nil {
		return out
	}
	maps.Copy(out, o.Knative)
	if o.ContainerConcurrency != nil {
		out[annotationConcurrency] = strconv.FormatInt(*o.ContainerConcurrency, 10)
	}
	if o.MinReplicas != nil {
		out[annotationMinScale] = strconv.Itoa(int(*o.MinReplicas))
	}
	if o.MaxReplicas != nil {
		out[annotationMaxScale] = strconv.Itoa(int(*o.MaxReplicas))
	}
	return out
}

// containers are those of the template, the function's own with what the platform adds. The order of its environment is that of
// OpenFunction: the platform's, params, the container's.
func (p *Phase) containers(ctx context.Context, s *v1beta2.Serving, pod *corev1.PodSpec) ([]corev1.Container, error) {
	user := v1beta2.Container(pod)
	user.Image = s.Spec.Image
	port := corev1.ContainerPort{ContainerPort: int32(daprapp.Port(s))}
	for _, said := range user.Ports {
		if said.Name == "h2c" || said.Name == "http1" {
			port.Name = said.Name
		}
	}
	user.Ports = []corev1.ContainerPort{port}
	platform, err := servingrun.PlatformEnv(ctx, p.client, p.options.Log, s)
	if err != nil {
		return nil, err
	}
	env := make([]corev1.EnvVar, 0, len(platform)+len(s.Spec.Params)+len(user.Env)+1)
	for _, e := range platform {
		env = append(env, corev1.EnvVar{Name: e.Name, Value: e.Value})
	}
	env = append(env, corev1.EnvVar{Name: "POD_NAMESPACE", Value: s.Namespace})
	for _, k := range slices.Sorted(maps.Keys(s.Spec.Params)) {
		env = append(env, corev1.EnvVar{Name: k, Value: s.Spec.Params[k]})
	}
	user.Env = last(append(env, user.Env...))
	out := []corev1.Container{user}
	for i := range pod.Containers {
		if pod.Containers[i].Name != v1beta2.FunctionContainer {
			out = append(out, pod.Containers[i])
		}
	}
	return out, nil
}

// last keeps of each variable the last value, which is what a pod would take.
func last(env []corev1.EnvVar) []corev1.EnvVar {
	at := map[string]int{}
	for i, e := range env {
		at[e.Name] = i
	}
	var out []corev1.EnvVar
	for i, e := range env {
		if at[e.Name] == i {
			out = append(out, e)
		}
	}
	return out
}
