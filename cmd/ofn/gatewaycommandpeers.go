package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/openfunction/ofn/internal/gateway/relay"
	"github.com/openfunction/ofn/internal/instance"
	driver "github.com/openfunction/ofn/internal/instance/drivers/pods"
	"github.com/openfunction/ofn/internal/lease"
)

// peers are what makes several gateways one: the one that leads serves, and the others hand requests on to it, whose address is in the
// lease beside its name.
type peers struct {
	listener net.Listener
	own      relay.Leader
	lock     *lease.Lease
}

// newPeers begins to listen for other gateways; nil when nobody could call this one.
func newPeers(ctx context.Context, config *rest.Config, s *gatewaySettings, log *slog.Logger) (p *peers, err error) {
	if !s.elect || s.ownAddress == "" {
		return nil, nil
	}
	p = &peers{}
	if p.listener, err = listen(ctx, s.relayAddress, "--relay-address"); err != nil {
		return nil, err
	}
	port := p.listener.Addr().(*net.TCPAddr).Port
	p.own.Address = net.JoinHostPort(s.ownAddress, strconv.Itoa(port))
	p.own.Identity = p.own.Address + "_" + rand.Text()
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, s.ownNamespace, s.lease(), resourcelock.ResourceLockConfig{Identity: p.own.Identity}, config, leaseRenew)
	if err != nil {
		return nil, fmt.Errorf("preparing the lease: %w", err)
	}
	p.lock = lease.New(lock, leaseRenew, log)
	return p, nil
}

// fenced is a configuration by which nothing is changed on the cluster while another gateway may serve. A gateway that nobody could call has no
// lease to go on with: it ends.
func (p *peers) fenced(config *rest.Config) *rest.Config {
	if p == nil {
		return config
	}
	config = rest.CopyConfig(config)
	config.Wrap(p.lock.Fence)
	return config
}

// starter is a driver whose copies are started, and kept, for a gateway that may change the cluster: who wants one meanwhile waits.
type starter struct {
	*driver.Driver
	peers *peers
}

// Start implements instance.Driver.
func (s starter) Start(ctx context.Context, spec instance.Spec) (instance.Instance, error) {
	if s.peers != nil {
		if err := s.peers.lock.Await(ctx); err != nil {
			return nil, err
		}
	}
	return s.Driver.Start(ctx, spec)
}

// keeps is whether copies that are not needed are kept, because others could not be made.
func (s starter) keeps() bool { return s.peers != nil && !s.peers.lock.Held() }

// lease names that of the gateway that serves.
func (s *gatewaySettings) lease() string {
	if s.namespace != "" {
		return s.namespace + "." + gatewayLease
	}
	return gatewayLease
}

// leaderOf is who holds a lease. One of another version may have no address.
func leaderOf(l *coordinationv1.Lease) relay.Leader {
	if l.Spec.HolderIdentity == nil {
		return relay.Leader{}
	}
	address, _, _ := strings.Cut(*l.Spec.HolderIdentity, "_")
	if _, _, err := net.SplitHostPort(address); err != nil {
		return relay.Leader{}
	}
	return relay.Leader{Identity: *l.Spec.HolderIdentity, Address: address}
}

// relays has the requests that come here handed on while another gateway serves.
func (f *front) relays(ctx context.Context) error {
	if f.peers == nil {
		return nil
	}
	f.relay = relay.New(relay.Options{Public: f.listener, Peers: f.peers.listener, Identity: f.peers.own.Identity, Drain: f.settings.drain, Log: f.log})
	informer, err := f.manager.GetCache().GetInformer(ctx, &coordinationv1.Lease{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching the lease: %w", err)
	}
	seen := func(o any) {
		if l, ok := o.(*coordinationv1.Lease); ok && l.Name == f.settings.lease() {
			f.relay.Follow(leaderOf(l))
		}
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{AddFunc: seen, UpdateFunc: func(_, o any) { seen(o) }}); err != nil {
		return fmt.Errorf("watching the lease: %w", err)
	}
	return f.manager.Add(always(func(ctx context.Context) error {
		late, cancel := f.lingering(ctx)
		defer cancel()
		context.AfterFunc(ctx, f.relay.Leave)
		return f.relay.Run(late)
	}))
}

// passes is whether requests that come here are handed on.
func (f *front) passes() bool {
	if f.relay == nil {
		return false
	}
	l, _ := f.relay.Leader()
	return l.Address != ""
}

// lingered is closed a while after ctx ended, by when nobody is led here any more.
func lingered(ctx context.Context, linger time.Duration) <-chan struct{} {
	over := make(chan struct{})
	context.AfterFunc(ctx, func() { time.AfterFunc(linger, func() { close(over) }) })
	return over
}

// lingering is a context that ends with ctx, and a while later when the gateway is to stop. Cancel it.
func (f *front) lingering(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() {
		if f.stops() {
			select {
			case <-f.lingered:
			case <-late.Done():
			}
		}
		cancel()
	})
	return late, func() { unhook(); cancel() }
}

// stops is whether the gateway is to stop.
func (f *front) stops() bool {
	select {
	case <-f.stopping:
		return true
	default:
		return false
	}
}
