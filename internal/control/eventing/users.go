package eventing

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Users queues, for an object that changed, those of a list that use it.
func Users[T client.Object](c client.Reader, list func() client.ObjectList, uses func(user T, changed client.Object) bool) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, changed client.Object) []reconcile.Request {
		all := list()
		if err := c.List(ctx, all); err != nil {
			return nil // the cache answers once it has synced, and every object is queued then
		}
		var out []reconcile.Request
		_ = meta.EachListItem(all, func(o runtime.Object) error {
			if user, ok := o.(T); ok && uses(user, changed) {
				out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(user)})
			}
			return nil
		})
		return out
	})
}

// ComesOrGoes lets through what is made and what is deleted: for those who only ask whether something is there.
func ComesOrGoes() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(ctrlevent.UpdateEvent) bool { return false }}
}
