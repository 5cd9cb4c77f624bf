// Package gatewayapi makes routes with the Gateway API: one HTTPRoute for each function, under its name, and a ReferenceGrant
// for each namespace of other people's Services that routes of a namespace lead to. It speaks gateway.networking.k8s.io with structs of
// its own, because most of a rule is handed on as it was written, whatever a later version of the API knows of it.
package gatewayapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/internal/drift"
	"github.com/openfunction/ofn/internal/route/cluster"
)

// Group of the Gateway API.
const Group = "gateway.networking.k8s.io"

var (
	routeKind = schema.GroupVersionKind{Group: Group, Version: "v1", Kind: "HTTPRoute"}
	// All releases of the API serve grants in this version, and only later ones in v1.
	grantKind = schema.GroupVersionKind{Group: Group, Version: "v1beta1", Kind: "ReferenceGrant"}
)

// Options of a Router.
type Options struct {
	// Grants lets it make ReferenceGrants, for which it must be allowed to write in all namespaces.
	Grants bool
}

// Router makes HTTPRoutes.
type Router struct {
	client  client.Client
	live    client.Reader
	options Options
}

// New is a router over a client that reads from a cache, and a reader that does not.
func New(c client.Client, live client.Reader, o Options) *Router {
	return &Router{client: c, live: live, options: o}
}

var _ cluster.Router = (*Router)(nil)

// Apply implements cluster.Router.
func (r *Router) Apply(ctx context.Context, route cluster.Route) (cluster.Status, error) {
	wanted, err := routeOf(&route)
	if err != nil {
		return cluster.Status{}, err
	}
	object, err := drift.Object(wanted)
	if err != nil {
		return cluster.Status{}, err
	}
	if err := r.grant(ctx, &route); err != nil {
		return cluster.Status{}, refused(err)
	}
	current, err := drift.Ensure(ctx, r.client, r.live, object)
	if err != nil {
		return cluster.Status{}, refused(err)
	}
	if err := r.revoke(ctx, route.Namespace, route.Name, foreign(&route)); err != nil {
		return cluster.Status{}, err
	}
	if lost := lost(object.Object["spec"], current.Object["spec"], "spec"); lost != "" && current.GetDeletionTimestamp().IsZero() {
		return cluster.Status{}, &cluster.Refused{Reason: "FieldDropped", Err: fmt.Errorf("the Gateway API of this cluster does not know %s of HTTPRoute %s/%s, and the route is without it: leave it out, or install a version of the API that has it",
			lost, route.Namespace, route.Name)}
	}
	return statusOf(&route, current)
}

// lost is the path of the first field that an API server did not take over, because its definitions do not have it; empty is none.
func lost(want, have any, at string) string {
	if drift.Holds(want, have) {
		return ""
	}
	switch w := want.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return at
		}
		for _, k := range slices.Sorted(maps.Keys(w)) {
			if in := lost(w[k], h[k], at+"."+k); in != "" {
				return in
			}
		}
	case []any:
		h, ok := have.([]any)
		if !ok || len(h) != len(w) {
			return at
		}
		for i := range w {
			if in := lost(w[i], h[i], fmt.Sprintf("%s[%d]", at, i)); in != "" {
				return in
			}
		}
	}
	return at
}

// Remove implements cluster.Router.
func (r *Router) Remove(ctx context.Context, namespace, name string, owner metav1.OwnerReference) error {
	o, err := drift.Object(named(namespace, name, owner))
	if err != nil {
		return err
	}
	if err := drift.Delete(ctx, r.client, o); err != nil {
		return err
	}
	return r.revoke(ctx, namespace, name, nil)
}

// Gone implements cluster.Router.
func (r *Router) Gone(ctx context.Context, namespace, name string) error {
	return r.revoke(ctx, namespace, name, nil)
}

// refused sorts out what is not the operator's to mend.
func refused(err error) error {
	var taken *drift.Taken
	switch {
	case err == nil:
		return nil
	case errors.As(err, &taken):
		return &cluster.Refused{Reason: "NameTaken", Err: err}
	case apierrors.IsForbidden(err):
		return &cluster.Refused{Reason: "Forbidden", Err: err}
	case drift.Undeclared(err):
		return &cluster.Refused{Reason: "FieldDropped", Err: fmt.Errorf("the Gateway API of this cluster does not know a field of the route: leave it out, or install a version of the API that has it: %w", err)}
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return &cluster.Refused{Reason: "RouteRejected", Err: err}
	default:
		return err
	}
}

// wrong is a rule that cannot be.
func wrong(i int, format string, args ...any) error {
	return &cluster.Refused{Reason: "InvalidRules", Err: fmt.Errorf("rules[%d]: %w", i, fmt.Errorf(format, args...))}
}
