package run

import (
	"context"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/daprapp"
	"github.com/openfunction/ofn/internal/run"
)

// PlatformEnv is the part of a revision's environment that the platform gives on a cluster; see platformEnv. Its components are called
// as daprapp.ObjectName says.
func PlatformEnv(ctx context.Context, c client.Client, log *slog.Logger, s *v1beta2.Serving) ([]run.EnvVar, error) {
	return NewController(c, Options{Log: log, ComponentName: daprapp.ObjectName}).platformEnv(ctx, s)
}

// PlatformDefaults are what a ConfigMap gives every function, by its keys, as it is written; empty for one that is not the platform's.
func PlatformDefaults(m *corev1.ConfigMap) map[string]string {
	out := map[string]string{}
	if m.Namespace != configNamespace || m.Name != configName {
		return out
	}
	for _, key := range append(hookKeys(), tracingKeys()...) {
		if text, ok := m.Data[key]; ok {
			out[key] = text
		}
	}
	return out
}

// hookKeys and tracingKeys are those of the platform's ConfigMap, of which the first that is there counts.
func hookKeys() []string    { return []string{"hooks", "plugins"} }
func tracingKeys() []string { return []string{"tracing", "plugins.tracing"} }
