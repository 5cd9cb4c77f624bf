package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// platformConfig is the ConfigMap with what the platform gives every function.
var platformConfig = client.ObjectKey{Namespace: "openfunction", Name: "openfunction-config"}

// configured is a client that reads the platform's ConfigMap, which each revision asks for, from a cache of nothing else. All
// other ConfigMaps are read when they are needed.
type configured struct {
	client.Client
	config client.Reader
}

// Get implements client.Reader.
func (c configured) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	if _, ok := o.(*corev1.ConfigMap); ok && key == platformConfig {
		return c.config.Get(ctx, key, o, options...)
	}
	return c.Client.Get(ctx, key, o, options...)
}

// withConfig is the manager's client with such a cache, which lives as long as the manager.
func withConfig(m ctrl.Manager) (client.Client, error) {
	config, err := cache.New(m.GetConfig(), cache.Options{
		Scheme: m.GetScheme(), HTTPClient: m.GetHTTPClient(), Mapper: m.GetRESTMapper(), DefaultTransform: cache.TransformStripManagedFields(),
		DefaultNamespaces: map[string]cache.Config{platformConfig.Namespace: {}},
		ByObject:          map[client.Object]cache.ByObject{&corev1.ConfigMap{}: {Field: fields.OneTermEqualSelector("metadata.name", platformConfig.Name)}},
	})
	if err != nil {
		return nil, fmt.Errorf("watching ConfigMap %s: %w", platformConfig, err)
	}
	if err := m.Add(config); err != nil {
		return nil, fmt.Errorf("watching ConfigMap %s: %w", platformConfig, err)
	}
	return configured{m.GetClient(), config}, nil
}
