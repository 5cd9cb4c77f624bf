package v1beta2

import (
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/openfunction/ofn/api/opaque"
)

// PodSpec reads the pod template. Without one the result is an empty PodSpec, never nil. Fields that PodSpec does not
// have are skipped; admission has warned of them.
func (t *ServingTemplate) PodSpec() (*corev1.PodSpec, error) {
	pod := &corev1.PodSpec{}
	if t == nil || t.Template == nil {
		return pod, nil
	}
	if _, err := t.Template.Decode(pod); err != nil {
		return nil, fmt.Errorf("reading template as a PodSpec: %w", err)
	}
	return pod, nil
}

// SetPodSpec replaces the pod template.
func (t *ServingTemplate) SetPodSpec(pod *corev1.PodSpec) error {
	o, err := opaque.Of(pod)
	if err != nil {
		return fmt.Errorf("writing template: %w", err)
	}
	t.Template = &o
	return nil
}

// Container is the container named FunctionContainer of a pod template, or an empty one of that name when the template
// has none. It is a copy.
func Container(pod *corev1.PodSpec) corev1.Container {
	for i := range pod.Containers {
		if pod.Containers[i].Name == FunctionContainer {
			return *pod.Containers[i].DeepCopy()
		}
	}
	return corev1.Container{Name: FunctionContainer}
}

// ScaledObjectAdvanced is the section "advanced" of a KEDA ScaledObject, as far as it is checked here.
//
// +kubebuilder:object:generate=false
type ScaledObjectAdvanced struct {
	// RestoreToOriginalReplicaCount when the ScaledObject goes.
	RestoreToOriginalReplicaCount bool `json:"restoreToOriginalReplicaCount,omitempty"`
	// HorizontalPodAutoscalerConfig steers the HPA that KEDA makes.
	HorizontalPodAutoscalerConfig *HPAConfig `json:"horizontalPodAutoscalerConfig,omitempty"`
	// ScalingModifiers combine several metrics.
	ScalingModifiers *opaque.Object `json:"scalingModifiers,omitempty"`
}

// HPAConfig steers the HPA that KEDA makes.
//
// +kubebuilder:object:generate=false
type HPAConfig struct {
	// Name of the HPA.
	Name string `json:"name,omitempty"`
	// Behavior of its scaling.
	Behavior *autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior,omitempty"`
}

// AdvancedConfig reads the section "advanced"; nil when there is none.
func (s *KedaScaledObject) AdvancedConfig() (*ScaledObjectAdvanced, error) {
	if s == nil || s.Advanced == nil {
		return nil, nil
	}
	out := &ScaledObjectAdvanced{}
	if _, err := s.Advanced.Decode(out); err != nil {
		return nil, fmt.Errorf("reading scaledObject.advanced: %w", err)
	}
	return out, nil
}
