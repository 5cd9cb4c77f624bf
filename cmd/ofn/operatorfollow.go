package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/openfunction/ofn/internal/build/heads"
	"github.com/openfunction/ofn/internal/control/function/follow"
)

// followSettings are what `ofn operator` can be told about sources that are followed.
type followSettings struct {
	shortest  time.Duration
	perSecond float64
	// local lets sources be on this machine, for tests.
	local bool
}

func (s *followSettings) bind(f *pflag.FlagSet) {
	f.DurationVar(&s.shortest, "follow-interval", 30*time.Second, "least time between two questions to the source of a function with build.srcRepo.pollInterval")
	f.Float64Var(&s.perSecond, "follow-rate", 10, "questions to sources in a second at most, of all functions together; 0 is without limit")
}

// followController has functions built again when their sources change. Only the secrets that functions name for their sources are read for it.
func followController(m ctrl.Manager, s *operatorSettings, log *slog.Logger) *follow.Controller {
	d := net.Dialer{Timeout: 10 * time.Second, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		return s.follow.mayAsk(address)
	}}
	return follow.NewController(m.GetClient(), follow.Options{
		Heads: heads.New(heads.Options{
			HTTP: &http.Transport{Proxy: http.ProxyFromEnvironment, DialContext: d.DialContext, ForceAttemptHTTP2: true,
				TLSHandshakeTimeout: 10 * time.Second, MaxIdleConns: 8, IdleConnTimeout: 20 * time.Second},
			Dial: d.DialContext, Insecure: s.builds.insecure, PerSecond: s.follow.perSecond, UserAgent: "ofn-operator/" + version,
		}),
		Shortest: s.follow.shortest, Spread: spread, Log: log,
	})
}

// spread is an interval that differs by a tenth at most.
func spread(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)*float64(d)/5) //nolint:gosec // to be apart, not to be secret
}

// mayAsk is an error for an address, already resolved, where no source is: the operator asks for users, who must not
// reach by it what only its pod reaches.
func (s *followSettings) mayAsk(address string) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("reading the address %s: %w", address, err)
	}
	ip := to.Addr().Unmap()
	if ip.IsLoopback() && !s.local || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() || ofCloud(ip) {
		return fmt.Errorf("sources at %s are not asked", ip)
	}
	return nil
}
