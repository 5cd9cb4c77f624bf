package main

import (
	"context"
	"fmt"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/openfunction/ofn/api/core/v1beta2"
)

// restore puts every revision and every route back before the first request is taken: a request that comes while the
// platform starts waits for it, and is not told that its function does not exist. It runs when the caches are filled.
type restore struct {
	client              client.Client
	functions, servings reconcile.Reconciler
	once                sync.Once
	done                func()
}

// Start reconciles what there is, once. What fails is left to the controllers, which try again.
func (r *restore) Start(ctx context.Context) error {
	var servings v1beta2.ServingList
	var functions v1beta2.FunctionList
	if err := r.client.List(ctx, &servings); err != nil {
		return fmt.Errorf("listing revisions: %w", err)
	}
	if err := r.client.List(ctx, &functions); err != nil {
		return fmt.Errorf("listing functions: %w", err)
	}
	for i := range servings.Items {
		_, _ = r.servings.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&servings.Items[i])}) // its controller reports it
	}
	for i := range functions.Items {
		_, _ = r.functions.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&functions.Items[i])}) // likewise
	}
	r.once.Do(r.done)
	return nil
}
