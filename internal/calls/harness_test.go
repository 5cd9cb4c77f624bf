package calls

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// openStore starts a JetStream that syncs, in this process.
func openStore(t testing.TB, dir string) jetstream.JetStream {
	t.Helper()
	js, stop, err := startStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return js
}

func startStore(dir string) (jetstream.JetStream, func(), error) {
	s, err := server.NewServer(&server.Options{JetStream: true, StoreDir: dir, SyncAlways: true, DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		return nil, nil, err
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		return nil, nil, errors.New("the store does not start")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	return js, func() { nc.Close(); s.Shutdown(); s.WaitForShutdown() }, err
}

// transport is a function.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// handler answers without a network.
func handler(h http.HandlerFunc) transport {
	return func(r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			defer r.Body.Close()
		}
		w := httptest.NewRecorder()
		h(w, r)
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		return w.Result(), nil
	}
}

func status(codes ...int) (http.HandlerFunc, *counter) {
	n := &counter{}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(codes[min(n.add(), len(codes))-1])
	}, n
}

type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) add() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

func (c *counter) get() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// testClock moves when it is told to.
type testClock struct {
	mu     sync.Mutex
	now    time.Time
	timers []*testTimer
}

type testTimer struct {
	at time.Time
	f  func()
}

func newClock() *testClock { return &testClock{now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &testTimer{c.now.Add(d), f}
	if d <= 0 {
		go f()
		return func() bool { return false }
	}
	c.timers = append(c.timers, t)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		n := len(c.timers)
		c.timers = slices.DeleteFunc(c.timers, func(o *testTimer) bool { return o == t })
		return len(c.timers) < n
	}
}

// advance runs what is due.
func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var due []*testTimer
	c.timers = slices.DeleteFunc(c.timers, func(t *testTimer) bool {
		if t.at.After(c.now) {
			return false
		}
		due = append(due, t)
		return true
	})
	c.mu.Unlock()
	for _, t := range due {
		t.f()
	}
}

// open gives Calls that end with the test.
func open(t testing.TB, o Options) *Calls {
	t.Helper()
	if o.JetStream == nil {
		o.JetStream = openStore(t, t.TempDir())
	}
	if o.HostOf == nil {
		o.HostOf = func(n Name) string { return n.Name + "." + n.Namespace + ".svc.cluster.local" }
	}
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(c) })
	return c
}

// shut breaks everything off.
func shut(c *Calls) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c.Close(ctx)
}

// quick is a policy for tests.
var quick = Policy{Attempts: 3, Initial: time.Millisecond, Max: 2 * time.Millisecond}

func to(name string) Call {
	return Call{Function: Name{"ns", name}, Host: name + ".ns", Method: "POST", Path: "/p?q=1", Body: []byte("body of " + name),
		Header: http.Header{"X-A": {"1", "2"}, "Content-Type": {"text/plain"}}, Policy: quick}
}

func accept(t testing.TB, c *Calls, call Call) string {
	t.Helper()
	a, err := c.Accept(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	return a.ID
}

// ended waits for the end of a call.
func ended(t testing.TB, c *Calls, id string) *Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Wait(ctx, id); err != nil {
		r, _ := c.Get(t.Context(), id)
		t.Fatalf("call %s does not end: %v: %+v", id, err, r)
	}
	return get(t, c, id)
}

func get(t testing.TB, c *Calls, id string) *Result {
	t.Helper()
	r, err := c.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// eventually is for what happens beside what a call of Calls waits for.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not happen: " + what)
		}
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func text(r io.Reader) string {
	b, err := io.ReadAll(r)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}
