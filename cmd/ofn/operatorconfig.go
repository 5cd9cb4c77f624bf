package main

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// platformConfig is the ConfigMap with what the platform gives every function.
var platformConfig = client.ObjectKey{Namespace: "openfunction", Name: "openfunction-config"}

// cacheConfig lets a cache hold this one of all ConfigMaps.
func cacheConfig(o *cache.Options) {
	o.ByObject[&corev1.ConfigMap{}] = cache.ByObject{
		Namespaces: map[string]cache.Config{platformConfig.Namespace: {}},
		Field:      fields.OneTermEqualSelector("metadata.name", platformConfig.Name),
	}
}

// configured is a client that reads the platform's ConfigMap, which each revision asks for, from the cache. All other ConfigMaps are
// read when they are needed.
type configured struct {
	client.Client
	cache client.Reader
}

// Get implements client.Reader.
func (c configured) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	if _, ok := o.(*corev1.ConfigMap); ok && key == platformConfig {
		return c.cache.Get(ctx, key, o, options...)
	}
	return c.Client.Get(ctx, key, o, options...)
}
