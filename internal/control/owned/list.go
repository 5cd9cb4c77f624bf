package owned

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// List reads the children that this program made for the function, that it controls and that nobody is removing, the newest first,
// into the list given, which is one of T. Those of OpenFunction's operator are not among them: see Foreign.
func List[T client.Object](ctx context.Context, c client.Reader, fn *v1beta2.Function, into client.ObjectList) ([]T, error) {
	err := c.List(ctx, into, client.InNamespace(fn.Namespace), client.MatchingLabels{v1beta2.LabelFunction: fn.Name})
	if err != nil {
		return nil, fmt.Errorf("listing children of function %s: %w", fn.Name, err)
	}
	var own []T
	err = meta.EachListItem(into, func(o runtime.Object) error {
		if child, ok := o.(T); ok && By(fn, child) && !Foreign(child) && child.GetDeletionTimestamp().IsZero() {
			own = append(own, child)
		}
		return nil
	})
	return Newest(own), err
}

// Find is the child of a name; the zero T when there is none.
func Find[T client.Object](children []T, name string) T {
	for _, c := range children {
		if c.GetName() == name {
			return c
		}
	}
	var none T
	return none
}
