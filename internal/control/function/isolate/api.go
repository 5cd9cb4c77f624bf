package isolate

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fresh is how long addresses of the API are taken for right: they change when its servers are moved.
const fresh = time.Minute

// Addresses finds out where the cluster's API is.
type Addresses struct {
	live  client.Reader
	clock clock.PassiveClock
	known []netip.Addr

	mu    sync.Mutex
	found []netip.Addr
	at    time.Time
}

// NewAddresses asks the cluster at most once a minute. Known are addresses beside those that it says.
func NewAddresses(live client.Reader, c clock.PassiveClock, known ...netip.Addr) *Addresses {
	return &Addresses{live: live, clock: c, known: known}
}

// Find is an Options.API.
func (a *Addresses) Find(ctx context.Context) ([]netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.at.IsZero() && a.clock.Since(a.at) < fresh {
		return a.found, nil
	}
	found := append([]netip.Addr(nil), a.known...)
	slice := &discoveryv1.EndpointSlice{}
	err := a.live.Get(ctx, client.ObjectKey{Namespace: "default", Name: "kubernetes"}, slice)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("finding the addresses of the cluster's API: %w", err)
	}
	for _, e := range slice.Endpoints {
		for _, text := range e.Addresses {
			if addr, err := netip.ParseAddr(text); err == nil { // there may be names
				found = append(found, addr)
			}
		}
	}
	a.found, a.at = found, a.clock.Now()
	return found, nil
}
