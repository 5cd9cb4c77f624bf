package expose

import (
	"context"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	"github.com/openfunction/ofn/internal/control/engines"
)

// labelFrom is, on a ReferenceGrant, the namespace whose routes it is for.
const labelFrom = "openfunction.io/routes-of"

// Watch queues Functions when the Gateway API comes or goes, and when one of its objects changes that concerns them.
func (e *Exposer) Watch(_ ctrl.Manager, b *builder.Builder) error {
	b.WatchesRawSource(e.options.Engines.Source(engines.User{Engine: engines.GatewayAPI(), Concerned: e.concerned,
		All: func(ctx context.Context) []reconcile.Request { return e.functions(ctx, "", nil) }}))
	return nil
}

// concerned are the functions that an object of the Gateway API is about: the one that an HTTPRoute has the name of, whoever made it;
// those of the namespace that a grant is for; those behind a Gateway.
func (e *Exposer) concerned(ctx context.Context, o client.Object) []reconcile.Request {
	switch o.GetObjectKind().GroupVersionKind().Kind {
	case "HTTPRoute":
		return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(o)}}
	case "ReferenceGrant":
		if from := o.GetLabels()[labelFrom]; from != "" && e.changed(ctx, o) {
			return e.functions(ctx, from, nil)
		}
	case "Gateway":
		if e.changed(ctx, o) {
			return e.behind(ctx, networking.GatewayRef{Namespace: o.GetNamespace(), Name: o.GetName()})
		}
	}
	return nil
}

// behind are the functions whose requests come by a Gateway of the Gateway API.
func (e *Exposer) behind(ctx context.Context, parent networking.GatewayRef) []reconcile.Request {
	var all networking.GatewayList
	if err := e.client.List(ctx, &all); err != nil {
		return nil // the cache answers once it has synced, and every function is queued then
	}
	ours := map[client.ObjectKey]bool{}
	for i := range all.Items {
		if g := &all.Items[i]; g.Target() == parent {
			ours[client.ObjectKeyFromObject(g)] = true
		}
	}
	return e.functions(ctx, "", ours)
}

// functions are those of a namespace, or of all, with an http trigger whose Gateway is one of those given, or any.
func (e *Exposer) functions(ctx context.Context, namespace string, gateways map[client.ObjectKey]bool) []reconcile.Request {
	var all v1beta2.FunctionList
	if err := e.client.List(ctx, &all, client.InNamespace(namespace)); err != nil {
		return nil // as above
	}
	var out []reconcile.Request
	for i := range all.Items {
		fn := &all.Items[i]
		if t := httpTrigger(fn); t != nil && (gateways == nil || gateways[gatewayOf(t)]) {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(fn)})
		}
	}
	return out
}

// generations remembers the versions of objects that were seen last, by kind, namespace and name.
type generations struct{ of sync.Map }

// changed is whether the specification of an object, or which of its listeners are broken, is new, or the object is gone. A Gateway
// counts its routes in its status: without this, each function would wake all others.
func (e *Exposer) changed(ctx context.Context, o client.Object) bool {
	type version struct {
		uid        types.UID
		generation int64
		ending     bool
		listeners  string
	}
	kind, key := o.GetObjectKind().GroupVersionKind(), client.ObjectKeyFromObject(o)
	id := kind.Kind + "/" + key.String()
	there := &unstructured.Unstructured{}
	there.SetGroupVersionKind(kind)
	if err := e.client.Get(ctx, key, there); apierrors.IsNotFound(err) {
		e.seen.of.Delete(id)
		return true
	}
	now := version{o.GetUID(), o.GetGeneration(), !o.GetDeletionTimestamp().IsZero(), standing(there)}
	before, known := e.seen.of.Swap(id, now)
	return !known || before != now
}
