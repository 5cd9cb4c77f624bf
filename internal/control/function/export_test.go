package function

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Attached are the functions that a change of the gateway concerns.
func Attached(c *Controller, gateway client.Object) []reconcile.Request {
	return c.attached(context.Background(), gateway)
}
