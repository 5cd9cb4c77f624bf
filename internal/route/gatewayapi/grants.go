package gatewayapi

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/drift"
	"github.com/openfunction/ofn/internal/route/cluster"
)

// LabelFrom is, on a ReferenceGrant made here, the namespace whose routes it is for.
const LabelFrom = "openfunction.io/routes-of"

// referenceGrant lets the routes of one namespace lead to Services of another.
type referenceGrant struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Metadata   metadata  `json:"metadata"`
	Spec       grantSpec `json:"spec"`
}

type grantSpec struct {
	From []grantFrom `json:"from"`
	To   []grantTo   `json:"to"`
}

type grantFrom struct {
	Group     string `json:"group"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
}

type grantTo struct {
	Group string `json:"group"`
	Kind  string `json:"kind"`
	Name  string `json:"name"`
}

// grantOf is the grant for one Service of another namespace. Functions of a namespace share it, so that it has no owner.
func grantOf(from string, b *cluster.Backend) referenceGrant {
	return referenceGrant{APIVersion: grantKind.GroupVersion().String(), Kind: grantKind.Kind,
		Metadata: metadata{Namespace: b.Namespace, Name: from + "." + b.Name, Labels: map[string]string{LabelFrom: from, v1beta2.LabelManaged: "true"}},
		Spec:     grantSpec{From: []grantFrom{{Group: Group, Kind: routeKind.Kind, Namespace: from}}, To: []grantTo{{Kind: "Service", Name: b.Name}}}}
}

// foreign are the backends in other namespaces, as namespace and name.
func foreign(r *cluster.Route) []client.ObjectKey {
	var out []client.ObjectKey
	for _, b := range r.Backends {
		key := client.ObjectKey{Namespace: b.Namespace, Name: b.Name}
		if b.Namespace != r.Namespace && !slices.Contains(out, key) {
			out = append(out, key)
		}
	}
	return out
}

// grant lets a route lead to the backends in other namespaces.
func (r *Router) grant(ctx context.Context, route *cluster.Route) error {
	if !r.options.Grants {
		return nil // the implementation says ResolvedRefs=False where there is none
	}
	for i := range route.Backends {
		b := &route.Backends[i]
		if b.Namespace == route.Namespace {
			continue
		}
		wanted, err := drift.Object(grantOf(route.Namespace, b))
		if err != nil {
			return err
		}
		current := empty()
		if err := r.client.Get(ctx, client.ObjectKeyFromObject(wanted), current); apierrors.IsNotFound(err) {
			if err := r.client.Create(ctx, wanted); err != nil && !apierrors.IsAlreadyExists(err) {
				return fmt.Errorf("making ReferenceGrant %s in %s: %w", wanted.GetName(), wanted.GetNamespace(), err)
			}
			continue
		} else if err != nil {
			return fmt.Errorf("reading ReferenceGrant %s in %s: %w", wanted.GetName(), wanted.GetNamespace(), err)
		}
		if current.GetLabels()[LabelFrom] != route.Namespace {
			return &drift.Taken{Kind: grantKind.Kind, Namespace: b.Namespace, Name: wanted.GetName()}
		}
		if drift.Holds(wanted.Object, current.Object) {
			continue
		}
		before := current.DeepCopy()
		current.Object["spec"] = wanted.Object["spec"]
		if err := r.client.Patch(ctx, current, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("mending ReferenceGrant %s in %s: %w", wanted.GetName(), wanted.GetNamespace(), err)
		}
	}
	return nil
}

func empty() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(grantKind)
	return u
}

// revoke deletes the grants that no route of the namespace needs. Of one route it is known what it needs; a cache may not show it yet.
// A grant that went too early comes back: its end wakes the functions of its namespace.
func (r *Router) revoke(ctx context.Context, namespace, name string, needed []client.ObjectKey) error {
	if !r.options.Grants {
		return nil
	}
	grants := &unstructured.UnstructuredList{}
	grants.SetGroupVersionKind(grantKind)
	if err := r.client.List(ctx, grants, client.MatchingLabels{LabelFrom: namespace}); err != nil {
		return fmt.Errorf("listing ReferenceGrants for %s: %w", namespace, err)
	}
	if len(grants.Items) == 0 {
		return nil
	}
	others, err := r.needs(ctx, namespace, name)
	if err != nil {
		return err
	}
	for i := range grants.Items {
		g := &grants.Items[i]
		var has referenceGrant
		if err := convert(g.Object, &has); err != nil {
			return fmt.Errorf("reading ReferenceGrant %s in %s: %w", g.GetName(), g.GetNamespace(), err)
		}
		used := slices.ContainsFunc(has.Spec.To, func(to grantTo) bool {
			key := client.ObjectKey{Namespace: g.GetNamespace(), Name: to.Name}
			return slices.Contains(needed, key) || others[key]
		})
		if used || !g.GetDeletionTimestamp().IsZero() {
			continue
		}
		if err := r.client.Delete(ctx, g); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting ReferenceGrant %s in %s: %w", g.GetName(), g.GetNamespace(), err)
		}
	}
	return nil
}

// needs are the Services elsewhere to which the routes of a namespace lead, but for one route.
func (r *Router) needs(ctx context.Context, namespace, but string) (map[client.ObjectKey]bool, error) {
	routes := &unstructured.UnstructuredList{}
	routes.SetGroupVersionKind(routeKind)
	if err := r.client.List(ctx, routes, client.InNamespace(namespace), client.HasLabels{v1beta2.LabelFunction}); err != nil {
		return nil, fmt.Errorf("listing HTTPRoutes: %w", err)
	}
	out := map[client.ObjectKey]bool{}
	for i := range routes.Items {
		var has struct {
			Metadata metav1.ObjectMeta `json:"metadata"`
			Spec     struct {
				Rules []struct {
					BackendRefs []backendRef `json:"backendRefs"`
				} `json:"rules"`
			} `json:"spec"`
		}
		if err := convert(routes.Items[i].Object, &has); err != nil {
			return nil, fmt.Errorf("reading HTTPRoute %s: %w", routes.Items[i].GetName(), err)
		}
		if has.Metadata.Name == but {
			continue
		}
		for _, rule := range has.Spec.Rules {
			for _, ref := range rule.BackendRefs {
				out[client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}] = true
			}
		}
	}
	return out, nil
}
