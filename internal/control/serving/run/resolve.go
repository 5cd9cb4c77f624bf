package run

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/daprapp"
	"github.com/openfunction/ofn/internal/control/secret"
	"github.com/openfunction/ofn/internal/run"
)

const annotationContainerConcurrency = "autoscaling.knative.dev/container-concurrency"

// resolve makes a Serving into a revision in which nothing must be looked up any more.
func (c *Controller) resolve(ctx context.Context, s *v1beta2.Serving) (run.Revision, error) {
	pod, err := s.Spec.PodSpec()
	if err != nil {
		return run.Revision{}, &invalid{"InvalidTemplate", err}
	}
	user, err := user(pod)
	if err != nil {
		return run.Revision{}, err
	}
	fn := s.Labels[v1beta2.LabelFunction]
	r := run.Revision{
		Key:         run.Key{Namespace: s.Namespace, Name: s.Name},
		Function:    fn,
		Image:       s.Spec.Image,
		Port:        daprapp.Port(s),
		Annotations: annotations(&s.Spec),
		Proven:      s.Status.State == v1beta2.StateRunning,
		Dapr:        daprapp.Enabled(s),
	}
	if pod.RuntimeClassName != nil {
		r.RuntimeClass = *pod.RuntimeClassName
	} else if _, ok := s.Spec.Annotations[v1beta2.AnnotationWasmVariant]; ok {
		r.RuntimeClass = v1beta2.WasmRuntimeClass
	}
	for _, p := range user.Ports {
		r.H2C = r.H2C || p.Name == "h2c"
	}
	if r.Sidecar, err = c.sidecar(ctx, s); err != nil {
		return r, err
	}
	r.StartTimeout = c.options.StartTimeout
	if s.Spec.Timeout != nil {
		r.StartTimeout = s.Spec.Timeout.Duration
	}
	if g := pod.TerminationGracePeriodSeconds; g != nil {
		r.Grace = max(time.Duration(*g)*time.Second, time.Millisecond) // 0 is "at once", not the platform's default
	}
	scale(&r, s.Spec.ScaleOptions)
	owner, err := c.function(ctx, s, fn)
	if err != nil {
		return r, err
	}
	r.Reachable = reachable(s, owner)
	if r.PullSecret, err = c.pullSecret(ctx, s, pod); err != nil {
		return r, err
	}
	if r.Container, err = c.container(ctx, s, pod, user, r.Port); err != nil {
		return r, err
	}
	return r, c.scaling(ctx, s, owner, &r)
}

// annotations are those of the revision template; scaleOptions.knative wins over them.
func annotations(s *v1beta2.ServingSpec) map[string]string {
	out := map[string]string{}
	maps.Copy(out, s.Annotations)
	if o := s.ScaleOptions; o != nil {
		maps.Copy(out, o.Knative)
		if o.ContainerConcurrency != nil {
			out[annotationContainerConcurrency] = strconv.FormatInt(*o.ContainerConcurrency, 10)
		}
	}
	return out
}

func scale(r *run.Revision, o *v1beta2.ScaleOptions) {
	if o == nil {
		return
	}
	if o.MinReplicas != nil {
		r.MinScale = int(*o.MinReplicas)
	}
	if o.MaxReplicas != nil {
		r.MaxScale = int(*o.MaxReplicas)
	}
}

// function reads that of a revision; one that is gone is an empty one.
func (c *Controller) function(ctx context.Context, s *v1beta2.Serving, name string) (*v1beta2.Function, error) {
	fn := &v1beta2.Function{}
	if err := c.client.Get(ctx, types.NamespacedName{Namespace: s.Namespace, Name: name}, fn); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading function %s/%s: %w", s.Namespace, name, err)
	}
	return fn, nil
}

// reachable says whether the function's traffic names this revision. The newest one counts as reachable until it has
// proven itself, so that its minimum of copies is there when it takes over.
func reachable(s *v1beta2.Serving, fn *v1beta2.Function) bool {
	for _, t := range fn.Status.Traffic {
		if t.RevisionName == s.Name {
			return true
		}
	}
	return fn.Status.LatestCreatedRevision == s.Name && s.Status.State != v1beta2.StateRunning
}

func (c *Controller) pullSecret(ctx context.Context, s *v1beta2.Serving, pod *corev1.PodSpec) (*run.Credentials, error) {
	var names []string
	if ref := s.Spec.ImageCredentials; ref != nil && ref.Name != "" {
		names = append(names, ref.Name)
	}
	for _, ref := range pod.ImagePullSecrets {
		names = append(names, ref.Name)
	}
	var last error
	for _, name := range names {
		object, err := secret.Read(ctx, c.client, s.Namespace, name)
		if err != nil {
			last = asInvalid(err)
			continue
		}
		l, err := secret.LoginFor(object, secret.ImageHost(s.Spec.Image))
		if err != nil {
			last = asInvalid(err)
			continue
		}
		return &run.Credentials{Username: l.Username, Password: l.Password, Token: l.Token}, nil
	}
	return nil, last
}
