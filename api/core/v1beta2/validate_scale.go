package v1beta2

import (
	"fmt"
	"regexp"
	"strconv"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// percentage is how KEDA writes customScalingRunningJobPercentage.
const percentage = `^([0-9.]+)[ ]*%$`

func (r *report) scaleOptions(p *field.Path, s *ScaleOptions) {
	if s == nil {
		return
	}
	r.least(p.Child("minReplicas"), s.MinReplicas, 0)
	r.least(p.Child("maxReplicas"), s.MaxReplicas, 0)
	least, most := value(s.MinReplicas, DefaultMinReplicas), value(s.MaxReplicas, DefaultMaxReplicas)
	if least > most {
		r.invalid(p.Child("minReplicas"), least, fmt.Sprintf("must not be greater than maxReplicas, which is %d", most))
	}
	if c := s.ContainerConcurrency; c != nil && *c < 0 {
		r.invalid(p.Child("containerConcurrency"), *c, "must be at least 0")
	}
	if s.Keda != nil {
		r.keda(p.Child("keda"), s.Keda, least)
	}
}

func (r *report) keda(p *field.Path, k *KedaScaleOptions, minimum int32) {
	given := 0
	for _, is := range []bool{k.HTTPScaledObject != nil, k.ScaledObject != nil, k.ScaledJob != nil} {
		if is {
			given++
		}
	}
	if given > 1 {
		r.errs = append(r.errs, field.Forbidden(p, "give at most one of httpScaledObject, scaledObject and scaledJob"))
	}
	if h := k.HTTPScaledObject; h != nil {
		p := p.Child("httpScaledObject")
		r.least(p.Child("targetPendingRequests"), h.TargetPendingRequests, 0)
		r.least(p.Child("cooldownPeriod"), h.CooldownPeriod, 0)
	}
	if k.ScaledObject != nil {
		r.scaledObject(p.Child("scaledObject"), k.ScaledObject, minimum)
	}
	if k.ScaledJob != nil {
		r.scaledJob(p.Child("scaledJob"), k.ScaledJob)
	}
}

func (r *report) scaledObject(p *field.Path, s *KedaScaledObject, minimum int32) {
	r.least(p.Child("pollingInterval"), s.PollingInterval, 0)
	r.least(p.Child("cooldownPeriod"), s.CooldownPeriod, 0)
	r.least(p.Child("initialCooldownPeriod"), s.InitialCooldownPeriod, 0)
	r.least(p.Child("idleReplicaCount"), s.IdleReplicaCount, 0)
	if idle := s.IdleReplicaCount; idle != nil && *idle >= minimum {
		r.invalid(p.Child("idleReplicaCount"), *idle, fmt.Sprintf("must be less than minReplicas, which is %d", minimum))
	}
	if f := s.Fallback; f != nil {
		p := p.Child("fallback")
		r.least(p.Child("failureThreshold"), &f.FailureThreshold, 1)
		r.least(p.Child("replicas"), &f.Replicas, 0)
		if f.Behavior != "" {
			r.oneOf(p.Child("behavior"), f.Behavior, FallbackStatic, FallbackCurrentReplicas, FallbackCurrentReplicasIfHigher,
				FallbackCurrentReplicasIfLower, FallbackScalingModifiers)
		}
	}
	if s.Advanced != nil {
		r.advanced(p.Child("advanced"), s)
	}
}

func (r *report) advanced(p *field.Path, s *KedaScaledObject) {
	advanced := ScaledObjectAdvanced{}
	unknown, err := s.Advanced.Decode(&advanced)
	if err != nil {
		r.invalid(p, field.OmitValueType{}, err.Error())
		return
	}
	for _, u := range unknown {
		r.warn(p, "%v; it is handed on to KEDA as it is", u)
	}
	if c := advanced.HorizontalPodAutoscalerConfig; c != nil && c.Behavior != nil {
		p := p.Child("horizontalPodAutoscalerConfig", "behavior")
		r.scalingRules(p.Child("scaleUp"), c.Behavior.ScaleUp)
		r.scalingRules(p.Child("scaleDown"), c.Behavior.ScaleDown)
	}
}

func (r *report) scalingRules(p *field.Path, s *autoscalingv2.HPAScalingRules) {
	if s == nil {
		return
	}
	if w := s.StabilizationWindowSeconds; w != nil && (*w < 0 || *w > 3600) {
		r.invalid(p.Child("stabilizationWindowSeconds"), *w, "must be between 0 and 3600")
	}
	if s.SelectPolicy != nil {
		r.oneOf(p.Child("selectPolicy"), string(*s.SelectPolicy), "Max", "Min", "Disabled")
	}
	for i := range s.Policies {
		p := p.Child("policies").Index(i)
		r.oneOf(p.Child("type"), string(s.Policies[i].Type), "Pods", "Percent")
		r.least(p.Child("periodSeconds"), &s.Policies[i].PeriodSeconds, 0)
	}
}

func (r *report) scaledJob(p *field.Path, s *KedaScaledJob) {
	if s.RestartPolicy != nil {
		r.oneOf(p.Child("restartPolicy"), *s.RestartPolicy, "Always", "OnFailure", "Never")
	}
	r.least(p.Child("pollingInterval"), s.PollingInterval, 0)
	r.least(p.Child("successfulJobsHistoryLimit"), s.SuccessfulJobsHistoryLimit, 0)
	r.least(p.Child("failedJobsHistoryLimit"), s.FailedJobsHistoryLimit, 0)
	p = p.Child("scalingStrategy")
	st := &s.ScalingStrategy
	if st.Strategy != "" {
		r.oneOf(p.Child("strategy"), st.Strategy, "default", "custom", "accurate", "eager")
	}
	r.least(p.Child("customScalingQueueLengthDeduction"), st.CustomScalingQueueLengthDeduction, 0)
	if st.Strategy != "custom" {
		return
	}
	if st.CustomScalingQueueLengthDeduction == nil {
		r.required(p.Child("customScalingQueueLengthDeduction"), "the strategy custom needs it")
	}
	if ok, err := regexp.MatchString(percentage, st.CustomScalingRunningJobPercentage); err != nil || !ok {
		r.invalid(p.Child("customScalingRunningJobPercentage"), st.CustomScalingRunningJobPercentage, `must be a percentage such as "50%"`)
	}
}

// pause checks the annotations that pause the scaling by triggers.
func (r *report) pause(p *field.Path, annotations map[string]string) {
	if v, ok := annotations[AnnotationPaused]; ok && v != "true" && v != "false" {
		r.invalid(p.Key(AnnotationPaused), v, `must be "true" or "false"`)
	}
	if v, ok := annotations[AnnotationPausedReplicas]; ok {
		if n, err := strconv.ParseInt(v, 10, 32); err != nil || n < 0 {
			r.invalid(p.Key(AnnotationPausedReplicas), v, "must be a number of 0 or more")
		}
	}
}

func value(v *int32, def int32) int32 {
	if v == nil {
		return def
	}
	return *v
}
