package dapr

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run/cluster"
)

const (
	kedaAPI            = "keda.sh/v1alpha1"
	kindScaledObject   = "ScaledObject"
	kindScaledJob      = "ScaledJob"
	kindAuthentication = "TriggerAuthentication"
	kindSecret         = "Secret"
)

// steering begins the annotations of a Function that steer its scaler, such as those that pause it.
const steering = "autoscaling.keda.sh/"

// trigger is one of KEDA's.
type trigger struct {
	Type              string            `json:"type"`
	Name              string            `json:"name,omitempty"`
	Metadata          map[string]string `json:"metadata"`
	MetricType        string            `json:"metricType,omitempty"`
	UseCachedMetrics  bool              `json:"useCachedMetrics,omitempty"`
	AuthenticationRef *reference        `json:"authenticationRef,omitempty"`
}

type reference struct {
	Name string `json:"name"`
	Kind string `json:"kind,omitempty"`
}

// triggers are those of a revision. Where one logs in with a Secret, a TriggerAuthentication is made of that.
func (e *Engine) triggers(ctx context.Context, s *cluster.Service, r *cluster.Revision, made map[object]bool) ([]trigger, error) {
	var out []trigger
	for i := range r.Scale.Keda.Triggers {
		t := &r.Scale.Keda.Triggers[i]
		next := trigger{Type: t.Type, Name: t.Name, Metadata: t.Metadata, MetricType: t.MetricType, UseCachedMetrics: t.UseCachedMetrics}
		if next.Metadata == nil {
			next.Metadata = map[string]string{}
		}
		if t.AuthenticationRef != nil {
			var err error
			if next.AuthenticationRef, err = e.authentication(ctx, s, t.AuthenticationRef, made); err != nil {
				return nil, err
			}
		}
		out = append(out, next)
	}
	return out, nil
}

// authentication is what a trigger logs in with, by KEDA's kinds.
func (e *Engine) authentication(ctx context.Context, s *cluster.Service, ref *v1beta2.KedaAuthRef, made map[object]bool) (*reference, error) {
	if ref.Kind != "" && ref.Kind != kindSecret {
		return &reference{ref.Name, ref.Kind}, nil
	}
	if ref.Kind == "" {
		there := &unstructured.Unstructured{}
		there.SetGroupVersionKind(schema.FromAPIVersionAndKind(kedaAPI, kindAuthentication))
		err := e.client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: ref.Name}, there)
		if err == nil {
			return &reference{Name: ref.Name}, nil
		} else if !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("reading TriggerAuthentication %s: %w", ref.Name, err)
		}
	}
	secret := &corev1.Secret{}
	err := e.live.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: ref.Name}, secret)
	if apierrors.IsNotFound(err) {
		return nil, &cluster.Refused{Reason: "MissingReference",
			Err: fmt.Errorf("scaleOptions.keda: authenticationRef %q names no TriggerAuthentication and no Secret in namespace %q", ref.Name, s.Namespace)}
	} else if err != nil {
		return nil, fmt.Errorf("reading secret %s: %w", ref.Name, err)
	}
	targets := []map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(secret.Data)) {
		targets = append(targets, map[string]string{"parameter": key, "name": ref.Name, "key": key})
	}
	name := s.Name + "." + ref.Name // no name of a function has a dot
	_, err = e.ensure(ctx, manifest{APIVersion: kedaAPI, Kind: kindAuthentication, Spec: map[string]any{"secretTargetRef": targets},
		Metadata: metadata{Namespace: s.Namespace, Name: name, Owners: []metav1.OwnerReference{s.Owner},
			Labels: map[string]string{v1beta2.LabelManaged: "true", v1beta2.LabelFunction: s.Name, labelEngine: engineName}}}, made)
	return &reference{Name: name}, err
}

// scaledObject scales a revision's workload.
func scaledObject(s *cluster.Service, r *cluster.Revision, kind string, triggers []trigger) manifest {
	spec := map[string]any{"triggers": triggers,
		"scaleTargetRef": map[string]string{"apiVersion": "apps/v1", "kind": kind, "name": r.Name, "envSourceContainerName": v1beta2.FunctionContainer}}
	bounds(spec, r)
	if o := r.Scale.Keda.ScaledObject; o != nil {
		number(spec, "pollingInterval", o.PollingInterval)
		number(spec, "cooldownPeriod", o.CooldownPeriod)
		number(spec, "initialCooldownPeriod", o.InitialCooldownPeriod)
		number(spec, "idleReplicaCount", o.IdleReplicaCount)
		if o.Advanced != nil && !o.Advanced.IsEmpty() {
			spec["advanced"] = o.Advanced
		}
		if o.Fallback != nil {
			spec["fallback"] = o.Fallback
		}
	}
	out := of(s, r, kedaAPI, kindScaledObject, spec)
	out.Metadata.Annotations = steered(s)
	return out
}

// scaledJob makes Jobs of a revision. Those that run finish their work when it is changed.
func scaledJob(s *cluster.Service, r *cluster.Revision, triggers []trigger) (manifest, error) {
	t, err := templateOf(r, v1beta2.WorkloadTypeJob)
	if err != nil {
		return manifest{}, err
	}
	spec := map[string]any{"triggers": triggers, "jobTargetRef": map[string]any{"template": t}, "envSourceContainerName": v1beta2.FunctionContainer,
		"rollout": map[string]string{"strategy": "gradual"}}
	bounds(spec, r)
	if j := r.Scale.Keda.ScaledJob; j != nil {
		number(spec, "pollingInterval", j.PollingInterval)
		number(spec, "successfulJobsHistoryLimit", j.SuccessfulJobsHistoryLimit)
		number(spec, "failedJobsHistoryLimit", j.FailedJobsHistoryLimit)
		spec["scalingStrategy"] = j.ScalingStrategy
	}
	out := of(s, r, kedaAPI, kindScaledJob, spec)
	out.Metadata.Annotations = steered(s)
	return out, nil
}

func bounds(spec map[string]any, r *cluster.Revision) {
	number(spec, "minReplicaCount", r.Scale.MinReplicas)
	number(spec, "maxReplicaCount", r.Scale.MaxReplicas)
}

func number(spec map[string]any, name string, n *int32) {
	if n != nil {
		spec[name] = *n
	}
}

func steered(s *cluster.Service) map[string]string {
	out := map[string]string{}
	for k, v := range s.Annotations {
		if strings.HasPrefix(k, steering) {
			out[k] = v
		}
	}
	return out
}
