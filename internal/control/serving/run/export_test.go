package run

import "sigs.k8s.io/controller-runtime/pkg/event"

// Changed is what the controller's queue reads.
func Changed(c *Controller) <-chan event.GenericEvent { return c.changed }
