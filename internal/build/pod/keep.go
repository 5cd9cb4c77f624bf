package pod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/drift"
)

// Ran is whether the object of a build was ever made. One that is cancelled before is not made for that.
func Ran(ctx context.Context, live client.Reader, wanted *unstructured.Unstructured) (bool, error) {
	there, err := drift.Read(ctx, live, wanted)
	return there != nil, failure(err)
}

// NeverRan is how a build stands that was cancelled before it was made.
func NeverRan() build.Progress {
	return build.Progress{Stage: build.Cancelled, Reason: "Cancelled", Message: "the build was cancelled before it ran"}
}

// Keep makes an object that is to run once, and mends of one that is there only what may still change: an operator with another
// builder image leaves the builds that run alone. It returns the object as it is then. What the user must mend is a *build.Failure.
func Keep(ctx context.Context, c client.Client, live client.Reader, wanted *unstructured.Unstructured, mutable map[string]any) (*unstructured.Unstructured, error) {
	current, err := drift.Read(ctx, c, wanted)
	if err != nil {
		return nil, failure(err)
	}
	if current == nil {
		if current, err = drift.Read(ctx, live, wanted); err != nil {
			return nil, failure(err)
		}
	}
	if current == nil {
		made, err := drift.Ensure(ctx, c, live, wanted)
		return made, failure(err)
	}
	if !current.GetDeletionTimestamp().IsZero() || drift.Holds(mutable, current.Object) {
		return current, nil
	}
	patch, err := json.Marshal(mutable)
	if err != nil {
		return nil, fmt.Errorf("encoding a patch: %w", err)
	}
	if err := c.Patch(ctx, current, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		return nil, failure(fmt.Errorf("changing %s %s: %w", wanted.GetKind(), wanted.GetName(), err))
	}
	return current, nil
}

// failure sorts out what the user or the administrator must mend.
func failure(err error) error {
	var taken *drift.Taken
	switch {
	case err == nil:
		return nil
	case errors.As(err, &taken):
		return &build.Failure{Reason: "NameTaken", Message: err.Error()}
	case apierrors.IsForbidden(err):
		return &build.Failure{Reason: "Forbidden", Message: err.Error()}
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return &build.Failure{Reason: "RefusedByCluster", Message: err.Error()}
	default:
		return err
	}
}
