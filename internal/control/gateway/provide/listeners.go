package provide

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
)

// gatewayKind is the Gateway API's.
var gatewayKind = schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "Gateway"}

// annotationMadeFor is, on a Gateway that was made, the namespace/name of OpenFunction's. It may be in another namespace, where an
// owner cannot be named as such.
const annotationMadeFor = "networking.openfunction.io/made-for"

// passed are the prefixes of annotations that concern the Gateway which is made: who issues its certificates, and its DNS names.
var passed = []string{"cert-manager.io/", "acme.cert-manager.io/", "external-dns.alpha.kubernetes.io/"}

func empty() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gatewayKind)
	return u
}

func key(g *networking.Gateway) string { return g.Namespace + "/" + g.Name }

// listenersOf are the listeners as they are to be in a Gateway.
func listenersOf(g *networking.Gateway) ([]any, error) {
	data, err := json.Marshal(g.Spec.GatewaySpec.Listeners)
	if err != nil {
		return nil, fmt.Errorf("encoding listeners: %w", err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(slices.Concat([]byte(`{"apiVersion":"x/v1","kind":"X","listeners":`), data, []byte(`}`))); err != nil {
		return nil, fmt.Errorf("encoding listeners: %w", err)
	}
	out, _, err := unstructured.NestedSlice(u.Object, "listeners")
	return out, err
}

// make makes the Gateway that is defined. One that the cache does not show yet is left for when it does.
func (c *Controller) make(ctx context.Context, g *networking.Gateway) (*unstructured.Unstructured, error) {
	listeners, err := listenersOf(g)
	if err != nil {
		return nil, err
	}
	u := empty()
	u.SetNamespace(g.Target().Namespace)
	u.SetName(g.Target().Name)
	u.SetAnnotations(annotationsFor(g))
	u.Object["spec"] = map[string]any{"gatewayClassName": g.Spec.GatewayDef.GatewayClassName, "listeners": listeners}
	if err := claim(u, g, listeners); err != nil {
		return nil, err
	}
	switch err := c.client.Create(ctx, u); {
	case apierrors.IsAlreadyExists(err):
		current := empty()
		if err := c.live.Get(ctx, client.ObjectKeyFromObject(u), current); err != nil {
			return nil, fmt.Errorf("reading Gateway %s/%s: %w", u.GetNamespace(), u.GetName(), err)
		}
		return c.keep(ctx, g, current)
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsNotFound(err): // a namespace that is not there is "not found"
		return nil, &refused{"Refused", fmt.Sprintf("making Gateway %s/%s: %v", u.GetNamespace(), u.GetName(), err)}
	case err != nil:
		return nil, fmt.Errorf("making Gateway %s/%s: %w", u.GetNamespace(), u.GetName(), err)
	}
	return u, nil
}

// annotationsFor are those of a Gateway that is made.
func annotationsFor(g *networking.Gateway) map[string]string {
	out := map[string]string{annotationMadeFor: key(g)}
	for k, v := range g.Annotations {
		if slices.ContainsFunc(passed, func(p string) bool { return strings.HasPrefix(k, p) }) {
			out[k] = v
		}
	}
	return out
}

// keep makes a Gateway that is there have the listeners and, when it was made for this one, the class and annotations. Listeners
// that somebody else put there stay.
func (c *Controller) keep(ctx context.Context, g *networking.Gateway, current *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	next := current.DeepCopy()
	if g.Spec.GatewayDef != nil {
		if err := claimed(g, current); err != nil {
			return nil, err
		}
		annotations := next.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		maps.Copy(annotations, annotationsFor(g))
		next.SetAnnotations(annotations)
		if err := unstructured.SetNestedField(next.Object, g.Spec.GatewayDef.GatewayClassName, "spec", "gatewayClassName"); err != nil {
			return nil, fmt.Errorf("reading Gateway %s: %w", current.GetName(), err)
		}
	}
	wanted, err := listenersOf(g)
	if err != nil {
		return nil, err
	}
	if err := merge(next, g, wanted); err != nil {
		return nil, err
	}
	return c.write(ctx, current, next)
}

// claimed is whether a Gateway of the name that is to be made was made for this one: by this operator, or by OpenFunction's, which
// left no more than the listeners that it had put there.
func claimed(g *networking.Gateway, current *unstructured.Unstructured) error {
	whose := current.GetAnnotations()[annotationMadeFor]
	if whose == key(g) || whose == "" && readInjected(current).legacy {
		return nil
	}
	return &refused{"NameTaken", fmt.Sprintf("Gateway %s/%s is there and was not made for this one: name another in spec.gatewayDef, or use that with spec.gatewayRef", current.GetNamespace(), current.GetName())}
}

// write writes what is different, in one request.
func (c *Controller) write(ctx context.Context, current, next *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if equal(current, next) {
		return current, nil
	}
	switch err := c.client.Patch(ctx, next, client.MergeFromWithOptions(current, client.MergeFromWithOptimisticLock{})); {
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err):
		return nil, &refused{"Refused", fmt.Sprintf("changing Gateway %s/%s: %v", current.GetNamespace(), current.GetName(), err)}
	case err != nil:
		return nil, fmt.Errorf("changing Gateway %s/%s: %w", current.GetNamespace(), current.GetName(), err)
	}
	return next, nil
}

// release takes back what a Gateway was provided with: all of it when it was made, the listeners that nobody else gave it otherwise.
func (c *Controller) release(ctx context.Context, g *networking.Gateway) error {
	current, err := c.read(ctx, g)
	if err != nil || current == nil || !current.GetDeletionTimestamp().IsZero() {
		return err
	}
	if g.Spec.GatewayDef != nil {
		if claimed(g, current) != nil {
			return nil
		}
		uid := current.GetUID()
		if err := c.client.Delete(ctx, current, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting Gateway %s/%s: %w", current.GetNamespace(), current.GetName(), err)
		}
		return nil
	}
	next := current.DeepCopy()
	if err := merge(next, g, nil); err != nil {
		return err
	}
	if left, _, _ := unstructured.NestedSlice(next.Object, "spec", "listeners"); len(left) == 0 {
		return nil // a Gateway must have one
	}
	_, err = c.write(ctx, current, next)
	return err
}
