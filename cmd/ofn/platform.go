package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/config/crd"
	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/compile"
	"github.com/openfunction/ofn/internal/control/admission"
	"github.com/openfunction/ofn/internal/gateway"
	"github.com/openfunction/ofn/internal/image"
	"github.com/openfunction/ofn/internal/image/assemble"
	"github.com/openfunction/ofn/internal/image/registry"
	"github.com/openfunction/ofn/internal/instance/drivers/sandbox"
	"github.com/openfunction/ofn/internal/instance/drivers/wasm"
	"github.com/openfunction/ofn/internal/kubeapi"
	"github.com/openfunction/ofn/internal/nodeapi"
	"github.com/openfunction/ofn/internal/route/embedded"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/node"
	"github.com/openfunction/ofn/internal/run/node/copylog"
	"github.com/openfunction/ofn/internal/telemetry"
)

// webhookPrefix is where the API server finds its own webhooks, as those of the service "kubernetes".
const webhookPrefix = "/ofn/admission"

// platform is everything that runs in `ofn up`.
type platform struct {
	settings *settings
	log      *slog.Logger
	metrics  *telemetry.Metrics
	traces   *traces

	registry *registry.Registry
	store    *image.Store
	driver   *sandbox.Driver
	wasm     *wasm.Driver
	builds   *builds
	copies   *copylog.Store
	node     *node.Node
	gateway  *gateway.Gateway
	router   *embedded.Router
	api      *kubeapi.Server
	events   *eventing
	calls    *asyncCalls
	compiles *compile.Compiler             // see compiler
	objects  atomic.Pointer[client.Client] // of the controllers; nil until they are made

	gatewayListener  net.Listener
	metricsListener  net.Listener                  // nil without --metrics-address
	registryListener net.Listener                  // nil without --registry-address
	closers          []func(context.Context) error // in the order of opening
}

// open makes everything ready. When it fails nothing is left open.
func open(ctx context.Context, s *settings, log *slog.Logger) (p *platform, err error) {
	p = &platform{settings: s, log: log, metrics: telemetry.New(version)}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close(context.WithoutCancel(ctx)))
		}
	}()
	// Nothing in the data directory is touched before the lock is ours, and a second `ofn up` on it hears of that first.
	lock, err := lockDataDir(s.dataDir)
	if err != nil {
		return p, err
	}
	p.onClose(func(context.Context) error { return lock.Close() })
	if err := p.listenAll(ctx); err != nil {
		return p, err
	}
	if err := p.able(sandbox.Check(p.sandboxOptions())); err != nil {
		return p, err
	}
	if p.registry, err = registry.Open(filepath.Join(s.dataDir, "registry"), registry.Options{Log: log}); err != nil {
		return p, err
	}
	p.onClose(func(context.Context) error { return p.registry.Close() })
	p.calls = newCalls(p)
	group, started := errgroup.WithContext(ctx)
	group.Go(func() error { return p.openControlPlane(ctx) })
	group.Go(func() error { return p.openMachine(started) })
	return p, group.Wait()
}

// listenAll takes the addresses before anything is started, so that one in use is told at once.
func (p *platform) listenAll(ctx context.Context) error {
	for _, l := range []struct {
		address, flag string
		into          *net.Listener
	}{
		{p.settings.gatewayAddress, "--gateway-address", &p.gatewayListener},
		{p.settings.metricsAddress, "--metrics-address", &p.metricsListener},
		{p.settings.registryAddr, "--registry-address", &p.registryListener},
	} {
		if l.address == "" {
			continue
		}
		listener, err := listen(ctx, l.address, l.flag)
		if err != nil {
			return err
		}
		*l.into = listener
		p.onClose(func(context.Context) error {
			if err := listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		})
	}
	return nil
}

func (p *platform) onClose(f func(context.Context) error) { p.closers = append(p.closers, f) }

// openMachine makes what runs functions: sandbox, images, builds, node, gateway.
func (p *platform) openMachine(ctx context.Context) (err error) {
	s := p.settings
	if err = p.openTraces(ctx); err != nil {
		return err
	}
	if p.store, err = image.Open(filepath.Join(s.dataDir, "images"), p.registry, image.Options{InsecureHosts: s.insecure, Log: p.log}); err != nil {
		return err
	}
	if p.driver, err = p.openSandbox(); err != nil {
		return err
	}
	if err = p.driver.Clean(ctx); err != nil {
		return fmt.Errorf("cleaning up after an earlier run: %w", err)
	}
	if p.wasm, err = p.openWasm(); err != nil {
		return err
	}
	img := images{store: p.store}
	if img.layers, err = assemble.OpenCache(filepath.Join(s.dataDir, "build", "layers"), time.Now()); err != nil {
		return err
	}
	if p.builds, err = newBuilds(s, img, sandboxed{p.driver}); err != nil {
		return err
	}
	if p.copies, err = copylog.Open(filepath.Join(s.dataDir, "logs"), copylog.Options{Log: p.log}); err != nil {
		return err
	}
	if err = p.openEvents(ctx); err != nil {
		return err
	}
	p.node, err = node.New(node.Options{Drivers: p.runtimes(), Images: img, Logs: p.copies, Metrics: p.metrics, Dapr: p.events, Sidecars: sidecars{p}, Triggers: p.openTriggers(),
		Log: p.log, Timeout: s.requestTimeout, StartTimeout: s.startTimeout, Grace: s.drain})
	if err != nil {
		return err
	}
	p.gateway = gateway.New(gateway.Options{Log: p.log, Metrics: p.metrics, Tracer: p.traces.gateway(), DrainTimeout: s.drain, Unmatched: p.events.hooks, Async: p.calls.front})
	p.router = embedded.New(p.gateway, func(namespace, name string) *activator.Revision {
		return p.node.Revision(run.Key{Namespace: namespace, Name: name})
	})
	return p.calls.start(ctx, p.events)
}

// openSandbox makes the driver. What functions reach is the user's choice; without one it is the outside where the machine
// allows that.
func (p *platform) openSandbox() (*sandbox.Driver, error) {
	o := p.sandboxOptions()
	if o.Egress == "" && os.Geteuid() == 0 {
		o.Egress = sandbox.EgressNAT
		d, err := sandbox.New(o)
		if err == nil {
			return d, nil
		}
		p.log.Warn("functions will reach nothing outside: this machine does not let ofn translate addresses", "err", err)
	}
	if o.Egress == "" || p.settings.egress == "" {
		o.Egress = sandbox.EgressNone
	}
	d, err := sandbox.New(o)
	if err != nil {
		return nil, fmt.Errorf("preparing the sandbox: %w", err)
	}
	return d, nil
}

func (p *platform) sandboxOptions() sandbox.Options {
	return sandbox.Options{StateDir: filepath.Join(p.settings.dataDir, "sandbox"), Log: p.log,
		AllowUnlimited: p.settings.allowUnlimited, Egress: sandbox.Egress(p.settings.egress)}
}

// able refuses a machine that cannot run functions, and one that cannot limit them unless the user accepts that.
func (p *platform) able(problems []sandbox.Problem) error {
	var fatal, limits []string
	for _, problem := range problems {
		switch {
		case problem.Fatal:
			fatal = append(fatal, problem.String())
		case problem.Limit:
			limits = append(limits, problem.String())
		default:
			p.log.Warn("this machine lacks something", "what", problem.What, "means", problem.Means, "do", problem.Do)
		}
	}
	if len(fatal) > 0 {
		return fmt.Errorf("this machine cannot run functions:\n  %s", strings.Join(fatal, "\n  "))
	}
	if len(limits) > 0 && !p.settings.allowUnlimited {
		return fmt.Errorf("this machine cannot enforce the limits of functions:\n  %s\nwith --allow-unlimited functions and builds run without them",
			strings.Join(limits, "\n  "))
	}
	for _, l := range limits {
		p.log.Warn("a limit will not be enforced", "why", l)
	}
	return nil
}

// openControlPlane starts the API with the webhooks and the node's own API inside.
func (p *platform) openControlPlane(ctx context.Context) error {
	crds, err := crd.Objects()
	if err != nil {
		return err
	}
	gatewayURL := &url.URL{Scheme: "http", Host: p.gatewayListener.Addr().String()}
	nodeAPI := nodeapi.New(nodeapi.Options{Logs: logs{p}, Gateway: gatewayURL, Transport: http.DefaultTransport, ClusterDomain: p.settings.clusterDomain, Log: p.log,
		Calls: p.calls.front.Manage(), Buses: shownBuses{p.calls}, DeadLetters: shownLetters{p.calls}, WebhookKey: p.calls.signingKey})
	p.api, err = kubeapi.Start(ctx, kubeapi.Options{
		DataDir: filepath.Join(p.settings.dataDir, "control"), BindAddress: p.settings.apiAddress, Port: apiPort(p.settings.apiPort), Log: p.log,
		Handlers: map[string]http.Handler{
			webhookPrefix + "/": admission.Handler(webhookPrefix, p.admission()),
			nodeapi.Prefix:      nodeAPI,
			"/v2/":              p.registry,
		},
		Describe: func(ca []byte, _ string) ([]*apiextensionsv1.CustomResourceDefinition, []runtime.Object) {
			own := &admission.Service{Namespace: "default", Name: "kubernetes", Prefix: webhookPrefix}
			return crds, installed(p.settings, crds, admission.Endpoint{CABundle: ca, Service: own})
		},
	})
	return err
}

func apiPort(n int) int {
	if n == 0 {
		return kubeapi.AnyPort
	}
	return n
}

// listen says which flag to change when the address is taken.
func listen(ctx context.Context, address, flag string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w; stop what is there or choose another with %s", address, err, flag)
	}
	return l, nil
}

// serve runs the controllers and the listeners until ctx ends or one of them fails. It calls ready when functions can be
// applied and those there were can be called. Requests that come before wait in the listener.
func (p *platform) serve(ctx context.Context, ready func()) error {
	group, ctx := errgroup.WithContext(ctx)
	restored := make(chan struct{})
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	p.node.Watch(stop, func(run.Key) {
		if err := p.router.Refresh(); err != nil {
			p.log.Error("routes cannot follow a revision", "err", err)
		}
	})
	p.metrics.ObserveReplicas(p.replicas)
	group.Go(func() error { p.calls.closeAfter(ctx); return nil })
	group.Go(func() error { return p.control(ctx, func() { close(restored) }) })
	group.Go(func() error {
		select {
		case <-restored:
			ready()
			return p.gateway.Serve(ctx, p.gatewayListener)
		case <-ctx.Done():
			return nil
		}
	})
	if p.settings.warm {
		group.Go(func() error { p.warm(ctx, restored); return nil })
	}
	if p.metricsListener != nil {
		group.Go(func() error { return serveHTTP(ctx, p.metricsListener, p.observability()) })
	}
	if p.registryListener != nil {
		group.Go(func() error { return serveHTTP(ctx, p.registryListener, p.registry) })
	}
	return group.Wait()
}

// warm makes the first build quicker once the platform is up.
func (p *platform) warm(ctx context.Context, up <-chan struct{}) {
	select {
	case <-up:
	case <-ctx.Done():
		return
	}
	if err := p.builds.warm(ctx); err != nil {
		p.log.Debug("the first build will take longer", "err", err)
	}
}

func (p *platform) observability() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", p.metrics.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return mux
}

// serveHTTP serves one handler until ctx ends.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan struct{})
	release := context.AfterFunc(ctx, func() {
		defer close(stopped)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = s.Shutdown(end) // what is not done by then is cut off when the process ends
	})
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		release()
		return fmt.Errorf("serving %s: %w", l.Addr(), err)
	}
	<-stopped
	return nil
}

// close ends everything in the reverse order of opening.
func (p *platform) close(ctx context.Context) error {
	var errs []error
	if p.calls != nil {
		p.calls.close(ctx) // serve has done so, unless the start failed
	}
	if p.events != nil { // nothing more is begun, while there still are copies for what is under way
		errs = append(errs, p.events.engine.Close())
	}
	if p.node != nil {
		drain, cancel := context.WithTimeout(ctx, p.settings.drain)
		if err := p.node.Close(drain); err != nil {
			p.log.Warn("not every copy ended in time", "err", err)
		}
		cancel()
	}
	if p.wasm != nil { // its workers run in the sandbox
		errs = append(errs, p.wasm.Close())
	}
	if p.driver != nil {
		errs = append(errs, p.driver.Close())
	}
	if p.api != nil {
		errs = append(errs, p.api.Close(ctx))
	}
	for i := len(p.closers) - 1; i >= 0; i-- {
		errs = append(errs, p.closers[i](ctx))
	}
	return errors.Join(errs...)
}
