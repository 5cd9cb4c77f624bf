package share

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/condition"
)

// Alone is the phase where no function shares its copies, as on a cluster: it tells those that ask for it.
type Alone struct{}

// Gone does nothing: Alone keeps nothing.
func (Alone) Gone(context.Context, string, string) error { return nil }

// Reconcile writes the condition.
func (Alone) Reconcile(_ context.Context, fn *v1beta2.Function) (reconcile.Result, error) {
	if fn.Annotations[v1beta2.AnnotationShare] == "" {
		condition.Remove(&fn.Status.Conditions, v1beta2.ConditionShared)
		return reconcile.Result{}, nil
	}
	condition.Set(&fn.Status.Conditions, fn.Generation, v1beta2.ConditionShared, "False", "Unsupported",
		"functions share copies with `ofn up` only; it is served by copies of its own. To be served by the same ones, make one function of the application, which serves all its paths")
	return reconcile.Result{}, nil
}
