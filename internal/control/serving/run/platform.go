package run

import (
	"context"
	"log/slog"

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
