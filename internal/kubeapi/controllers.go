package kubeapi

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/restmapper"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
)

const (
	// discoveryPeriod is how soon the garbage collector learns of a new kind, as in Kubernetes.
	discoveryPeriod = 30 * time.Second
	workers         = 2
)

// task runs until its context ends.
type task func(ctx context.Context)

// controllers are Kubernetes' own, those that its API promises: deletion by owner reference, emptied namespaces, a default service
// account in each, aggregated roles; and the description of custom resources.
func (s *apiServer) controllers(ctx context.Context) ([]task, error) {
	objects, err := metadata.NewForConfig(s.loopback)
	if err != nil {
		return nil, fmt.Errorf("making the client of the controllers: %w", err)
	}
	collect, err := s.garbageCollection(ctx, objects)
	if err != nil {
		return nil, err
	}
	core := s.shared.Core().V1()
	spaces := namespace.NewNamespaceController(ctx, s.client, objects, s.client.Discovery().ServerPreferredNamespacedResources,
		core.Namespaces(), 0, corev1.FinalizerKubernetes)
	accounts, err := serviceaccount.NewServiceAccountsController(klog.FromContext(ctx), core.ServiceAccounts(), core.Namespaces(), s.client,
		serviceaccount.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return nil, fmt.Errorf("making the service account controller: %w", err)
	}
	roles := clusterroleaggregation.NewClusterRoleAggregation(s.shared.Rbac().V1().ClusterRoles(), s.client.RbacV1())
	describe := s.describeCRDs()
	return append(collect,
		func(ctx context.Context) { describe(ctx.Done()) },
		func(ctx context.Context) { spaces.Run(ctx, workers) },
		func(ctx context.Context) { accounts.Run(ctx, 1) },
		func(ctx context.Context) { roles.Run(ctx, 1) },
	), nil
}

// garbageCollection deletes what has lost its owners.
func (s *apiServer) garbageCollection(ctx context.Context, objects metadata.Interface) ([]task, error) {
	cached := memory.NewMemCacheClient(s.client.Discovery())
	started := make(chan struct{})
	factory := metadataOnly{metadatainformer.NewSharedInformerFactory(objects, 0)}
	collector, err := garbagecollector.NewGarbageCollector(ctx, s.client, objects, restmapper.NewDeferredDiscoveryRESTMapper(cached),
		garbagecollector.DefaultIgnoredResources(), factory, started)
	if err != nil {
		return nil, fmt.Errorf("making the garbage collector: %w", err)
	}
	close(started)
	return []task{
		func(ctx context.Context) { collector.Run(ctx, workers, discoveryPeriod) },
		func(ctx context.Context) { collector.Sync(ctx, s.client.Discovery(), discoveryPeriod) },
		func(ctx context.Context) { <-ctx.Done(); factory.Shutdown() },
	}, nil
}

// metadataOnly keeps the garbage collector's caches free of content, secrets above all.
type metadataOnly struct {
	metadatainformer.SharedInformerFactory
}

// ForResource implements informerfactory.InformerFactory.
func (m metadataOnly) ForResource(resource schema.GroupVersionResource) (informers.GenericInformer, error) {
	return m.SharedInformerFactory.ForResource(resource), nil
}

// startControllers runs them until stop, which waits for their end.
func (s *apiServer) startControllers(life context.Context) (stop func(), err error) {
	ctx, cancel := context.WithCancel(life)
	tasks, err := s.controllers(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	s.shared.Start(life.Done()) // those informers that the controllers added
	var running sync.WaitGroup
	for _, run := range tasks {
		running.Go(func() { run(ctx) })
	}
	return func() { cancel(); running.Wait() }, nil
}
