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
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/api/opaque"
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
func scaledObject(s *cluster.Service, r *cluster.Revision, kind string, triggers []trigger) (manifest, error) {
	spec := map[string]any{"triggers": triggers,
		"scaleTargetRef": map[string]string{"apiVersion": "apps/v1", "kind": kind, "name": r.Name, "envSourceContainerName": v1beta2.FunctionContainer}}
	bounds(spec, r)
	advanced := opaque.Object{}
	if o := r.Scale.Keda.ScaledObject; o != nil {
		if o.Advanced != nil {
			advanced = *o.Advanced
		}
		number(spec, "pollingInterval", o.PollingInterval)
		number(spec, "cooldownPeriod", o.CooldownPeriod)
		number(spec, "initialCooldownPeriod", o.InitialCooldownPeriod)
		number(spec, "idleReplicaCount", o.IdleReplicaCount)
		if o.Fallback != nil {
			spec["fallback"] = o.Fallback
		}
	}
	advanced, err := withAutoscaler(advanced, r.Name)
	if err != nil {
		return manifest{}, err
	}
	if !advanced.IsEmpty() {
		spec["advanced"] = advanced
	}
	out := of(s, r, kedaAPI, kindScaledObject, spec)
	out.Metadata.Annotations = steered(s)
	return out, nil
}

// withAutoscaler gives each revision an HorizontalPodAutoscaler of its own name: KEDA refuses a ScaledObject when another one has that
// name already, and when the name that it would choose by itself is longer than a label may be.
func withAutoscaler(advanced opaque.Object, revision string) (opaque.Object, error) {
	const field, longest, prefix = "horizontalPodAutoscalerConfig", validation.LabelValueMaxLength, "keda-hpa-"
	var said struct {
		Config opaque.Object `json:"horizontalPodAutoscalerConfig"`
	}
	var named struct {
		Name string `json:"name"`
	}
	if _, err := advanced.Decode(&said); err != nil {
		return advanced, &cluster.Refused{Reason: "InvalidTemplate", Err: fmt.Errorf("scaledObject.advanced: %w", err)}
	}
	if _, err := said.Config.Decode(&named); err != nil {
		return advanced, &cluster.Refused{Reason: "InvalidTemplate", Err: fmt.Errorf("scaledObject.advanced.%s: %w", field, err)}
	}
	name := revision
	switch {
	case named.Name != "":
		number := revision[strings.LastIndexByte(revision, '-')+1:]
		name = named.Name[:min(len(named.Name), longest-1-len(number))] + "-" + number
	case len(prefix+revision) <= longest:
		return advanced, nil
	}
	config, err := said.Config.With("name", name)
	if err != nil {
		return advanced, err
	}
	return advanced.With(field, config)
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
