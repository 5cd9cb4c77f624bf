package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlmanager "sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/openfunction/ofn/api/core/v1beta2"
	daprv1 "github.com/openfunction/ofn/api/dapr/v1alpha1"
	daprv2 "github.com/openfunction/ofn/api/dapr/v2alpha1"
	eventsapi "github.com/openfunction/ofn/api/events/v1alpha1"
	kedav1 "github.com/openfunction/ofn/api/keda/v1alpha1"
	networking "github.com/openfunction/ofn/api/networking/v1alpha1"
	buildseam "github.com/openfunction/ofn/internal/build"
	builderexpire "github.com/openfunction/ofn/internal/control/builder/expire"
	builderrun "github.com/openfunction/ofn/internal/control/builder/run"
	"github.com/openfunction/ofn/internal/control/function"
	"github.com/openfunction/ofn/internal/control/function/build"
	"github.com/openfunction/ofn/internal/control/function/follow"
	"github.com/openfunction/ofn/internal/control/function/route"
	"github.com/openfunction/ofn/internal/control/function/serve"
	"github.com/openfunction/ofn/internal/control/function/share"
	gatewayaccept "github.com/openfunction/ofn/internal/control/gateway/accept"
	servingrun "github.com/openfunction/ofn/internal/control/serving/run"
	"github.com/openfunction/ofn/internal/nodeapi"
	"github.com/openfunction/ofn/internal/run/node/copylog"
	"github.com/openfunction/ofn/internal/telemetry"
)

// registrable is a controller.
type registrable interface {
	Name() string
	Register(ctrl.Manager) error
}

// control runs the controllers until ctx ends. It calls restored when everything there was is in effect again.
func (p *platform) control(ctx context.Context, restored func()) error {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta2.AddToScheme, networking.AddToScheme,
		eventsapi.AddToScheme, daprv1.AddToScheme, daprv2.AddToScheme, kedav1.AddToScheme} {
		if err := add(scheme); err != nil {
			return fmt.Errorf("making the scheme: %w", err)
		}
	}
	config := p.api.Config()
	config.QPS = -1                                                             // the server is in this process; its own limits hold
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, "" // custom resources have no protobuf form
	ctrl.SetLogger(klog.Background())                                           // which RouteKlog made as quiet as it should be
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:  scheme,
		Metrics: metricsserver.Options{BindAddress: "0"},
		Cache:   cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		// Secrets, configmaps and accounts are read when they are needed, not held in memory.
		Client:                  client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}, &corev1.ServiceAccount{}}}},
		GracefulShutdownTimeout: &p.settings.drain,
		Controller:              queues(),
	})
	if err != nil {
		return fmt.Errorf("making the controllers: %w", err)
	}
	c := manager.GetClient()
	p.objects.Store(&c)
	functions := function.NewController(c, manager.GetEventRecorder("ofn"), share.New(c, build.New(c), serve.New(c)), p.subscribe(c), route.New(c, p.router, route.Options{Port: port(p.gatewayListener.Addr())}))
	servings := servingrun.NewController(c, servingrun.Options{Runner: p.node, Log: p.log, StartTimeout: p.settings.startTimeout, Sidecars: true})
	for _, c := range append(p.controllers(c), functions, servings) {
		if err := c.Register(manager); err != nil {
			return fmt.Errorf("registering controller %s: %w", c.Name(), err)
		}
	}
	for _, r := range []ctrlmanager.Runnable{
		&restore{client: c, functions: functions, servings: servings, done: restored},
		&collector{client: c, store: p.store, builds: p.builds.logs, log: p.log},
	} {
		if err := manager.Add(r); err != nil {
			return fmt.Errorf("adding to the controllers: %w", err)
		}
	}
	if err := manager.Start(ctx); err != nil {
		return fmt.Errorf("running the controllers: %w", err)
	}
	return nil
}

func (p *platform) controllers(c client.Client) []registrable {
	return append(p.eventControllers(c),
		follow.NewController(c, follow.Options{Heads: p.builds.heads, Log: p.log}),
		builderrun.NewController(c, builderrun.Options{Strategies: p.builds.strategies, Local: true, Done: p.metrics.Built, Gone: p.forgetBuild, Clock: clock.RealClock{}, Log: p.log}),
		builderexpire.NewController(c, clock.RealClock{}),
		gatewayaccept.NewController(c, []string{host(p.gatewayListener.Addr())}),
	)
}

// replicas lists the revisions for a scrape.
func (p *platform) replicas() []telemetry.Replicas {
	var out []telemetry.Replicas
	for _, k := range p.node.Keys() {
		s, ok := p.node.Status(context.Background(), k)
		if !ok {
			continue
		}
		r := telemetry.Replicas{Namespace: k.Namespace, Revision: k.Name, Desired: s.Desired, Ready: s.Ready, Starting: s.Starting}
		if rev := p.node.Revision(k); rev != nil {
			r.InFlight, r.Waiting = rev.Load()
		}
		out = append(out, r)
	}
	return out
}

// logs gives nodeapi what copies and builds wrote.
type logs struct{ p *platform }

// Function implements nodeapi.Logs.
func (l logs) Function(ctx context.Context, q nodeapi.LogQuery) (io.ReadCloser, error) {
	if l.p.copies == nil {
		return nil, os.ErrNotExist
	}
	return l.p.copies.Read(ctx, copylog.Query{Namespace: q.Namespace, Function: q.Function, Revision: q.Revision, Copy: q.Replica,
		Tail: q.Tail, Since: q.Since, Follow: q.Follow})
}

// Build implements nodeapi.Logs.
func (l logs) Build(ctx context.Context, namespace, builder string, follow bool) (io.ReadCloser, error) {
	if l.p.builds == nil {
		return nil, os.ErrNotExist
	}
	id := namespace + "/" + builder
	if follow {
		log, err := l.p.builds.logs.Follow(ctx, id)
		if errors.Is(err, buildseam.ErrNoLog) { // it ended before it began, for lack of a secret perhaps
			err = os.ErrNotExist
		}
		return log, err
	}
	path := l.p.builds.logs.LogPath(id)
	return os.Open(path)
}

// lockDataDir makes the directory and holds it for this process. The lock goes with the process, however it ends.
func lockDataDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("making the data directory: %w; choose another with --data-dir", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "ofn.pid"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder := make([]byte, 32)
		n, _ := f.Read(holder) // an unreadable pid is said as none
		f.Close()
		return nil, fmt.Errorf("data directory %s is in use by process %s: another `ofn up` runs on it; stop that one or choose another with --data-dir", dir, holder[:n])
	}
	if err := errors.Join(f.Truncate(0), write(f, fmt.Sprint(os.Getpid()))); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking the data directory: %w", err)
	}
	return f, nil
}

func write(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}
