package place

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// NewDefaults is the filter of the platform's ConfigMap.
func NewDefaults() predicate.Predicate { return newDefaults() }

// Served are the functions that are looked at then.
func (p *Phase) Served(ctx context.Context) []reconcile.Request { return p.served(ctx, nil) }
