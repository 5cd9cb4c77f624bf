package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run"
)

// resourcePIDs limits the number of processes; Kubernetes has no name for it.
const resourcePIDs corev1.ResourceName = "pids"

// user is the user's container of the template. Others are refused: on one machine a copy is one process tree.
func user(pod *corev1.PodSpec) (corev1.Container, error) {
	if len(pod.InitContainers) > 0 {
		return corev1.Container{}, unsupported("template.initContainers are not supported on one machine; move their work into the image")
	}
	for i := range pod.Containers {
		if pod.Containers[i].Name != v1beta2.FunctionContainer {
			return corev1.Container{}, unsupported("template.containers has %q: only the container named %q runs on one machine", pod.Containers[i].Name, v1beta2.FunctionContainer)
		}
	}
	return v1beta2.Container(pod), nil
}

// container translates the user's container. A setting that one machine cannot honour is an error, never ignored; what has no
// meaning on one machine (where to schedule, as which service account, when to restart) is.
func (c *Controller) container(ctx context.Context, s *v1beta2.Serving, pod *corev1.PodSpec, user corev1.Container, port int) (run.Container, error) {
	out := run.Container{Command: user.Command, Args: user.Args, WorkingDir: user.WorkingDir}
	if err := security(&out, pod, &user); err != nil {
		return out, err
	}
	if err := limits(&out, user.Resources.Limits); err != nil {
		return out, err
	}
	var err error
	if out.Env, err = c.env(ctx, s, user); err != nil {
		return out, err
	}
	if out.Files, err = c.files(ctx, s.Namespace, pod, user); err != nil {
		return out, err
	}
	return out, probes(&out, &user, port)
}

func security(out *run.Container, pod *corev1.PodSpec, user *corev1.Container) error {
	switch {
	case pod.HostNetwork || pod.HostPID || pod.HostIPC:
		return unsupported("template.hostNetwork, hostPID and hostIPC would break the isolation of functions and are refused")
	case len(pod.HostAliases) > 0:
		return unsupported("template.hostAliases is not supported on one machine")
	case user.Lifecycle != nil:
		return unsupported("lifecycle of container %q is not supported on one machine; handle SIGTERM instead of preStop", user.Name)
	case len(user.VolumeDevices) > 0:
		return unsupported("volumeDevices of container %q is not supported on one machine", user.Name)
	}
	var nonRoot *bool
	if p := pod.SecurityContext; p != nil {
		if len(p.Sysctls) > 0 {
			return unsupported("template.securityContext.sysctls is not supported on one machine")
		}
		out.UID, out.GID, nonRoot = p.RunAsUser, p.RunAsGroup, p.RunAsNonRoot
	}
	if x := user.SecurityContext; x != nil {
		if x.Privileged != nil && *x.Privileged {
			return unsupported("securityContext.privileged is refused: a function runs without privileges")
		}
		if x.Capabilities != nil && len(x.Capabilities.Add) > 0 {
			return unsupported("securityContext.capabilities.add is refused: a function runs without capabilities")
		}
		out.UID, out.GID, nonRoot = override(out.UID, x.RunAsUser), override(out.GID, x.RunAsGroup), override(nonRoot, x.RunAsNonRoot)
		out.ReadOnlyRoot = x.ReadOnlyRootFilesystem != nil && *x.ReadOnlyRootFilesystem
	}
	if nonRoot != nil && *nonRoot && (out.UID == nil || *out.UID == 0) {
		return &invalid{"RunAsNonRoot", errors.New("securityContext.runAsNonRoot is set: give a runAsUser other than 0")}
	}
	return nil
}

func override[T any](general, own *T) *T {
	if own != nil {
		return own
	}
	return general
}

// limits takes over what the sandbox enforces. What is only requested needs no place kept on one machine.
func limits(out *run.Container, r corev1.ResourceList) error {
	for _, name := range slices.Sorted(maps.Keys(r)) {
		q := r[name]
		if q.Sign() < 0 {
			return &invalid{"InvalidLimit", fmt.Errorf("resources.limits.%s is %s: it must not be negative", name, q.String())}
		}
		switch name {
		case corev1.ResourceMemory:
			out.Memory = q.Value()
		case corev1.ResourceCPU:
			out.CPU = q.MilliValue()
		case resourcePIDs:
			out.PIDs = q.Value()
		default:
			if !q.IsZero() {
				return unsupported("resources.limits.%s cannot be enforced on one machine; cpu, memory and %s can", name, resourcePIDs)
			}
		}
	}
	return nil
}
