package podstatus

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// Trouble is why pods do not become ready. The zero value is none.
type Trouble struct {
	Reason, Message string
	// Fatal is whether waiting alone will hardly help.
	Fatal bool
	// Restarts of the container that has most of them.
	Restarts int
}

// Find looks for what keeps pods from becoming ready, in the newest one that has any. Pods that are over, such as evicted ones, were
// replaced: they count only when there is no other.
func Find(pods []corev1.Pod) Trouble {
	over := func(p corev1.Pod) bool {
		return p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
	}
	pods = slices.Clone(pods)
	if slices.ContainsFunc(pods, func(p corev1.Pod) bool { return !over(p) && p.DeletionTimestamp.IsZero() }) {
		pods = slices.DeleteFunc(pods, over)
	}
	slices.SortStableFunc(pods, func(a, b corev1.Pod) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
	var found Trouble
	for i := range pods {
		p := &pods[i]
		if !p.DeletionTimestamp.IsZero() {
			continue
		}
		t := ofPod(p)
		t.Restarts = max(t.Restarts, found.Restarts)
		if found.Reason != "" {
			t.Reason, t.Message, t.Fatal = found.Reason, found.Message, found.Fatal
		}
		found = t
	}
	return found
}

func ofPod(p *corev1.Pod) Trouble {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return Trouble{Reason: ReasonUnschedulable, Message: "no node takes a pod of it: " + c.Message}
		}
	}
	if p.Status.Phase == corev1.PodFailed {
		return Trouble{Reason: cmp.Or(p.Status.Reason, ReasonCrashed), Message: cmp.Or(p.Status.Message, "its pod "+p.Name+" failed"), Fatal: true}
	}
	statuses := slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses)
	// The function's own container comes first: when it does not start, another's failure is often only the consequence.
	slices.SortStableFunc(statuses, func(a, b corev1.ContainerStatus) int { return rank(a) - rank(b) })
	var found Trouble
	for _, s := range statuses {
		t := ofContainer(s)
		t.Restarts = max(int(s.RestartCount), found.Restarts)
		if found.Reason != "" {
			t.Reason, t.Message, t.Fatal = found.Reason, found.Message, found.Fatal
		}
		found = t
	}
	return found
}

func rank(s corev1.ContainerStatus) int {
	if s.Name == v1beta2.FunctionContainer {
		return 0
	}
	return 1
}

func ofContainer(s corev1.ContainerStatus) Trouble {
	if s.Ready {
		return Trouble{}
	}
	if w := s.State.Waiting; w != nil {
		switch w.Reason {
		case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable":
			return Trouble{Reason: ReasonImagePull, Fatal: true,
				Message: fmt.Sprintf("the image %s of container %s cannot be pulled: %s; check its name and tag, and spec.imageCredentials when its registry wants a password", s.Image, s.Name, cmp.Or(w.Message, w.Reason))}
		case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
			return Trouble{Reason: ReasonConfig, Fatal: true, Message: fmt.Sprintf("container %s cannot be started: %s", s.Name, cmp.Or(w.Message, w.Reason))}
		}
	}
	ended := s.State.Terminated
	if ended == nil {
		ended = s.LastTerminationState.Terminated
	}
	if ended == nil || ended.ExitCode == 0 && s.State.Waiting == nil {
		return Trouble{}
	}
	return crashed(s.Name, ended)
}

func crashed(container string, e *corev1.ContainerStateTerminated) Trouble {
	if e.Reason == "OOMKilled" {
		return Trouble{Reason: ReasonOutOfMemory, Fatal: true, Message: fmt.Sprintf("container %s needed more memory than its limit; raise resources.limits.memory in serving.template", container)}
	}
	message := fmt.Sprintf("container %s ended with code %d", container, e.ExitCode)
	if e.Signal != 0 {
		message = fmt.Sprintf("container %s was ended by signal %d", container, e.Signal)
	}
	if last := strings.TrimSpace(e.Message); last != "" {
		message += "; it said last: " + last
	}
	return Trouble{Reason: ReasonCrashed, Message: message, Fatal: true}
}

// Refusal is the reason for which the cluster refused a pod, by its words: there is nothing else to know it by, in a condition as in an
// error, which is Forbidden for all of them.
func Refusal(message string) string {
	for _, r := range []struct{ words, reason string }{
		{"exceeded quota", ReasonQuota},
		{"failed quota", ReasonQuota}, // it must name requests and limits that a quota counts
		{"usage per Container is", ReasonLimit},
		{"usage per Pod is", ReasonLimit},
		{"limit to request ratio per", ReasonLimit},
		{"violates PodSecurity", ReasonPodSecurity},
		{"error looking up service account", ReasonAccount},
		{"RuntimeClass", ReasonRuntimeClass},
	} {
		if strings.Contains(message, r.words) {
			return r.reason
		}
	}
	return ReasonRefused
}

// Strip leaves of a pod what this package reads. As the transformation of a cache it keeps the templates, many times as large, out
// of memory.
func Strip(o any) (any, error) {
	p, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	out := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.UID, ResourceVersion: p.ResourceVersion,
		Labels: p.Labels, CreationTimestamp: p.CreationTimestamp, DeletionTimestamp: p.DeletionTimestamp, OwnerReferences: p.OwnerReferences}}
	out.Status = corev1.PodStatus{Phase: p.Status.Phase, Reason: p.Status.Reason, Message: p.Status.Message, PodIP: p.Status.PodIP,
		Conditions: p.Status.Conditions, InitContainerStatuses: p.Status.InitContainerStatuses, ContainerStatuses: p.Status.ContainerStatuses}
	return out, nil
}
