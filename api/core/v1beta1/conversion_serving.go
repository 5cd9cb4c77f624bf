package v1beta1

import (
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

func upServing(s ServingTemplate, port *int32, route *v1beta2.Route, annotations map[string]string) v1beta2.ServingTemplate {
	out := v1beta2.ServingTemplate{
		Triggers: &v1beta2.Triggers{}, Bindings: s.Bindings, Pubsub: s.Pubsub, ScaleOptions: upScale(s), Params: s.Params,
		Labels: s.Labels, Annotations: s.Annotations, Template: s.Template, Timeout: s.Timeout, WorkloadType: upWorkload(s.ScaleOptions),
		Hooks: Hooks(annotations), Tracing: Tracing(annotations),
	}
	for _, in := range s.Inputs {
		if in == nil {
			continue
		}
		ref := v1beta2.DaprComponentRef{Name: in.Component, Topic: in.Topic}
		ref.Type = out.ComponentType(&ref)
		if s.Runtime == Async {
			out.Triggers.Dapr = append(out.Triggers.Dapr, &v1beta2.DaprTrigger{DaprComponentRef: ref, InputName: in.Name})
		} else {
			out.Triggers.Inputs = append(out.Triggers.Inputs, &v1beta2.Input{Dapr: &ref})
		}
	}
	if s.Runtime != Async {
		out.Triggers.HTTP = &v1beta2.HTTPTrigger{Port: port, Route: route}
	}
	for _, o := range s.Outputs {
		if o == nil {
			continue
		}
		ref := v1beta2.DaprComponentRef{Name: o.Component, Topic: o.Topic}
		ref.Type = out.ComponentType(&ref)
		out.Outputs = append(out.Outputs, &v1beta2.Output{Dapr: &v1beta2.DaprOutput{
			DaprComponentRef: ref, OutputName: o.Name, Metadata: o.Params, Operation: o.Operation,
		}})
	}
	for name, spec := range s.States {
		if out.States == nil {
			out.States = map[string]*v1beta2.StateStore{}
		}
		out.States[name] = &v1beta2.StateStore{Spec: spec}
	}
	return out
}

func downServing(s v1beta2.ServingTemplate) ServingTemplate {
	out := ServingTemplate{
		Runtime: Knative, Bindings: s.Bindings, Pubsub: s.Pubsub, ScaleOptions: downScale(s), Params: s.Params,
		Labels: s.Labels, Annotations: s.Annotations, Template: s.Template, Timeout: s.Timeout,
	}
	if t := s.Triggers; t != nil {
		out.Inputs = downInputs(t)
		if len(t.Dapr) > 0 || t.HTTP == nil {
			out.Runtime = Async
		}
	}
	for _, o := range s.Outputs {
		if o == nil || o.Dapr == nil {
			continue
		}
		d := o.Dapr
		out.Outputs = append(out.Outputs, &DaprIO{
			Name: or(d.OutputName, d.Name), Component: d.Name, Topic: d.Topic, Params: d.Metadata, Operation: d.Operation,
		})
	}
	for name, state := range s.States {
		if state == nil || state.Spec == nil {
			continue
		}
		if out.States == nil {
			out.States = map[string]*v1beta2.Component{}
		}
		out.States[name] = state.Spec
	}
	if s.ScaleOptions != nil && s.ScaleOptions.Keda != nil {
		for _, t := range s.ScaleOptions.Keda.Triggers {
			out.Triggers = append(out.Triggers, Trigger{KedaTrigger: t})
		}
	}
	return out
}

// downInputs are the events that call the function or, when none does, the inputs it can read.
func downInputs(t *v1beta2.Triggers) []*DaprIO {
	var out []*DaprIO
	for _, d := range t.Dapr {
		if d != nil {
			out = append(out, &DaprIO{Name: or(d.InputName, d.Name), Component: d.Name, Topic: d.Topic})
		}
	}
	if len(out) > 0 {
		return out
	}
	for _, in := range t.Inputs {
		if in != nil && in.Dapr != nil {
			out = append(out, &DaprIO{Name: in.Dapr.Name, Component: in.Dapr.Name, Topic: in.Dapr.Topic})
		}
	}
	return out
}

func upWorkload(s *ScaleOptions) string {
	switch {
	case s == nil || s.Keda == nil:
		return ""
	case s.Keda.ScaledJob != nil:
		return v1beta2.WorkloadTypeJob
	case s.Keda.ScaledObject != nil:
		return s.Keda.ScaledObject.WorkloadType
	default:
		return ""
	}
}

func upScale(s ServingTemplate) *v1beta2.ScaleOptions {
	in := s.ScaleOptions
	if in == nil && len(s.Triggers) == 0 {
		return nil
	}
	out := &v1beta2.ScaleOptions{}
	if in != nil {
		out.MinReplicas, out.MaxReplicas, out.Knative = in.MinReplicas, in.MaxReplicas, in.Knative
	}
	if (in == nil || in.Keda == nil) && len(s.Triggers) == 0 {
		return out
	}
	out.Keda = &v1beta2.KedaScaleOptions{}
	for _, t := range s.Triggers {
		out.Keda.Triggers = append(out.Keda.Triggers, t.KedaTrigger)
	}
	if in == nil || in.Keda == nil {
		return out
	}
	if o := in.Keda.ScaledObject; o != nil {
		out.Keda.ScaledObject = &v1beta2.KedaScaledObject{PollingInterval: o.PollingInterval, CooldownPeriod: o.CooldownPeriod, Advanced: o.Advanced}
		out.MinReplicas = limit(s.Runtime, out.MinReplicas, o.MinReplicaCount)
		out.MaxReplicas = limit(s.Runtime, out.MaxReplicas, o.MaxReplicaCount)
	}
	if j := in.Keda.ScaledJob; j != nil {
		out.Keda.ScaledJob = &j.KedaScaledJob
		out.MaxReplicas = limit(s.Runtime, out.MaxReplicas, j.MaxReplicaCount)
	}
	return out
}

// limit chooses between the general limit and that of a scaler: only an asynchronous function is scaled by KEDA.
func limit(r Runtime, general, scaler *int32) *int32 {
	if scaler != nil && (r == Async || general == nil) {
		return scaler
	}
	return general
}

func downScale(s v1beta2.ServingTemplate) *ScaleOptions {
	in := s.ScaleOptions
	if in == nil {
		return nil
	}
	out := &ScaleOptions{MinReplicas: in.MinReplicas, MaxReplicas: in.MaxReplicas, Knative: in.Knative}
	if in.Keda == nil || in.Keda.ScaledObject == nil && in.Keda.ScaledJob == nil {
		if in.MinReplicas == nil && in.MaxReplicas == nil && len(in.Knative) == 0 && in.Keda != nil {
			return nil // there were only triggers, which live elsewhere in this version
		}
		return out
	}
	out.Keda = &KedaScaleOptions{}
	if o := in.Keda.ScaledObject; o != nil {
		out.Keda.ScaledObject = &KedaScaledObject{PollingInterval: o.PollingInterval, CooldownPeriod: o.CooldownPeriod, Advanced: o.Advanced}
		if s.WorkloadType != v1beta2.WorkloadTypeJob {
			out.Keda.ScaledObject.WorkloadType = s.WorkloadType
		}
	}
	if j := in.Keda.ScaledJob; j != nil {
		out.Keda.ScaledJob = &KedaScaledJob{KedaScaledJob: *j}
	}
	return out
}

// Hooks reads the annotation in which this version has them. What cannot be read is no hook: a conversion must not fail
// for an annotation.
func Hooks(annotations map[string]string) *v1beta2.Hooks {
	var in struct {
		Order []string `json:"order"`
		Pre   []string `json:"pre"`
		Post  []string `json:"post"`
	}
	text, ok := annotations[v1beta2.AnnotationHooks]
	if !ok || yaml.Unmarshal([]byte(text), &in) != nil {
		return nil
	}
	out := &v1beta2.Hooks{Pre: in.Pre, Post: in.Post, Policy: v1beta2.HookPolicyOverride}
	if len(in.Order) > 0 {
		out.Pre, out.Post = in.Order, slices.Clone(in.Order)
		slices.Reverse(out.Post)
	}
	return out
}

// Tracing reads the annotation in which this version has it, by the same rule.
func Tracing(annotations map[string]string) *v1beta2.TracingConfig {
	text, ok := annotations[v1beta2.AnnotationTracing]
	out := &v1beta2.TracingConfig{}
	if !ok || yaml.Unmarshal([]byte(text), out) != nil || out.Provider == nil {
		return nil
	}
	return out
}

func or(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
