package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	ctrlmanager "sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	events "github.com/openfunction/ofn/api/events/v1alpha1"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	builderexpire "github.com/openfunction/ofn/internal/control/builder/expire"
	"github.com/openfunction/ofn/internal/control/engines"
	"github.com/openfunction/ofn/internal/control/function"
	"github.com/openfunction/ofn/internal/control/function/build"
	functionplace "github.com/openfunction/ofn/internal/control/function/place"
	"github.com/openfunction/ofn/internal/control/function/serve"
	"github.com/openfunction/ofn/internal/control/function/share"
	"github.com/openfunction/ofn/internal/control/held"
	"github.com/openfunction/ofn/internal/run/knative"
)

// What the operator asks of the API server in a second at most, and for a moment.
const (
	operatorQPS   = 50
	operatorBurst = 100
)

// leaderElection names the lease; operators of one namespace each have their own.
const leaderElection = "ofn-operator.openfunction.io"

// newOperator makes the controllers.
func newOperator(ctx context.Context, config *rest.Config, s *operatorSettings, log *slog.Logger) (ctrlmanager.Manager, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "ofn-operator/" + version
	config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(operatorQPS, operatorBurst) // one for all: each kind's client would have its own
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, ""            // custom resources have no protobuf form
	if err := installedOn(ctx, config); err != nil {
		return nil, err
	}
	options, err := operatorOptions(s)
	if err != nil {
		return nil, err
	}
	if err := onlyServed(config, options.Scheme, &options.Cache); err != nil {
		return nil, err
	}
	options.LeaderElectionConfig = rest.CopyConfig(config)
	options.LeaderElectionConfig.RateLimiter = nil // the lease does not wait in the queue of everything else
	manager, err := ctrl.NewManager(config, options)
	if err != nil {
		return nil, fmt.Errorf("making the controllers: %w", err)
	}
	for name, add := range map[string]func(string, healthz.Checker) error{"ping": manager.AddHealthzCheck, "ready": manager.AddReadyzCheck} {
		if err := add(name, healthz.Ping); err != nil {
			return nil, fmt.Errorf("adding health checks: %w", err)
		}
	}
	controllers, err := operatorControllers(manager, s, log)
	if err != nil {
		return nil, err
	}
	ofEvents, err := s.eventControllers(ctx, manager, log)
	if err != nil {
		return nil, err
	}
	hooks, err := operatorWebhooks(manager, s, log)
	if err != nil {
		return nil, err
	}
	for _, c := range slices.Concat(hooks, controllers, ofEvents) {
		if err := c.Register(manager); err != nil {
			return nil, fmt.Errorf("registering controller %s: %w", c.Name(), err)
		}
	}
	return manager, nil
}

func operatorOptions(s *operatorSettings) (ctrl.Options, error) {
	if err := s.pods.validate(); err != nil {
		return ctrl.Options{}, err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, v1beta2.AddToScheme, networking.AddToScheme, daprv1.AddToScheme, events.AddToScheme} {
		if err := add(scheme); err != nil {
			return ctrl.Options{}, fmt.Errorf("making the scheme: %w", err)
		}
	}
	drain := operatorDrain
	o := ctrl.Options{
		Scheme:                 scheme,
		Metrics:                metricsserver.Options{BindAddress: s.metricsAddress},
		HealthProbeBindAddress: s.healthAddress,
		NewCache:               held.New(v1beta2.LabelFunction, v1beta2.LabelServing, v1beta2.LabelBuilder),
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject:         map[client.Object]cache.ByObject{&apiextensionsv1.CustomResourceDefinition{}: {Transform: engines.Strip}},
		},
		// Objects of engines have no Go types here. Secrets and configmaps are read when they are needed, not held in memory.
		Client:         client.Options{Cache: &client.CacheOptions{Unstructured: true, DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}}},
		LeaderElection: s.elect, LeaderElectionID: leaderElection, LeaderElectionNamespace: s.ownNamespace, LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout: &drain,
		Controller:              queues(),
	}
	o.Controller.SkipNameValidation = &s.several
	cacheGateways(s, &o.Cache)
	cacheConfig(&o.Cache)
	if err := ofFunctions(&o.Cache); err != nil {
		return ctrl.Options{}, fmt.Errorf("choosing what to watch: %w", err)
	}
	ofPolicies(&o.Cache)
	if s.namespace != "" {
		o.Cache.DefaultNamespaces = map[string]cache.Config{s.namespace: {}}
		o.LeaderElectionID = s.namespace + "." + leaderElection
	}
	return o, nil
}

// operatorControllers are those of a cluster. build and serve are the phases of one machine; place stands where serving/run and
// route do, delegate where builder/run does.
func operatorControllers(m ctrlmanager.Manager, s *operatorSettings, log *slog.Logger) ([]registrable, error) {
	c := configured{m.GetClient(), m.GetCache()}
	found := engines.NewController(c, m.GetCache(), log)
	builds, err := buildController(m, s, found)
	if err != nil {
		return nil, err
	}
	placed := functionplace.New(c, functionplace.Options{Ways: ways(m, s), Engines: found, Live: m.GetAPIReader(), Exposer: adoptingRoutes(m, exposer(m, s, found)), PodSecurity: s.pods.security, ClusterDomain: s.clusterDomain, Log: log})
	return []registrable{
		found,
		function.NewController(c, m.GetEventRecorder("ofn"), append(isolation(m, s), share.Alone{}, adopting(m, build.New(c), serve.New(c), placed))...),
		gatewayController(m, s, found),
		builds,
		builderexpire.NewController(c, clock.RealClock{}),
		followController(m, s, log),
	}, nil
}

// ways are those in which functions are run on a cluster, the best first.
func ways(m ctrl.Manager, s *operatorSettings) []functionplace.Way {
	return append(possible(m, []functionplace.Way{
		{Name: v1beta2.EngineKnative, Engine: knative.New(m.GetClient(), m.GetAPIReader(), podsOf(m)), Ref: v1beta2.RefKnativeService, Needs: []engines.Engine{engines.Knative()}, Components: true},
		daprWay(m),
		kedaHTTPWay(m, s),
	}), podsWay(m, s)...)
}

// installedOn says whether the cluster has the kinds of OpenFunction in the version that is stored.
func installedOn(ctx context.Context, config *rest.Config) error {
	c, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("reaching the cluster: %w", err)
	}
	group := v1beta2.GroupVersion.String()
	if _, err := c.ServerResourcesForGroupVersion(group); apierrors.IsNotFound(err) {
		return fmt.Errorf("this cluster does not know %s: apply config/crd of the version that this operator has (kubectl apply --server-side -f config/crd)", group)
	} else if err != nil {
		return fmt.Errorf("asking the cluster for %s: %w", group, err)
	}
	return ctx.Err()
}
