// Package lease keeps the one of several processes that serves serving while the API server is away, which is when it cannot renew its
// lease. Nobody else can take the lease then, unless only this process is cut off. So it goes on with what it knows, and changes nothing on
// the cluster from the moment when another one may have the lease until it has renewed its own: two may answer for a while, but only one of
// them makes and deletes.
package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// ErrNotHeld is what becomes of a change while the lease may be another's.
var ErrNotHeld = errors.New("the API server was away for so long that another gateway may serve: nothing is changed on the cluster before the lease is renewed")

// Lease is a resourcelock.Interface for client-go's leader election, which takes it for renewed while the API server does not answer.
type Lease struct {
	resourcelock.Interface
	valid time.Duration
	log   *slog.Logger

	mu      sync.Mutex
	held    bool          // it was renewed, and nobody has been seen to take it since
	renewed time.Time     // when the last renewal that succeeded was asked for
	away    bool          // the last one did not succeed
	again   chan struct{} // closed and made anew with each renewal
}

// New is a lease over a lock. A renewal is good for changes on the cluster for as long as valid, which must be less than the duration of the lease.
func New(lock resourcelock.Interface, valid time.Duration, log *slog.Logger) *Lease {
	return &Lease{Interface: lock, valid: valid, log: log, again: make(chan struct{})}
}

// Held is whether nobody else can have the lease.
func (l *Lease) Held() bool {
	held, _ := l.now()
	return held
}

// now is whether it is held, and what is closed with the next renewal.
func (l *Lease) now() (held bool, again <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held && time.Since(l.renewed) < l.valid, l.again
}

// Await returns when the lease is held; an error, which is ErrNotHeld, when ctx ended before.
func (l *Lease) Await(ctx context.Context) error {
	for {
		held, again := l.now()
		if held {
			return nil
		}
		select {
		case <-again:
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", ErrNotHeld, ctx.Err())
		}
	}
}

// Create implements resourcelock.Interface.
func (l *Lease) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	began := time.Now()
	err := l.Interface.Create(ctx, r)
	if err == nil {
		l.renew(began)
	}
	return err
}

// Update implements resourcelock.Interface: it takes or renews the lease, or gives it back.
func (l *Lease) Update(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	if r.HolderIdentity != l.Identity() {
		return l.giveBack(ctx, r)
	}
	began := time.Now()
	err := l.Interface.Update(ctx, r)
	if err == nil {
		l.renew(began)
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) { // an answer: somebody else wrote, and who has it now must be read
		l.held = false
	}
	if !l.held {
		return err
	}
	if !l.away {
		l.away = true
		l.log.Warn("the lease cannot be renewed; this gateway serves what it knows, and soon changes nothing on the cluster any more", "err", err)
	}
	return nil
}

// giveBack writes a record without holder. One that another may have taken meanwhile is not given back: it would be taken from that one.
func (l *Lease) giveBack(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	if !l.Held() {
		return ErrNotHeld
	}
	l.mu.Lock()
	l.held = false
	l.mu.Unlock()
	return l.Interface.Update(ctx, r)
}

func (l *Lease) renew(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		l.log.Info("the lease is renewed again", "after", time.Since(l.renewed))
	}
	l.held, l.renewed, l.away = true, at, false
	close(l.again)
	l.again = make(chan struct{})
}

// Fence lets requests to the API server through that only read, and the others while the lease is held.
func (l *Lease) Fence(next http.RoundTripper) http.RoundTripper { return fence{l, next} }

type fence struct {
	lease *Lease
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (f fence) RoundTrip(req *http.Request) (*http.Response, error) {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return f.next.RoundTrip(req)
	}
	if f.lease.Held() {
		return f.next.RoundTrip(req)
	}
	if req.Body != nil {
		req.Body.Close()
	}
	return nil, ErrNotHeld
}
