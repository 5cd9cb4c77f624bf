package run

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/openfunction/ofn/internal/control/secret"
	"github.com/openfunction/ofn/internal/run"
)

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
		if !path.IsAbs(m.MountPath) {
			return nil, &invalid{"InvalidVolume", fmt.Errorf("volumeMounts of %q: mountPath %q must begin with \"/\"", m.Name, m.MountPath)}
		}
		if m.SubPathExpr != "" {
			return nil, unsupported("volumeMounts of %q: subPathExpr is not supported on one machine; use subPath", m.Name)
		}
		files, err := c.volume(ctx, namespace, v, m)
		if err != nil {
			return nil, err
		}
		out = append(out, files...)
	}
	slices.SortStableFunc(out, func(a, b run.File) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

func (c *Controller) volume(ctx context.Context, namespace string, v corev1.Volume, m corev1.VolumeMount) ([]run.File, error) {
	switch {
	case v.Secret != nil:
		return c.keys(ctx, namespace, mounted{kind: "secret", name: v.Secret.SecretName, items: v.Secret.Items, mode: v.Secret.DefaultMode, optional: v.Secret.Optional, mount: m})
	case v.ConfigMap != nil:
		return c.keys(ctx, namespace, mounted{kind: "configmap", name: v.ConfigMap.Name, items: v.ConfigMap.Items, mode: v.ConfigMap.DefaultMode, optional: v.ConfigMap.Optional, mount: m})
	case v.EmptyDir != nil:
		if l := v.EmptyDir.SizeLimit; l != nil && !l.IsZero() {
			return nil, unsupported("volume %q: emptyDir.sizeLimit cannot be enforced on one machine", v.Name)
		}
		return []run.File{{Path: path.Join(m.MountPath, ".keep"), Mode: 0o444}}, nil
	case v.Projected != nil:
		return c.projected(ctx, namespace, v, m)
	default:
		return nil, unsupported("volume %q is of a kind that one machine does not support; secret, configMap, projected and emptyDir are", v.Name)
	}
}

func (c *Controller) projected(ctx context.Context, namespace string, v corev1.Volume, m corev1.VolumeMount) ([]run.File, error) {
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
}

// mounted is a secret or configmap mounted into a container.
type mounted struct {
	kind, name string
	items      []corev1.KeyToPath
	mode       *int32
	optional   *bool
	mount      corev1.VolumeMount
}

func (c *Controller) keys(ctx context.Context, namespace string, m mounted) ([]run.File, error) {
	data, err := secret.Data(ctx, c.client, namespace, m.kind, m.name)
	if err != nil {
		return nil, unlessOptional(err, m.optional)
	}
	mode := uint32(0o444)
	if m.mode != nil {
		mode = uint32(*m.mode)
	}
	items := m.items
	if len(items) == 0 {
		for k := range data {
			items = append(items, corev1.KeyToPath{Key: k, Path: k})
		}
	}
	var out []run.File
	for _, i := range items {
		v, ok := data[i.Key]
		if !ok {
			if m.optional != nil && *m.optional {
				continue
			}
			return nil, asInvalid(&secret.Missing{Message: fmt.Sprintf("%s %q has no key %q", m.kind, m.name, i.Key)})
		}
		f := run.File{Data: v, Mode: mode}
		if f.Path, ok = m.path(i.Path); !ok {
			continue
		}
		if i.Mode != nil {
			f.Mode = uint32(*i.Mode)
		}
		out = append(out, f)
	}
	if len(out) == 0 && m.mount.SubPath != "" && (m.optional == nil || !*m.optional) {
		return nil, asInvalid(&secret.Missing{Message: fmt.Sprintf("%s %q has nothing at subPath %q", m.kind, m.name, m.mount.SubPath)})
	}
	return out, nil
}

// path is where the item of a path inside the volume is mounted; false when the subPath leaves it out.
func (m *mounted) path(item string) (string, bool) {
	item = path.Clean("/" + item) // never above the mount
	if m.mount.SubPath == "" {
		return path.Join(m.mount.MountPath, item), true
	}
	rest, ok := strings.CutPrefix(item, path.Clean("/"+m.mount.SubPath))
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return path.Join(m.mount.MountPath, rest), true
}
