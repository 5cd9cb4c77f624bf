package run

import (
	"context"
	"log/slog"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/run"
)

// PlatformEnv is the part of a revision's environment that the platform gives, wherever it runs; see platformEnv.
func PlatformEnv(ctx context.Context, c client.Client, log *slog.Logger, s *v1beta2.Serving) ([]run.EnvVar, error) {
	return NewController(c, Options{Log: log}).platformEnv(ctx, s)
}
