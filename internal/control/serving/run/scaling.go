package run

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/api/opaque"
	"github.com/openfunction/ofn/internal/run"
)

// fromEnv ends the metadata keys whose values name variables of the function's environment.
const fromEnv = "FromEnv"

// scaling says how the revision of a Function is scaled by triggers. The container of r must be resolved.
func (c *Controller) scaling(ctx context.Context, s *v1beta2.Serving, fn *v1beta2.Function, r *run.Revision) error {
	http := s.Spec.Triggers != nil && s.Spec.Triggers.HTTP != nil
	switch w := run.Workload(s.Spec.WorkloadType); {
	case http: // such a function is a service, whatever it says
	case w == run.StatefulSet || w == run.Job:
		r.Workload = w
	}
	if s.Spec.ScaleOptions == nil || s.Spec.ScaleOptions.Keda == nil || len(s.Spec.ScaleOptions.Keda.Triggers) == 0 {
		return nil
	}
	keda := s.Spec.ScaleOptions.Keda
	r.Lag = &run.Lag{Pause: pause(fn)}
	for i := range keda.Triggers {
		t, err := c.trigger(ctx, s.Namespace, &keda.Triggers[i], r.Container.Env)
		if err != nil {
			return at(fmt.Sprintf("scaleOptions.keda.triggers[%d]", i), err)
		}
		r.Lag.Triggers = append(r.Lag.Triggers, t)
	}
	if j := keda.ScaledJob; j != nil {
		r.Lag.Polling = period(j.PollingInterval)
		r.Batch = batch(j)
	}
	if o := keda.ScaledObject; o != nil {
		if err := scaledObject(r.Lag, o); err != nil {
			return &invalid{"InvalidScaleOptions", err}
		}
	}
	return nil
}

// pause is that of the Function's annotations, which admission has checked; nil is none.
func pause(fn *v1beta2.Function) *run.Pause {
	if text, ok := fn.Annotations[v1beta2.AnnotationPausedReplicas]; ok {
		if n, err := strconv.Atoi(text); err == nil {
			return &run.Pause{Copies: &n}
		}
	}
	if fn.Annotations[v1beta2.AnnotationPaused] == "true" {
		return &run.Pause{}
	}
	return nil
}

// at says where an error is, also to the user who must mend it.
func at(where string, err error) error {
	wrapped := fmt.Errorf("%s: %w", where, err)
	if wrong := (*invalid)(nil); errors.As(err, &wrong) {
		return &invalid{wrong.reason, wrapped}
	}
	return wrapped
}

// period is a number of seconds; nil and 0 are 0.
func period(n *int32) time.Duration {
	if n == nil {
		return 0
	}
	return time.Duration(*n) * time.Second
}

// trigger resolves one trigger.
func (c *Controller) trigger(ctx context.Context, namespace string, t *v1beta2.KedaTrigger, env []run.EnvVar) (run.Trigger, error) {
	out := run.Trigger{Type: t.Type, Name: t.Name, MetricType: t.MetricType, UseCachedMetrics: t.UseCachedMetrics, Metadata: t.Metadata}
	for key, name := range t.Metadata {
		if !strings.HasSuffix(key, fromEnv) {
			continue
		}
		value, ok := variable(env, name)
		if !ok {
			return out, &invalid{"InvalidScaleOptions", fmt.Errorf("metadata.%s names the environment variable %q, which the function does not have: add it to params, or to env of its container", key, name)}
		}
		if out.Env == nil {
			out.Env = map[string]string{}
		}
		out.Env[name] = value
	}
	var err error
	if t.AuthenticationRef != nil {
		out.Auth, err = c.credentials(ctx, namespace, t.AuthenticationRef, env)
	}
	return out, err
}

func batch(j *v1beta2.KedaScaledJob) *run.Batch {
	st := j.ScalingStrategy
	b := &run.Batch{Strategy: st.Strategy, RunningPart: st.CustomScalingRunningJobPercentage, Combine: st.MultipleScalersCalculation,
		Never: j.RestartPolicy != nil && *j.RestartPolicy == "Never"}
	if d := st.CustomScalingQueueLengthDeduction; d != nil {
		b.Deduction = int(*d)
	}
	return b
}

func scaledObject(l *run.Lag, o *v1beta2.KedaScaledObject) error {
	l.Polling, l.Cooldown = period(o.PollingInterval), period(o.CooldownPeriod)
	if o.CooldownPeriod != nil && *o.CooldownPeriod == 0 {
		l.Cooldown = -1 // at once, not the default
	}
	l.InitialCooldown = period(o.InitialCooldownPeriod)
	if o.IdleReplicaCount != nil {
		idle := int(*o.IdleReplicaCount)
		l.Idle = &idle
	}
	if f := o.Fallback; f != nil {
		l.Fallback = &run.Fallback{Threshold: int(f.FailureThreshold), Replicas: int(f.Replicas), Behavior: f.Behavior}
	}
	advanced, err := o.AdvancedConfig()
	if err != nil || advanced == nil {
		return err
	}
	if h := advanced.HorizontalPodAutoscalerConfig; h != nil && h.Behavior != nil {
		l.Up, l.Down = rules(h.Behavior.ScaleUp), rules(h.Behavior.ScaleDown)
		if l.Up == nil {
			l.Up = &run.Rules{} // a behavior that says nothing of one direction means its defaults there
		}
	}
	if l.Modifiers, err = modifiers(advanced.ScalingModifiers); err != nil {
		return fmt.Errorf("scaledObject.advanced.scalingModifiers: %w", err)
	}
	return nil
}

func rules(h *autoscalingv2.HPAScalingRules) *run.Rules {
	if h == nil {
		return nil
	}
	out := &run.Rules{}
	if w := h.StabilizationWindowSeconds; w != nil {
		d := period(w)
		out.Window = &d
	}
	if h.SelectPolicy != nil {
		out.Select = string(*h.SelectPolicy)
	}
	if h.Tolerance != nil {
		t := h.Tolerance.AsApproximateFloat64()
		out.Tolerance = &t
	}
	for _, p := range h.Policies {
		out.Rates = append(out.Rates, run.Rate{Percent: p.Type == autoscalingv2.PercentScalingPolicy, Value: int(p.Value), Period: time.Duration(p.PeriodSeconds) * time.Second})
	}
	return out
}

// modifiers reads KEDA's scalingModifiers; nil when there is no formula.
func modifiers(o *opaque.Object) (*run.Modifiers, error) {
	if o == nil {
		return nil, nil
	}
	var said struct {
		Formula          string `json:"formula"`
		Target           string `json:"target"`
		ActivationTarget string `json:"activationTarget"`
		MetricType       string `json:"metricType"`
	}
	if _, err := o.Decode(&said); err != nil {
		return nil, err
	}
	if said.Formula == "" {
		return nil, nil
	}
	m := &run.Modifiers{Formula: said.Formula, MetricType: said.MetricType}
	var err error
	if m.Target, err = strconv.ParseFloat(said.Target, 64); err != nil || m.Target <= 0 {
		return nil, fmt.Errorf("target %q must be a number of more than 0", said.Target)
	}
	if said.ActivationTarget != "" {
		if m.Activation, err = strconv.ParseFloat(said.ActivationTarget, 64); err != nil {
			return nil, fmt.Errorf("activationTarget %q must be a number", said.ActivationTarget)
		}
	}
	if said.MetricType != "" && said.MetricType != "AverageValue" && said.MetricType != "Value" {
		return nil, errors.New("metricType must be AverageValue or Value")
	}
	return m, nil
}
