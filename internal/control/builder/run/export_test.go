package run

import "sigs.k8s.io/controller-runtime/pkg/event"

// Ends is what the controller's queue reads.
func Ends(c *Controller) <-chan event.GenericEvent { return c.jobs.ends }
