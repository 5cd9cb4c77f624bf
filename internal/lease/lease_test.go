package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/openfunction/ofn/internal/lease"
)

// Those of the gateway.
const (
	duration = 8 * time.Second
	deadline = 6 * time.Second
	retry    = 2 * time.Second
)

// store is the lease as the API server keeps it.
type store struct {
	mu      sync.Mutex
	record  *resourcelock.LeaderElectionRecord
	version int
}

// holder is who has the lease; false when there is none.
func (s *store) holder() (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.record == nil {
		return "", false
	}
	return s.record.HolderIdentity, true
}

var (
	kind    = schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}
	errAway = errors.New("connection refused")
)

// lock is what one process sees of it.
type lock struct {
	*store
	identity string
	known    int  // the version that it read or wrote last
	away     bool // whether it is cut off
}

func (l *lock) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return nil, nil, errAway
	}
	if l.record == nil {
		return nil, nil, apierrors.NewNotFound(kind, "x")
	}
	l.known = l.version
	r := *l.record
	raw, err := json.Marshal(r)
	return &r, raw, err
}

func (l *lock) Create(_ context.Context, r resourcelock.LeaderElectionRecord) error {
	return l.write(r, func() bool { return l.record == nil })
}

func (l *lock) Update(_ context.Context, r resourcelock.LeaderElectionRecord) error {
	return l.write(r, func() bool { return l.record != nil && l.known == l.version })
}

func (l *lock) write(r resourcelock.LeaderElectionRecord, may func() bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.away:
		return errAway
	case !may():
		return apierrors.NewConflict(kind, "x", errors.New("changed meanwhile"))
	}
	l.version++
	l.record, l.known = &r, l.version
	return nil
}

func (l *lock) RecordEvent(string) {}
func (l *lock) Identity() string   { return l.identity }
func (l *lock) Describe() string   { return l.identity }

// process is one that wants to lead.
type process struct {
	*lock
	lease   *lease.Lease
	cancel  context.CancelFunc
	leading chan struct{} // closed when it leads
	ended   chan struct{} // closed when it has led, and does no longer
}

func start(t *testing.T, s *store, identity string) *process {
	p := &process{lock: &lock{store: s, identity: identity}, leading: make(chan struct{}), ended: make(chan struct{})}
	p.lease = lease.New(p.lock, deadline, slog.New(slog.DiscardHandler))
	e, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{Lock: p.lease, LeaseDuration: duration, RenewDeadline: deadline, RetryPeriod: retry, ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) { close(p.leading) }, OnStoppedLeading: func() {}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p.cancel = cancel
	go func() { e.Run(ctx); close(p.ended) }()
	t.Cleanup(func() { cancel(); <-p.ended })
	return p
}

func (p *process) cut(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
}

func (p *process) leads() bool {
	select {
	case <-p.ended:
		return false
	default:
	}
	select {
	case <-p.leading:
		return true
	default:
		return false
	}
}

// eventually lets time pass, in which never two may change anything, until something is so.
func eventually(t *testing.T, within time.Duration, what string, is func() bool, all ...*process) {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(100 * time.Millisecond) {
		synctest.Wait()
		held := 0
		for _, p := range all {
			if p.lease.Held() {
				held++
			}
		}
		if held > 1 {
			t.Fatal("two may change the cluster")
		}
		if is() {
			return
		}
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func TestTheAPIServerIsAwayAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		a := start(t, s, "a")
		eventually(t, time.Minute, "nobody leads", a.leads, a)
		b := start(t, s, "b")
		time.Sleep(time.Minute)
		if !a.lease.Held() || b.leads() {
			t.Fatal("at rest the first does not hold the lease")
		}
		for range 3 {
			a.cut(true)
			b.cut(true)
			eventually(t, deadline+time.Second, "a lease that is not renewed is held on to", func() bool { return !a.lease.Held() }, a, b)
			time.Sleep(10 * time.Minute)
			if !a.leads() || a.lease.Held() || b.leads() {
				t.Fatalf("while the API server is away: a leads %v and holds %v, b leads %v", a.leads(), a.lease.Held(), b.leads())
			}
			short, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := a.lease.Await(short); !errors.Is(err, lease.ErrNotHeld) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("who waits for it is told %v", err)
			}
			cancel()
			waited := make(chan error, 1)
			go func() { waited <- a.lease.Await(t.Context()) }()
			a.cut(false)
			if err := <-waited; err != nil || !a.lease.Held() {
				t.Errorf("who waited for it is told %v", err)
			}
			eventually(t, 2*deadline, "the lease is not renewed when the API server is back", a.lease.Held, a, b)
			b.cut(false)
		}
		time.Sleep(time.Minute)
		if b.leads() || !a.leads() || !a.lease.Held() {
			t.Error("it is another one in the end")
		}
	})
}

func TestOneIsCutOffAndAnotherTakesOver(t *testing.T) {
	for name, stop := range map[string]bool{"it comes back": false, "it is stopped as it comes back": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &store{}
				a := start(t, s, "a")
				eventually(t, time.Minute, "nobody leads", a.leads, a)
				b := start(t, s, "b")
				time.Sleep(time.Minute)
				a.cut(true)
				eventually(t, time.Minute, "the other one does not take over", func() bool { return b.leads() && b.lease.Held() }, a, b)
				time.Sleep(time.Minute)
				if !a.leads() {
					t.Error("what is cut off does not go on")
				}
				a.cut(false)
				if stop {
					a.cancel()
					<-a.ended
					if who, _ := s.holder(); who != "b" {
						t.Errorf("the lease is of %q then", who)
					}
				}
				eventually(t, 2*deadline, "both go on", func() bool { return !a.leads() }, a, b)
				for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
					if a.lease.Held() || !b.leads() || !b.lease.Held() {
						t.Fatal("the lease was taken from the one that has it")
					}
				}
			})
		})
	}
}

// A lease that is deleted by hand is made again, and one that is given back is nobody's at once.
func TestDeletedAndGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		a := start(t, s, "a")
		eventually(t, time.Minute, "nobody leads", a.leads, a)
		s.mu.Lock()
		s.record = nil
		s.mu.Unlock()
		time.Sleep(time.Minute)
		if who, there := s.holder(); !a.leads() || !a.lease.Held() || !there || who != "a" {
			t.Fatal("a lease that was deleted is not made again")
		}
		a.cancel()
		<-a.ended
		if who, _ := s.holder(); a.lease.Held() || who != "" {
			t.Errorf("it is not given back, but is of %q", who)
		}
	})
}

func TestFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lock{store: &store{}, identity: "a"}
		own := lease.New(l, deadline, slog.New(slog.DiscardHandler))
		served := 0
		over := own.Fence(trip(func(*http.Request) (*http.Response, error) {
			served++
			return httptest.NewRecorder().Result(), nil
		}))
		send := func(method string) error {
			body := &closed{Reader: strings.NewReader("{}")}
			req, err := http.NewRequestWithContext(t.Context(), method, "http://api/x", body)
			if err != nil {
				t.Fatal(err)
			}
			before := served
			resp, err := over.RoundTrip(req)
			if err == nil {
				resp.Body.Close()
			} else if !body.was || served != before {
				t.Errorf("%s: the request's body is closed %v, and it was sent %d times", method, body.was, served-before)
			}
			return err
		}
		expect := func(writes bool) {
			t.Helper()
			for method, may := range map[string]bool{"GET": true, "HEAD": true, "POST": writes, "PUT": writes, "PATCH": writes, "DELETE": writes} {
				if err := send(method); (err == nil) != may || err != nil && !errors.Is(err, lease.ErrNotHeld) {
					t.Errorf("%s: %v", method, err)
				}
			}
		}
		expect(false)
		r := resourcelock.LeaderElectionRecord{HolderIdentity: "a"}
		if err := own.Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		expect(true)
		time.Sleep(deadline)
		expect(false)
		if err := own.Update(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		expect(true)
	})
}

type trip func(*http.Request) (*http.Response, error)

func (t trip) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// closed notes that it was.
type closed struct {
	*strings.Reader
	was bool
}

func (c *closed) Close() error {
	c.was = true
	return nil
}
