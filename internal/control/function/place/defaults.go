package place

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	servingrun "github.com/openfunction/ofn/internal/control/serving/run"
)

// newDefaults lets through the platform's ConfigMap when what it gives every function is another than before: all of them are looked at
// then.
func newDefaults() predicate.Predicate {
	some := func(o client.Object) bool { return len(given(o)) > 0 }
	return predicate.Funcs{
		CreateFunc:  func(e event.CreateEvent) bool { return some(e.Object) },
		DeleteFunc:  func(e event.DeleteEvent) bool { return some(e.Object) },
		UpdateFunc:  func(e event.UpdateEvent) bool { return !maps.Equal(given(e.ObjectOld), given(e.ObjectNew)) },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

func given(o client.Object) map[string]string {
	m, ok := o.(*corev1.ConfigMap)
	if !ok {
		return nil
	}
	return servingrun.PlatformDefaults(m)
}

// served are the functions that are run, whose environment the platform's ConfigMap has a part in.
func (p *Phase) served(ctx context.Context, _ client.Object) []reconcile.Request {
	return p.functions(ctx, func(fn *v1beta2.Function) bool { return fn.Spec.Serving != nil })
}

// functions are those of all functions that wanted lets through.
func (p *Phase) functions(ctx context.Context, wanted func(*v1beta2.Function) bool) []reconcile.Request {
	var list v1beta2.FunctionList
	if err := p.client.List(ctx, &list); err != nil {
		return nil // the cache answers once it has synced, and every function is queued then
	}
	var out []reconcile.Request
	for i := range list.Items {
		if wanted(&list.Items[i]) {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return out
}
