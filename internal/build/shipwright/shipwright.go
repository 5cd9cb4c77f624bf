// Package shipwright builds with Shipwright: one Build and one BuildRun for each Builder, in the namespace and under the name of
// the Builder. It speaks shipwright.io/v1beta1 with structs of its own.
package shipwright

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/drift"
)

// The group and version of Shipwright's API.
const (
	Group   = "shipwright.io"
	Version = "v1beta1"
)

// Engine makes Builds and BuildRuns.
type Engine struct {
	client   client.Client
	live     client.Reader
	insecure []string
}

// New is an engine over a client that reads from a cache, and a reader that does not. insecure are hosts of registries that images
// are pushed to without TLS.
func New(c client.Client, live client.Reader, insecure []string) *Engine {
	return &Engine{client: c, live: live, insecure: insecure}
}

// Apply makes the build of a Builder that has not ended, or asks for its end when the Builder is cancelled, and says how it stands. It
// is idempotent, and quiet when nothing is to be changed. What the user must mend is a *build.Failure.
func (e *Engine) Apply(ctx context.Context, b *v1beta2.Builder) (build.Progress, error) {
	cancelled := b.Spec.State == v1beta2.BuilderStateCancelled
	run, err := drift.Object(runOf(b, cancelled))
	if err != nil {
		return build.Progress{}, err
	}
	there, err := drift.Read(ctx, e.client, run)
	if err != nil {
		return build.Progress{}, failure(err)
	}
	if there == nil {
		if cancelled {
			return build.Progress{Stage: build.Cancelled, Reason: "Cancelled", Message: "the build was cancelled before it ran"}, nil
		}
		if p, err := e.prepare(ctx, b); err != nil || p.Stage != "" {
			return p, err
		}
	}
	if there, err = drift.Ensure(ctx, e.client, e.live, run); err != nil {
		return build.Progress{}, failure(err)
	}
	return progress(b, there)
}

// prepare makes the Build. The stage is empty when it can be run.
func (e *Engine) prepare(ctx context.Context, b *v1beta2.Builder) (build.Progress, error) {
	declared, missing, err := e.strategy(ctx, b)
	if err != nil || missing.Stage != "" {
		return missing, err
	}
	spec, err := e.buildOf(b, declared)
	if err != nil {
		return build.Progress{}, err
	}
	wanted, err := drift.Object(spec)
	if err != nil {
		return build.Progress{}, err
	}
	made, err := drift.Ensure(ctx, e.client, e.live, wanted)
	if err != nil {
		return build.Progress{}, failure(err)
	}
	var status struct {
		Status struct {
			Registered      metav1.ConditionStatus `json:"registered"`
			Reason, Message string
		} `json:"status"`
	}
	if err := decode(made, &status); err != nil {
		return build.Progress{}, err
	}
	switch s := status.Status; s.Registered {
	case metav1.ConditionTrue:
		return build.Progress{}, nil
	case metav1.ConditionFalse:
		return build.Progress{Stage: build.Waiting, Reason: s.Reason, Message: "Shipwright does not accept the build: " + s.Message, Objects: objects(b)}, nil
	default:
		return build.Progress{Stage: build.Running, Reason: "Registering", Message: "Shipwright has not looked at the build yet", Objects: objects(b)}, nil
	}
}

func objects(b *v1beta2.Builder) map[string]string {
	return map[string]string{v1beta2.RefShipwrightBuild: b.Name, v1beta2.RefShipwrightBuildRun: b.Name}
}

// failure sorts out what the user or the administrator must mend.
func failure(err error) error {
	var taken *drift.Taken
	switch {
	case errors.As(err, &taken):
		return &build.Failure{Reason: "NameTaken", Message: err.Error()}
	case apierrors.IsForbidden(err):
		return &build.Failure{Reason: "Forbidden", Message: err.Error()}
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return &build.Failure{Reason: "RefusedByShipwright", Message: err.Error()}
	default:
		return err
	}
}

// strategyName is the kind and name of the strategy.
func strategyName(b *v1beta2.Builder) (kind, name string) {
	kind, name = v1beta2.ClusterBuildStrategy, v1beta2.DefaultBuildStrategy
	if s := b.Spec.Shipwright; s != nil && s.Strategy != nil && s.Strategy.Name != "" {
		name = s.Strategy.Name
		if s.Strategy.Kind != nil && *s.Strategy.Kind != "" {
			kind = *s.Strategy.Kind
		}
	}
	return kind, name
}

func missingStrategy(kind, name string) build.Progress {
	return build.Progress{Stage: build.Waiting, Reason: kind + "NotFound",
		Message: fmt.Sprintf("there is no %s %q: apply one of that name, or name another in build.shipwright.strategy", kind, name)}
}
