package install

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// right is one that the API may be asked for.
type right struct{ verb, group, resource, namespace string }

func (r right) String() string {
	s := r.verb + " " + schema.GroupResource{Group: r.group, Resource: r.resource}.String()
	if r.namespace != "" {
		s += " in namespace " + r.namespace
	}
	return s
}

// permitted asks whether everything that applying the objects needs may be done, and names what may not.
func (i *Installer) permitted(ctx context.Context, objects []*unstructured.Unstructured) error {
	missing, err := i.denied(ctx, objects)
	if err != nil || len(missing) == 0 {
		return err
	}
	return fmt.Errorf("these credentials may not install ofn. They lack the rights to %s. Nothing was changed; use an account that has them (cluster-admin has)", strings.Join(missing, ", "))
}

// denied are the rights that applying the objects needs and nobody gave.
func (i *Installer) denied(ctx context.Context, objects []*unstructured.Unstructured) ([]string, error) {
	var missing []string
	seen := map[right]bool{}
	for _, o := range objects {
		group, resource := o.GroupVersionKind().Group, plural(o.GetKind())
		for _, verb := range []string{"get", "create", "patch"} {
			r := right{verb, group, resource, o.GetNamespace()}
			if seen[r] {
				continue
			}
			seen[r] = true
			ok, err := i.may(ctx, r)
			if err != nil {
				return nil, err
			}
			if !ok {
				missing = append(missing, r.String())
			}
		}
	}
	return missing, nil
}

// may asks for a right of whoever asks.
func (i *Installer) may(ctx context.Context, r right) (bool, error) {
	review := accessReview.object()
	attributes := map[string]any{"verb": r.verb, "group": r.group, "resource": r.resource}
	if r.namespace != "" {
		attributes["namespace"] = r.namespace
	}
	review.Object["spec"] = map[string]any{"resourceAttributes": attributes}
	if err := i.Client.Create(ctx, review); err != nil {
		return false, fmt.Errorf("asking what these credentials may do: %w", err)
	}
	allowed, _, _ := unstructured.NestedBool(review.Object, "status", "allowed")
	return allowed, nil
}

// plural is the resource of a kind that an installation has. Asking the cluster is no way: it may not have the kind yet.
func plural(kind string) string {
	kind = strings.ToLower(kind)
	switch {
	case strings.HasSuffix(kind, "y"):
		return strings.TrimSuffix(kind, "y") + "ies"
	case slices.ContainsFunc([]string{"s", "x"}, func(s string) bool { return strings.HasSuffix(kind, s) }):
		return kind + "es"
	}
	return kind + "s"
}
