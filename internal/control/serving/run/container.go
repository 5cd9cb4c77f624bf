package run

import (
	"context"
	"sort"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run"
)

// container translates the user's container. A setting that one machine cannot honour is an error, never ignored.
func (c *Controller) container(ctx context.Context, s *v1beta2.Serving, pod *corev1.PodSpec, user corev1.Container, port int) (run.Container, error) {
	out := run.Container{Command: user.Command, Args: user.Args, WorkingDir: user.WorkingDir}
	if err := security(&out, pod, &user); err != nil {
		return out, err
	}
	limits(&out, user.Resources)
	var err error
	if out.Env, err = c.env(ctx, s, user); err != nil {
		return out, err
	}
	if out.Files, err = c.files(ctx, s.Namespace, pod, user); err != nil {
		return out, err
	}
	out.Probe, err = probe(user.ReadinessProbe, port)
	return out, err
}

func security(out *run.Container, pod *corev1.PodSpec, user *corev1.Container) error {
	if pod.HostNetwork || pod.HostPID || pod.HostIPC {
		return unsupported("template.hostNetwork, hostPID and hostIPC would break the isolation of functions and are refused")
	}
	if p := pod.SecurityContext; p != nil {
		out.UID, out.GID = p.RunAsUser, p.RunAsGroup
	}
	x := user.SecurityContext
	if x == nil {
		return nil
	}
	if x.RunAsUser != nil {
		out.UID = x.RunAsUser
	}
	if x.RunAsGroup != nil {
		out.GID = x.RunAsGroup
	}
	if x.Privileged != nil && *x.Privileged {
		return unsupported("securityContext.privileged is refused: a function runs without privileges")
	}
	if x.Capabilities != nil && len(x.Capabilities.Add) > 0 {
		return unsupported("securityContext.capabilities.add is refused: a function runs without capabilities")
	}
	out.ReadOnlyRoot = x.ReadOnlyRootFilesystem != nil && *x.ReadOnlyRootFilesystem
	return nil
}

func limits(out *run.Container, r corev1.ResourceRequirements) {
	get := func(name corev1.ResourceName) *resource.Quantity {
		if q, ok := r.Limits[name]; ok {
			return &q
		}
		return &resource.Quantity{}
	}
	out.Memory = get(corev1.ResourceMemory).Value()
	out.CPU = get(corev1.ResourceCPU).MilliValue()
	out.PIDs = get("pids").Value()
}

// files are the keys of mounted secrets and configmaps. An emptyDir needs nothing: the root of a copy is its own and writable.
func (c *Controller) files(ctx context.Context, namespace string, pod *corev1.PodSpec, user corev1.Container) ([]run.File, error) {
	volumes := map[string]corev1.Volume{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = v
	}
	var out []run.File
	for _, m := range user.VolumeMounts {
		v, ok := volumes[m.Name]
		if !ok {
			return nil, unsupported("volumeMounts names volume %q, which template.volumes does not have", m.Name)
		}
		files, err := c.volume(ctx, namespace, v, m)
		if err != nil {
			return nil, err
		}
		out = append(out, files...)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out, nil
}

func (c *Controller) volume(ctx context.Context, namespace string, v corev1.Volume, m corev1.VolumeMount) ([]run.File, error) {
	switch {
	case v.Secret != nil:
		return c.keys(ctx, namespace, mounted{kind: "secret", name: v.Secret.SecretName, items: v.Secret.Items, mode: v.Secret.DefaultMode, optional: v.Secret.Optional, mount: m})
	case v.ConfigMap != nil:
		return c.keys(ctx, namespace, mounted{kind: "configmap", name: v.ConfigMap.Name, items: v.ConfigMap.Items, mode: v.ConfigMap.DefaultMode, optional: v.ConfigMap.Optional, mount: m})
	case v.EmptyDir != nil:
		return []run.File{{Path: m.MountPath + "/.keep", Mode: 0o444}}, nil
	case v.Projected != nil:
		var out []run.File
		for _, p := range v.Projected.Sources {
			var part []run.File
			var err error
			switch {
			case p.Secret != nil:
				part, err = c.keys(ctx, namespace, mounted{kind: "secret", name: p.Secret.Name, items: p.Secret.Items, mode: v.Projected.DefaultMode, optional: p.Secret.Optional, mount: m})
			case p.ConfigMap != nil:
				part, err = c.keys(ctx, namespace, mounted{kind: "configmap", name: p.ConfigMap.Name, items: p.ConfigMap.Items, mode: v.Projected.DefaultMode, optional: p.ConfigMap.Optional, mount: m})
			default:
				err = unsupported("volume %q projects something other than a secret or configmap, which one machine does not support", v.Name)
			}
			if err != nil {
				return nil, err
			}
			out = append(out, part...)
		}
		return out, nil
	default:
		return nil, unsupported("volume %q is of a kind that one machine does not support; secret, configMap, projected and emptyDir are", v.Name)
	}
}

// probe translates a readiness probe on the serving port.
func probe(p *corev1.Probe, port int) (*run.Probe, error) {
	if p == nil {
		return nil, nil
	}
	out := &run.Probe{InitialDelay: seconds(p.InitialDelaySeconds), Period: seconds(p.PeriodSeconds), Timeout: seconds(p.TimeoutSeconds),
		FailureThreshold: int(p.FailureThreshold), SuccessThreshold: int(p.SuccessThreshold)}
	switch {
	case p.HTTPGet != nil:
		if n := p.HTTPGet.Port.IntValue(); n != 0 && n != port {
			return nil, unsupported("readinessProbe.httpGet.port is %d: only the serving port %d can be probed", n, port)
		}
		out.HTTPPath, out.HTTPHeaders = p.HTTPGet.Path, map[string]string{}
		if out.HTTPPath == "" {
			out.HTTPPath = "/"
		}
		for _, h := range p.HTTPGet.HTTPHeaders {
			out.HTTPHeaders[h.Name] = h.Value
		}
	case p.GRPC != nil:
		out.GRPC = true
	case p.Exec != nil:
		return nil, unsupported("readinessProbe.exec is not supported; use httpGet, grpc or tcpSocket")
	}
	return out, nil
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }
