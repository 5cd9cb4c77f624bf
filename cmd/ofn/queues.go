package main

import controllerconfig "sigs.k8s.io/controller-runtime/pkg/config"

// queues are those of all controllers: client-go's. controller-runtime's own (v0.24.1) hands out an item while it holds its locks, and for ever
// when the worker that waited for one has just left because the queue ends. Another worker that is done with its item then waits for the lock,
// and the manager for that worker, until its time to stop is over.
func queues() controllerconfig.Controller {
	return controllerconfig.Controller{UsePriorityQueue: new(false)}
}
