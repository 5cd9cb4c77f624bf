package run

import "sigs.k8s.io/controller-runtime/pkg/event"

// Ends is what the controller's queue reads.
func Ends(c *Controller) <-chan event.GenericEvent { return c.jobs.ends }

// Running says whether a build of the function ("namespace/name") runs.
func Running(c *Controller, function string) bool { return c.jobs.busy(function) }
