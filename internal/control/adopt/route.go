package adopt

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/control/function/place"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/cluster"
)

// Exposer is one that leaves OpenFunction's route alone until there is something better to lead requests to.
type Exposer struct {
	place.Exposer
	client client.Client
	live   client.Reader
}

// Around stands around an Exposer.
func Around(c client.Client, live client.Reader, inner place.Exposer) *Exposer {
	return &Exposer{Exposer: inner, client: c, live: live}
}

// Expose implements place.Exposer. While OpenFunction's copies serve and the function's own revision is not ready nothing is led
// anywhere else.
func (e *Exposer) Expose(ctx context.Context, fn *v1beta2.Function, has cluster.Status) (cluster.Condition, error) {
	f, err := find(ctx, e.client, fn)
	if err != nil {
		return cluster.Condition{}, err
	}
	if len(f.servings) == 0 {
		return e.Exposer.Expose(ctx, fn, has)
	}
	if newest := fn.Status.LatestCreatedRevision; has.Revisions[newest].Phase != run.Ready {
		return cluster.Condition{Status: metav1.ConditionUnknown, Reason: "Starting", Message: fmt.Sprintf("OpenFunction's route leads to %s until revision %s is ready", names(f.servings), newest)}, nil
	}
	if err := e.handOver(ctx, fn); err != nil {
		return cluster.Condition{}, err
	}
	if has.Routed.Status != metav1.ConditionTrue { // the engine comes back when it is
		return has.Routed, nil
	}
	return e.Exposer.Expose(ctx, fn, has)
}

var knativeRoute = schema.GroupVersionKind{Group: "serving.knative.dev", Version: "v1", Kind: "Route"}

// handOver gives the Service of the function's name, which OpenFunction made to lead callers inside the cluster to its gateway, to
// Knative's Route of that name. Knative wants a Service of this name, leaves one that it does not own alone, and changes one that it
// owns when its own way is ready: so the name is never without an address.
func (e *Exposer) handOver(ctx context.Context, fn *v1beta2.Function) error {
	route := &unstructured.Unstructured{}
	route.SetGroupVersionKind(knativeRoute)
	key := client.ObjectKeyFromObject(fn)
	if err := e.live.Get(ctx, key, route); absent(err) {
		return nil // it runs with another engine, or Knative has not made it yet
	} else if err != nil {
		return fmt.Errorf("reading Knative's route: %w", err)
	}
	service := &corev1.Service{}
	if err := e.live.Get(ctx, key, service); absent(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("reading the service of the function: %w", err)
	}
	if !metav1.IsControlledBy(service, fn) || service.Spec.Type != corev1.ServiceTypeExternalName {
		return nil
	}
	before := service.DeepCopy()
	service.OwnerReferences = []metav1.OwnerReference{{APIVersion: knativeRoute.GroupVersion().String(), Kind: knativeRoute.Kind, Name: route.GetName(), UID: route.GetUID(), Controller: new(true)}}
	if err := e.client.Patch(ctx, service, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("handing the service of the function over to Knative: %w", err)
	}
	return nil
}

func absent(err error) bool { return apierrors.IsNotFound(err) || meta.IsNoMatchError(err) }

// stillLeads says, in words, that the HTTPRoute which OpenFunction made leads to its copies; empty when it does not.
func (p *Phase) stillLeads(ctx context.Context, fn *v1beta2.Function, f *former) (string, error) {
	route, err := p.httpRoute(ctx, fn)
	if err != nil || route == nil {
		return "", err
	}
	rules, _, _ := unstructured.NestedSlice(route.Object, "spec", "rules")
	for _, r := range rules {
		rule, _ := r.(map[string]any)
		backends, _, _ := unstructured.NestedSlice(rule, "backendRefs")
		for _, b := range backends {
			backend, _ := b.(map[string]any)
			name, _ := backend["name"].(string)
			for _, s := range f.servings {
				if strings.HasPrefix(name, s.Name+"-") {
					return fmt.Sprintf("HTTPRoute %s still leads to OpenFunction's %s, which goes on for that; it is removed when the route is changed or deleted", route.GetName(), s.Name), nil
				}
			}
		}
	}
	return "", nil
}

// httpRoute is that of the function's name, in whichever version the cluster serves it; nil when there is none.
func (p *Phase) httpRoute(ctx context.Context, fn *v1beta2.Function) (*unstructured.Unstructured, error) {
	for _, version := range []string{"v1", "v1beta1", "v1alpha2"} {
		route := &unstructured.Unstructured{}
		route.SetGroupVersionKind(schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: version, Kind: "HTTPRoute"})
		err := p.live.Get(ctx, client.ObjectKeyFromObject(fn), route)
		switch {
		case err == nil && metav1.IsControlledBy(route, fn):
			return route, nil
		case err != nil && !absent(err):
			return nil, fmt.Errorf("reading the route: %w", err)
		}
	}
	return nil, nil
}
