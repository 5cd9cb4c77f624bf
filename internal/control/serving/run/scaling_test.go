package run_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	kedav1 "github.com/openfunction/ofn/api/keda/v1alpha1"
	"github.com/openfunction/ofn/api/opaque"
	"github.com/openfunction/ofn/internal/run"
)

// scaled is a Serving with scaleOptions, and with http when it is to have that trigger.
func scaled(t *testing.T, options, workload string, http bool) *v1beta2.Serving {
	t.Helper()
	return serving(t, "", func(s *v1beta2.Serving) {
		s.Spec.ScaleOptions = &v1beta2.ScaleOptions{}
		if err := json.Unmarshal([]byte(options), s.Spec.ScaleOptions); err != nil {
			t.Fatal(err)
		}
		s.Spec.WorkloadType = workload
		s.Spec.Params = map[string]string{"HOST": "amqp://u:p@h"}
		if http {
			s.Spec.Triggers = &v1beta2.Triggers{HTTP: &v1beta2.HTTPTrigger{}}
		}
	})
}

func login() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "login"}, Data: map[string][]byte{"password": []byte("x"), "sasl": []byte("plaintext")}}
}

func ptr[T any](v T) *T { return &v }

func TestScaling(t *testing.T) {
	w := newWorld(t, scaled(t, `{"minReplicas": 1, "maxReplicas": 7, "keda": {
		"scaledObject": {"pollingInterval": 5, "cooldownPeriod": 0, "initialCooldownPeriod": 7, "idleReplicaCount": 0,
			"fallback": {"failureThreshold": 2, "replicas": 3, "behavior": "currentReplicas"}, "advanced": {
			"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60, "selectPolicy": "Min",
				"policies": [{"type": "Percent", "value": 50, "periodSeconds": 30}]}}},
			"scalingModifiers": {"formula": "a + b", "target": "2.5", "activationTarget": "1", "metricType": "Value"}}},
		"triggers": [
			{"type": "kafka", "name": "a", "metadata": {"topic": "orders"}, "authenticationRef": {"name": "login", "kind": "Secret"}, "useCachedMetrics": true},
			{"type": "rabbitmq", "name": "b", "metadata": {"hostFromEnv": "HOST"}, "metricType": "Value"}]}}`, "", false), login())
	w.reconcile()
	got := w.r.applied[key]
	want := &run.Lag{
		Triggers: []run.Trigger{
			{Type: "kafka", Name: "a", UseCachedMetrics: true, Metadata: map[string]string{"topic": "orders"}, Auth: map[string]string{"password": "x", "sasl": "plaintext"}},
			{Type: "rabbitmq", Name: "b", MetricType: "Value", Metadata: map[string]string{"hostFromEnv": "HOST"}, Env: map[string]string{"HOST": "amqp://u:p@h"}},
		},
		Polling: 5 * time.Second, Cooldown: -1, InitialCooldown: 7 * time.Second, Idle: ptr(0), Fallback: &run.Fallback{Threshold: 2, Replicas: 3, Behavior: "currentReplicas"}, Up: &run.Rules{},
		Down:      &run.Rules{Window: ptr(time.Minute), Select: "Min", Rates: []run.Rate{{Percent: true, Value: 50, Period: 30 * time.Second}}},
		Modifiers: &run.Modifiers{Formula: "a + b", Target: 2.5, Activation: 1, MetricType: "Value"},
	}
	if !reflect.DeepEqual(got.Lag, want) {
		t.Errorf("got  %+v\nwant %+v", got.Lag, want)
	}
	if got.MinScale != 1 || got.MaxScale != 7 || got.Workload != run.Deployment || got.Batch != nil {
		t.Errorf("got %+v", got)
	}
}

// TestPause: the Function's annotations pause, the revision's do not change for it.
func TestPause(t *testing.T) {
	s := scaled(t, `{"keda": {"triggers": [{"type": "x", "metadata": {}}]}}`, "", false)
	fn := &v1beta2.Function{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: s.Labels[v1beta2.LabelFunction]}}
	w := newWorld(t, s, fn)
	for _, c := range []struct {
		annotations map[string]string
		want        *run.Pause
	}{
		{nil, nil},
		{map[string]string{v1beta2.AnnotationPaused: "true"}, &run.Pause{}},
		{map[string]string{v1beta2.AnnotationPaused: "false"}, nil},
		{map[string]string{v1beta2.AnnotationPaused: "true", v1beta2.AnnotationPausedReplicas: "0"}, &run.Pause{Copies: ptr(0)}},
		{map[string]string{v1beta2.AnnotationPausedReplicas: "4"}, &run.Pause{Copies: ptr(4)}},
	} {
		fn.Annotations = c.annotations
		if err := w.c.Raw.Update(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
		w.reconcile()
		if got := w.r.applied[key].Lag.Pause; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v: got %+v, want %+v", c.annotations, got, c.want)
		}
	}
}

// TestTriggerAuthentication: parameters come from secrets and from the function's environment, and change with them.
func TestTriggerAuthentication(t *testing.T) {
	auth := &kedav1.TriggerAuthentication{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "both"}, Spec: kedav1.TriggerAuthenticationSpec{
		SecretTargetRef: []kedav1.SecretTarget{{Parameter: "password", Name: "login", Key: "password"}, {Parameter: "sasl", Name: "login", Key: "sasl"}},
		Env:             []kedav1.Environment{{Parameter: "host", Name: "HOST"}, {Parameter: "sasl", Name: "HOST"}},
	}}
	w := newWorld(t, scaled(t, `{"keda": {"triggers": [
		{"type": "x", "metadata": {}, "authenticationRef": {"name": "both"}}, {"type": "x", "metadata": {}, "authenticationRef": {"name": "login"}},
		{"type": "x", "metadata": {}, "authenticationRef": {"name": "both", "kind": "TriggerAuthentication"}}]}}`, "", false), login(), auth)
	w.reconcile()
	both, secret := map[string]string{"password": "x", "sasl": "plaintext", "host": "amqp://u:p@h"}, map[string]string{"password": "x", "sasl": "plaintext"}
	for i, want := range []map[string]string{both, secret, both} {
		if got := w.r.applied[key].Lag.Triggers[i].Auth; !reflect.DeepEqual(got, want) {
			t.Errorf("trigger %d: got %v, want %v", i, got, want)
		}
	}
	for says, spec := range map[string]kedav1.TriggerAuthenticationSpec{
		`no key "none"`: {SecretTargetRef: []kedav1.SecretTarget{{Parameter: "a", Name: "login", Key: "none"}}},
		`"NONE"`:        {Env: []kedav1.Environment{{Parameter: "a", Name: "NONE"}}},
		"podIdentity":   {PodIdentity: &opaque.Object{}},
	} {
		auth.Spec = spec
		if err := w.c.Raw.Update(t.Context(), auth); err != nil {
			t.Fatal(err)
		}
		w.reconcile()
		var s v1beta2.Serving
		if err := w.c.Get(t.Context(), request.NamespacedName, &s); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(s.Status.Message, says) || !strings.Contains(s.Status.Message, "TriggerAuthentication both") {
			t.Errorf("%s: got %s: %s", says, s.Status.Reason, s.Status.Message)
		}
	}
}

func TestScalingOfJobs(t *testing.T) {
	options := `{"keda": {"scaledJob": {"pollingInterval": 9, "restartPolicy": "Never", "scalingStrategy": {"strategy": "custom",
		"customScalingQueueLengthDeduction": 1, "customScalingRunningJobPercentage": "0.5", "multipleScalersCalculation": "sum"}},
		"triggers": [{"type": "redis", "metadata": {}}]}}`
	w := newWorld(t, scaled(t, options, "Job", false))
	w.reconcile()
	got := w.r.applied[key]
	if got.Workload != run.Job || got.Lag.Polling != 9*time.Second || !reflect.DeepEqual(got.Batch, &run.Batch{Strategy: "custom", Deduction: 1, RunningPart: "0.5", Combine: "sum", Never: true}) {
		t.Errorf("got %+v, %+v, %+v", got.Workload, got.Lag, got.Batch)
	}
	w = newWorld(t, scaled(t, options, "Job", true))
	if w.reconcile(); w.r.applied[key].Workload != run.Deployment {
		t.Error("a function with an http trigger became a job")
	}
	w = newWorld(t, scaled(t, `{}`, "StatefulSet", false))
	if w.reconcile(); w.r.applied[key].Workload != run.StatefulSet || w.r.applied[key].Lag != nil {
		t.Errorf("got %+v", w.r.applied[key])
	}
}

func TestScalingRefusals(t *testing.T) {
	for name, c := range map[string]struct{ options, reason, says string }{
		"no such secret":     {`{"keda": {"triggers": [{"type": "x", "metadata": {}, "authenticationRef": {"name": "none"}}]}}`, "MissingReference", "triggers[0]"},
		"kind of reference":  {`{"keda": {"triggers": [{"type": "x", "metadata": {}, "authenticationRef": {"name": "a", "kind": "ClusterTriggerAuthentication"}}]}}`, "Unsupported", "kind: Secret"},
		"no such object":     {`{"keda": {"triggers": [{"type": "x", "metadata": {}, "authenticationRef": {"name": "none", "kind": "TriggerAuthentication"}}]}}`, "MissingReference", `TriggerAuthentication "none"`},
		"no such variable":   {`{"keda": {"triggers": [{"type": "x", "metadata": {"aFromEnv": "NONE"}}]}}`, "InvalidScaleOptions", `"NONE"`},
		"target of modifier": {`{"keda": {"scaledObject": {"advanced": {"scalingModifiers": {"formula": "a", "target": "x"}}}, "triggers": [{"type": "x", "metadata": {}}]}}`, "InvalidScaleOptions", "target"},
	} {
		w := newWorld(t, scaled(t, c.options, "", false))
		w.reconcile()
		var s v1beta2.Serving
		if err := w.c.Get(t.Context(), request.NamespacedName, &s); err != nil {
			t.Fatal(err)
		}
		if s.Status.Reason != c.reason || !strings.Contains(s.Status.Message, c.says) {
			t.Errorf("%s: got %s: %s", name, s.Status.Reason, s.Status.Message)
		}
	}
}
