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
		"scaledObject": {"pollingInterval": 5, "cooldownPeriod": 0, "fallback": {"failureThreshold": 2, "replicas": 3}, "advanced": {
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
		Polling: 5 * time.Second, Cooldown: -1, Fallback: &run.Fallback{Threshold: 2, Replicas: 3}, Up: &run.Rules{},
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
