package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	ctrlmanager "sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/gateway"
	"github.com/openfunction/ofn/internal/gateway/relay"
	"github.com/openfunction/ofn/internal/instance"
	driver "github.com/openfunction/ofn/internal/instance/drivers/pods"
	"github.com/openfunction/ofn/internal/route/embedded"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/node"
	"github.com/openfunction/ofn/internal/run/pods"
	"github.com/openfunction/ofn/internal/telemetry"
)

// What the gateway asks of the API server in a second at most, and for a moment: each start of a copy is one or two requests, and
// requests of users wait for it.
const (
	gatewayQPS   = 200
	gatewayBurst = 500
)

// gatewayLease names the lease of the gateway that serves. When a gateway is killed the next one serves after leaseTime.
const (
	gatewayLease = "ofn-gateway.openfunction.io"
	leaseTime    = 8 * time.Second
	leaseRenew   = 6 * time.Second
	leaseRetry   = 2 * time.Second
)

// startsAtOnce bounds how many copies are being started at the same time: most of that is waiting for nodes.
const startsAtOnce = 512

// front is the data path of a cluster: the gateway, the activator and the scaler of one machine over copies that are pods.
type front struct {
	settings *gatewaySettings
	log      *slog.Logger
	manager  ctrlmanager.Manager
	listener net.Listener
	metrics  *telemetry.Metrics
	driver   *driver.Driver
	warm     *warmth
	node     *node.Node
	gateway  *gateway.Gateway
	follower *pods.Follower
	known    toolscache.InformerSynced // whether the driver was told of all pods
	serving  atomic.Bool
	peers    *peers       // nil for a gateway that nobody could call
	relay    *relay.Relay // nil without peers
	stopping <-chan struct{}
	lingered <-chan struct{}
}

func newFront(ctx context.Context, config *rest.Config, s *gatewaySettings, log *slog.Logger) (*front, error) {
	config = rest.CopyConfig(config)
	config.UserAgent, config.QPS, config.Burst = "ofn-gateway/"+version, gatewayQPS, gatewayBurst
	f := &front{settings: s, log: log, metrics: telemetry.New(version), stopping: ctx.Done(), lingered: lingered(ctx, s.linger)}
	resize, err := prepareWarmth(ctx, config, s)
	if err != nil {
		return nil, err
	}
	if f.peers, err = newPeers(ctx, config, s, log); err != nil {
		return nil, err
	}
	config = f.peers.fenced(config)
	if f.manager, err = newGatewayManager(config, s, f.peers); err != nil {
		return nil, err
	}
	c := f.manager.GetClient()
	if f.warm, err = newWarmth(c, f.manager.GetAPIReader(), s, resize, log); err != nil {
		return nil, err
	}
	f.driver = driver.New(driver.Options{Client: c, Template: templateIn(c), Container: v1beta2.FunctionContainer, Log: log, Warm: f.warm.pool()})
	copies := starter{f.driver, f.peers}
	f.node, err = node.New(node.Options{Drivers: map[string]instance.Driver{"": copies}, Images: f.warm, Metrics: f.metrics, Log: log, Keep: copies.keeps,
		StartTimeout: s.startTimeout, Starts: startsAtOnce, Prepares: startsAtOnce})
	if err != nil {
		return nil, err
	}
	f.gateway = gateway.New(gateway.Options{Log: log, Metrics: f.metrics, DrainTimeout: s.drain})
	routes := embedded.New(f.gateway, func(namespace, name string) *activator.Revision {
		return f.node.Revision(run.Key{Namespace: namespace, Name: name})
	})
	f.follower = pods.NewFollower(c, f.node, names{routes, s}, log)
	f.metrics.ObserveReplicas(f.replicas)
	return f, errors.Join(f.register(), f.watch(ctx), f.listen(ctx), f.relays(ctx))
}

func newGatewayManager(config *rest.Config, s *gatewaySettings, p *peers) (ctrlmanager.Manager, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("making the scheme: %w", err)
	}
	ours := cache.ByObject{Label: labels.SelectorFromSet(pods.Selector())}
	stop := s.linger + 2*s.drain + 10*time.Second // of the relay, and of what serves
	lease, renew, retry := leaseTime, leaseRenew, leaseRetry
	o := ctrl.Options{
		Scheme:                 scheme,
		Metrics:                metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress: s.healthAddress,
		Cache: cache.Options{DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{&corev1.Pod{}: ours, &corev1.PodTemplate{}: ours, &corev1.Service{}: ours}},
		LeaderElection: s.elect, LeaderElectionID: s.lease(), LeaderElectionNamespace: s.ownNamespace, LeaderElectionReleaseOnCancel: true,
		LeaseDuration: &lease, RenewDeadline: &renew, RetryPeriod: &retry,
		GracefulShutdownTimeout: &stop,
		Controller:              queues(),
	}
	if s.namespace != "" {
		o.Cache.DefaultNamespaces = map[string]cache.Config{s.namespace: {}}
	}
	if p != nil {
		o.LeaderElectionResourceLockInterface = p.lock
		o.Cache.ByObject[&coordinationv1.Lease{}] = cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", s.lease()),
			Namespaces: map[string]cache.Config{s.ownNamespace: {}}}
	}
	m, err := ctrl.NewManager(config, o)
	if err != nil {
		return nil, fmt.Errorf("making the gateway's controllers: %w", err)
	}
	return m, nil
}

// register joins the parts with the manager: what leads serves. Who stops is not ready at once, and goes on for a while, until nobody is
// led here any more.
func (f *front) register() error {
	ready := func(*http.Request) error {
		switch {
		case f.stops():
			return errors.New("this gateway stops")
		case !f.serving.Load() && !f.passes():
			return errors.New("another gateway serves, or none")
		}
		return nil
	}
	return errors.Join(f.manager.AddHealthzCheck("ping", healthz.Ping), f.manager.AddReadyzCheck("serving", ready),
		f.follower.Register(f.manager), f.manager.Add(ctrlmanager.RunnableFunc(f.serve)), f.manager.Add(always(f.observe)))
}

// always runs on every replica.
type always func(context.Context) error

// Start implements manager.Runnable.
func (a always) Start(ctx context.Context) error { return a(ctx) }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (always) NeedLeaderElection() bool { return false }

func (f *front) listen(ctx context.Context) (err error) {
	f.listener, err = listen(ctx, f.settings.address, "--address")
	return err
}

// observe serves the metrics.
func (f *front) observe(ctx context.Context) error {
	if f.settings.metricsAddress == "" {
		<-ctx.Done()
		return nil
	}
	l, err := listen(ctx, f.settings.metricsAddress, "--metrics-address")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", f.metrics.Handler())
	return serveHTTP(ctx, l, mux)
}

// watch tells the driver and the pool of pods, on every replica, so that the one that comes to lead knows them.
func (f *front) watch(ctx context.Context) error {
	informer, err := f.manager.GetCache().GetInformer(ctx, &corev1.Pod{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching pods: %w", err)
	}
	seen := func(o any) {
		if p, ok := o.(*corev1.Pod); ok {
			f.warm.seen(p)
			if p.Labels[driver.LabelRevision] != "" {
				f.driver.Seen(p)
			}
		}
	}
	told, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: seen, UpdateFunc: func(_, o any) { seen(o) }, DeleteFunc: func(o any) {
		if last, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
			o = last.Obj
		}
		if p, ok := o.(*corev1.Pod); ok {
			f.warm.gone(p)
			f.driver.Gone(p.Namespace, p.Name)
		}
	}})
	if err != nil {
		return fmt.Errorf("watching pods: %w", err)
	}
	f.known = told.HasSynced
	return f.watchRevisions(ctx)
}

// watchRevisions tells the pool of revisions.
func (f *front) watchRevisions(ctx context.Context) error {
	informer, err := f.manager.GetCache().GetInformer(ctx, &corev1.PodTemplate{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching pod templates: %w", err)
	}
	tell := func(o any, gone bool) {
		if t, ok := o.(*corev1.PodTemplate); ok {
			f.warm.revision(t, gone)
		}
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: func(o any) { tell(o, false) }, UpdateFunc: func(_, o any) { tell(o, false) }, DeleteFunc: func(o any) {
		if last, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
			o = last.Obj
		}
		tell(o, true)
	}})
	if err != nil {
		return fmt.Errorf("watching pod templates: %w", err)
	}
	return nil
}

// serve is what the gateway that leads does until ctx ends. Copies go on when it stops.
func (f *front) serve(ctx context.Context) error {
	if !toolscache.WaitForCacheSync(ctx.Done(), f.known) {
		return errNotSynced
	}
	if err := f.follower.Prime(ctx); err != nil {
		return err
	}
	ctx, cancel := f.lingering(ctx)
	defer cancel()
	l := f.listener
	if f.relay != nil {
		l = f.relay.Lead()
	}
	f.serving.Store(true)
	f.log.Info("this gateway serves", "address", f.listener.Addr().String())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { f.driver.Sweep(ctx); return nil })
	group.Go(func() error { f.warm.run(ctx); return nil })
	group.Go(func() error { return f.gateway.Serve(ctx, l) })
	err := group.Wait()
	f.serving.Store(false)
	f.driver.Leave()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if late := f.node.Close(end); late != nil {
		f.log.Debug("not every copy was left in time", "err", late)
	}
	return errors.Join(err, f.driver.Close())
}

// templateIn finds the record of a revision.
func templateIn(c client.Reader) func(context.Context, string, string) (*corev1.PodTemplate, error) {
	return func(ctx context.Context, namespace, revision string) (*corev1.PodTemplate, error) {
		t := &corev1.PodTemplate{}
		if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: revision}, t); err != nil {
			return nil, client.IgnoreNotFound(err)
		}
		return t, nil
	}
}
