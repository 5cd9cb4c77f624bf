package owned

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Prune deletes, of children ordered newest first, those that keep does not hold and that come after the limit newest of
// the others.
func Prune[T client.Object](ctx context.Context, c client.Client, newestFirst []T, limit int32, keep func(T) bool) error {
	var held int32
	for _, child := range newestFirst {
		if keep(child) || !child.GetDeletionTimestamp().IsZero() {
			continue
		}
		if held++; held <= limit {
			continue
		}
		if err := c.Delete(ctx, child, client.PropagationPolicy("Background")); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("removing %s beyond the history limit: %w", child.GetName(), err)
		}
	}
	return nil
}
