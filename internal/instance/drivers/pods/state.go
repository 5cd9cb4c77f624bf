package pods

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/internal/instance"
)

// podOf is a new pod of a revision.
func podOf(t *corev1.PodTemplate, name string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: t.Namespace, Name: name}, Spec: *t.Template.Spec.DeepCopy()}
	Own(p, t)
	return p
}

// Own makes a pod one of a revision.
func Own(p *corev1.Pod, t *corev1.PodTemplate) {
	if p.Labels == nil {
		p.Labels = map[string]string{}
	}
	if p.Annotations == nil {
		p.Annotations = map[string]string{}
	}
	maps.Copy(p.Labels, t.Template.Labels)
	maps.Copy(p.Annotations, t.Template.Annotations)
	p.Labels[LabelRevision] = t.Name
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "PodTemplate", Name: t.Name, UID: t.UID, Controller: new(true)}}
}

// ended tells how the function's container of a pod ended, with its last words, if it has; a pod that somebody deletes has ended as
// asked for.
func ended(p *corev1.Pod, container string) (exit instance.Exit, words string, over bool) {
	if !p.DeletionTimestamp.IsZero() {
		return instance.Exit{Requested: true}, "", true
	}
	i := slices.IndexFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.Name == container })
	if i >= 0 {
		if t := p.Status.ContainerStatuses[i].State.Terminated; t != nil {
			exit = instance.Exit{Code: int(t.ExitCode), OutOfMemory: t.Reason == "OOMKilled"}
			if t.Signal != 0 {
				exit.Signal = fmt.Sprint(t.Signal)
			}
			return exit, t.Message, true
		}
	}
	if p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded { // evicted, or refused by its node
		exit.Code, exit.Cause = -1, fmt.Errorf("pod %s is %s%s", p.Name, p.Status.Phase, sayings(p))
		if p.Status.Reason != "" {
			exit.Cause = &reasoned{p.Status.Reason, exit.Cause}
		}
		return exit, "", true
	}
	if err := stuck(p); err != nil {
		return instance.Exit{Code: -1, Cause: err}, "", true
	}
	return instance.Exit{}, "", false
}

// reasoned is an error that names its reason in a word and will not go away by itself.
type reasoned struct {
	reason string
	error
}

// Reason is the word.
func (r *reasoned) Reason() string { return r.reason }

// Unwrap is the cause.
func (r *reasoned) Unwrap() error { return r.error }

// hopeless are reasons for which a container waits, and what they mean to the user. Others pass.
var hopeless = map[string]string{ //nolint:gochecknoglobals // a table
	"ErrImagePull": "ImagePullFailed", "ImagePullBackOff": "ImagePullFailed", "InvalidImageName": "ImagePullFailed", "ErrImageNeverPull": "ImagePullFailed",
	"RegistryUnavailable": "ImagePullFailed", "SignatureValidationFailed": "ImagePullFailed",
	"CreateContainerConfigError": "InvalidContainer", "CreateContainerError": "InvalidContainer", "RunContainerError": "InvalidContainer",
}

// stuck says why a container of a pod will not run; nil while it may.
func stuck(p *corev1.Pod) error {
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if w := c.State.Waiting; w != nil && hopeless[w.Reason] != "" {
			return &reasoned{hopeless[w.Reason], fmt.Errorf("container %s of pod %s: %s: %s", c.Name, p.Name, w.Reason, w.Message)}
		}
	}
	return nil
}

// sayings are what a pod says of itself, for a message; empty for nothing.
func sayings(p *corev1.Pod) string {
	if p == nil {
		return ""
	}
	if p.Status.Message != "" {
		return " (" + p.Status.Message + ")"
	}
	for _, c := range p.Status.Conditions {
		if c.Status != corev1.ConditionTrue && c.Message != "" {
			return fmt.Sprintf(" (%s: %s)", c.Reason, c.Message)
		}
	}
	return ""
}

// refused explains why the API server did not take a pod.
func refused(err error) error {
	err = fmt.Errorf("making a pod: %w", err)
	if apierrors.IsForbidden(err) {
		return &reasoned{"Forbidden", err} // a quota, or a policy for pods
	}
	if apierrors.IsInvalid(err) {
		return &reasoned{"InvalidContainer", err}
	}
	return err
}
