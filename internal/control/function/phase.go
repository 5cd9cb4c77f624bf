package function

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// Phase is one step of a Function's life. It reads the spec, makes and repairs children, and writes its part of
// fn.Status in memory; the controller writes the status once, after the last phase.
type Phase interface {
	// Reconcile is idempotent. An error is retried with back-off; what is the user's to mend goes into the status instead.
	Reconcile(ctx context.Context, fn *v1beta2.Function) (reconcile.Result, error)
	// Gone is told that the function no longer exists.
	Gone(ctx context.Context, namespace, name string) error
}

// watcher is a Phase that more than its Functions and their children wakes.
type watcher interface {
	// Watch adds to what queues Functions.
	Watch(m ctrl.Manager, b *builder.Builder) error
}
