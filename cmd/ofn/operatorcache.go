package main

import (
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// onlyServed leaves out of a cache's options the kinds that the API server does not have, such as Pods on one without nodes. A cache that is
// told how to hold such a kind cannot be made.
func onlyServed(config *rest.Config, scheme *runtime.Scheme, o *cache.Options) error {
	over, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("reaching the cluster: %w", err)
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, over)
	if err != nil {
		return fmt.Errorf("asking the cluster for its kinds: %w", err)
	}
	defer over.CloseIdleConnections()
	var wrong error
	maps.DeleteFunc(o.ByObject, func(kind client.Object, _ cache.ByObject) bool {
		_, err := apiutil.IsObjectNamespaced(kind, scheme, mapper)
		if err != nil && !meta.IsNoMatchError(err) {
			wrong = fmt.Errorf("asking the cluster for %T: %w", kind, err)
		}
		return meta.IsNoMatchError(err)
	})
	return wrong
}
