package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/secret"
	"github.com/openfunction/ofn/internal/run"
)

// env is the environment. As in a pod the container's envFrom gives way to everything else; then come, later entries winning,
// the platform's variables, params, and the container's own, whose $(NAME) are expanded. The node adds POD_NAME and its like
// to each copy.
func (c *Controller) env(ctx context.Context, s *v1beta2.Serving, user corev1.Container) ([]run.EnvVar, error) {
	var list []run.EnvVar
	for _, from := range user.EnvFrom {
		more, err := c.envFrom(ctx, s.Namespace, from)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	own, err := c.platformEnv(ctx, s)
	if err != nil {
		return nil, err
	}
	list = append(list, own...)
	for _, k := range slices.Sorted(maps.Keys(s.Spec.Params)) {
		list = append(list, run.EnvVar{Name: k, Value: expand(s.Spec.Params[k], list)})
	}
	for _, e := range user.Env {
		value, ok, err := c.envValue(ctx, s, e, list)
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, run.EnvVar{Name: e.Name, Value: value})
		}
	}
	return list, executable(list)
}

// executable refuses what no process can be given.
func executable(env []run.EnvVar) error {
	for _, e := range env {
		if e.Name == "" || strings.ContainsAny(e.Name, "=\x00") || strings.ContainsRune(e.Value, 0) {
			return &invalid{"InvalidEnvironment", fmt.Errorf("environment variable %q: a name must not be empty nor hold \"=\", and neither name nor value a zero byte", e.Name)}
		}
	}
	return nil
}

func (c *Controller) envFrom(ctx context.Context, namespace string, from corev1.EnvFromSource) ([]run.EnvVar, error) {
	var kind, name string
	var optional *bool
	switch {
	case from.SecretRef != nil:
		kind, name, optional = "secret", from.SecretRef.Name, from.SecretRef.Optional
	case from.ConfigMapRef != nil:
		kind, name, optional = "configmap", from.ConfigMapRef.Name, from.ConfigMapRef.Optional
	default:
		return nil, nil
	}
	data, err := secret.Data(ctx, c.client, namespace, kind, name)
	if err != nil {
		return nil, unlessOptional(err, optional)
	}
	var out []run.EnvVar
	for _, k := range slices.Sorted(maps.Keys(data)) {
		out = append(out, run.EnvVar{Name: from.Prefix + k, Value: string(data[k])})
	}
	return out, nil
}

// envValue resolves one variable; false means that an optional reference is not there.
func (c *Controller) envValue(ctx context.Context, s *v1beta2.Serving, e corev1.EnvVar, before []run.EnvVar) (string, bool, error) {
	from := e.ValueFrom
	if from == nil {
		return expand(e.Value, before), true, nil
	}
	var kind, name, key string
	var optional *bool
	switch {
	case from.SecretKeyRef != nil:
		kind, name, key, optional = "secret", from.SecretKeyRef.Name, from.SecretKeyRef.Key, from.SecretKeyRef.Optional
	case from.ConfigMapKeyRef != nil:
		kind, name, key, optional = "configmap", from.ConfigMapKeyRef.Name, from.ConfigMapKeyRef.Key, from.ConfigMapKeyRef.Optional
	case from.FieldRef != nil:
		v, err := field(s, from.FieldRef.FieldPath)
		return v, true, err
	default:
		return "", false, unsupported("env %q: its valueFrom is not supported; secretKeyRef, configMapKeyRef and fieldRef are", e.Name)
	}
	v, err := secret.Value(ctx, c.client, s.Namespace, kind, name, key)
	if err != nil {
		return "", false, unlessOptional(err, optional)
	}
	return string(v), true, nil
}

func unlessOptional(err error, optional *bool) error {
	var missing *secret.Missing
	if errors.As(err, &missing) && optional != nil && *optional {
		return nil
	}
	return asInvalid(err)
}

// field reads what the downward API would, as far as it is the same for every copy. "$(POD_NAME)" is filled in per copy.
func field(s *v1beta2.Serving, path string) (string, error) {
	switch path {
	case "metadata.namespace":
		return s.Namespace, nil
	case "metadata.name":
		return "$(POD_NAME)", nil
	case "spec.nodeName", "spec.serviceAccountName":
		return "", nil
	case "status.podIP", "status.hostIP":
		return "127.0.0.1", nil
	}
	if key, ok := subscript(path, "metadata.labels"); ok {
		return labels(s)[key], nil
	}
	if key, ok := subscript(path, "metadata.annotations"); ok {
		return s.Spec.Annotations[key], nil
	}
	return "", unsupported("fieldRef %q is not supported on one machine", path)
}

// subscript is the KEY of path when it is of['KEY'].
func subscript(path, of string) (string, bool) {
	key, ok := strings.CutPrefix(path, of+"['")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(key, "']")
}

// labels are those a pod of the revision has.
func labels(s *v1beta2.Serving) map[string]string {
	out := map[string]string{v1beta2.LabelFunction: s.Labels[v1beta2.LabelFunction], v1beta2.LabelServing: s.Name, v1beta2.LabelVersion: version(s)}
	maps.Copy(out, s.Spec.Labels)
	return out
}

// expand replaces $(NAME) by earlier variables as Kubernetes does: unknown names stay, "$$" is one "$".
func expand(value string, before []run.EnvVar) string {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] != '$' || i+1 == len(value) {
			b.WriteByte(value[i])
			continue
		}
		end := strings.IndexByte(value[i:], ')')
		switch {
		case value[i+1] == '$':
			b.WriteByte('$')
			i++
		case value[i+1] == '(' && end > 0:
			name := value[i+2 : i+end]
			b.WriteString(lookup(before, name))
			i += end
		default:
			b.WriteByte('$')
		}
	}
	return b.String()
}

func lookup(env []run.EnvVar, name string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if env[i].Name == name {
			return env[i].Value
		}
	}
	return "$(" + name + ")"
}
