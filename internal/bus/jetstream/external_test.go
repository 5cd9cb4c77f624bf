package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/bus/bustest"
	"github.com/openfunction/ofn/test/servers"
)

func external(t *testing.T, o ExternalOptions) *External {
	t.Helper()
	e, err := NewExternal(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func TestExternalBus(t *testing.T) {
	srv := servers.NATS(t)
	e, n := external(t, ExternalOptions{URL: srv.URL}), 0
	bustest.Run(t, bustest.Fixture{
		New: func(*testing.T) bus.Bus {
			n++
			return New(e, Options{Name: fmt.Sprint("ns/bus", n)})
		},
		Again: func(t *testing.T) bus.Bus {
			return New(external(t, ExternalOptions{URL: srv.URL}), Options{Name: fmt.Sprint("ns/bus", n)})
		},
		Reads: true, Lags: true, Starts: true, Dedupes: true, Bounds: true, Orders: true, Forgets: true,
	})
	t.Run("what a killed consumer had taken comes at once", func(t *testing.T) { abandoned(t, srv) })
	t.Run("a consumer of several processes", func(t *testing.T) { shared(t, srv) })
	t.Run("a stream of somebody else is left as it is", func(t *testing.T) { foreign(t, e) })
	t.Run("a server that dies and comes back", func(t *testing.T) { outage(t, srv, e) })
}

// shared has two processes divide what waits: each takes what its handlers begin, no event is handled twice, and what one that ends did
// not answer the other has.
func shared(t *testing.T, srv *servers.Server) {
	const events, handlers = 40, 2
	c := bus.Consumer{Name: "c", Topics: []string{"t"}, From: bus.From{All: true}, Concurrency: handlers, AckWait: time.Hour, Shared: true}
	first := New(external(t, ExternalOptions{URL: srv.URL}), Options{Name: "ns/shared"})
	for i := range events {
		if _, err := first.Publish(t.Context(), bus.Message{Topic: "t", Data: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	type begun struct {
		process int
		data    string
	}
	began, release := make(chan begun, 2*events), make(chan struct{})
	all, end := context.WithCancel(t.Context())
	var running sync.WaitGroup
	consume := func(ctx context.Context, process int, until <-chan struct{}, v bus.Verdict) {
		b := New(external(t, ExternalOptions{URL: srv.URL}), Options{Name: "ns/shared"})
		running.Go(func() {
			if err := b.Consume(ctx, c, func(_ context.Context, m bus.Stored) bus.Verdict {
				began <- begun{process, string(m.Data)}
				<-until
				return v
			}); err != nil {
				t.Error(err)
			}
		})
	}
	let := sync.OnceFunc(func() { close(release) })
	t.Cleanup(func() { end(); let(); running.Wait() })
	one, endOne := context.WithCancel(all)
	defer endOne()
	times := map[string]int{}
	next := func(process, n int) {
		t.Helper()
		for range n {
			select {
			case b := <-began:
				if process >= 0 && b.process != process {
					t.Fatalf("process %d began %s", b.process, b.data)
				}
				times[b.data]++
			case <-time.After(time.Minute):
				t.Fatalf("no event for process %d; begun are %v", process, times)
			}
		}
	}
	consume(one, 0, one.Done(), bus.Verdict{Retry: true})
	next(0, handlers) // all of its handlers are held: the others must be there for
	consume(all, 1, release, bus.Verdict{})
	next(1, handlers)
	endOne() // and gives back what it had
	let()
	next(1, events-handlers)
	if len(times) != events { // what was begun once more is what was given back
		t.Errorf("%d of %d events were handled: %v", len(times), events, times)
	}
}

// abandoned has a consumer vanish with events it took; the next must not wait until the server believes them lost.
func abandoned(t *testing.T, srv *servers.Server) {
	first := external(t, ExternalOptions{URL: srv.URL})
	one := New(first, Options{Name: "ns/abandoned"})
	for i := range 10 {
		if _, err := one.Publish(t.Context(), bus.Message{Topic: "t", Key: "k", Data: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	c := bus.Consumer{Name: "c", Topics: []string{"t"}, From: bus.From{All: true}, Ordered: true, AckWait: time.Hour}
	ctx, cancel := context.WithCancel(context.Background())
	began, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		var once sync.Once
		_ = one.Consume(ctx, c, func(context.Context, bus.Stored) bus.Verdict {
			once.Do(func() { close(began) })
			<-release
			return bus.Verdict{}
		})
	}()
	<-began
	_ = first.Close() // its answers are lost from here on
	defer func() { cancel(); close(release); <-ended }()

	two := New(external(t, ExternalOptions{URL: srv.URL}), Options{Name: "ns/abandoned"})
	ctx2, cancel2 := context.WithTimeout(t.Context(), time.Minute)
	defer cancel2()
	var got []string
	_ = two.Consume(ctx2, c, func(_ context.Context, m bus.Stored) bus.Verdict {
		if got = append(got, string(m.Data)); len(got) == 10 {
			cancel2()
		}
		return bus.Verdict{}
	})
	if all := strings.Join(got, ""); all != "0123456789" {
		t.Errorf("got %q", all)
	}
}

func foreign(t *testing.T, e *External) {
	js, err := New(e, Options{Name: "ns/any"}).open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg := New(e, Options{Name: "x", Stream: "theirs", Subject: "orders", MaxAge: time.Hour}).config()
	cfg.Metadata = nil
	if _, err := js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	ours := New(e, Options{Name: "ns/foreign", Stream: "theirs", Subject: "orders", MaxAge: 2 * time.Hour})
	if _, err := ours.Publish(t.Context(), bus.Message{Topic: "t", Data: []byte("x")}); err != nil {
		t.Error(err)
	}
	if s, err := js.Stream(t.Context(), "theirs"); err != nil || s.CachedInfo().Config.MaxAge != time.Hour {
		t.Errorf("the stream was changed: %v", err)
	}
	err = New(e, Options{Name: "ns/foreign2", Stream: "theirs", Subject: "elsewhere"}).Ready(t.Context())
	if err == nil || !strings.Contains(err.Error(), "add that subject") {
		t.Errorf("a stream that takes other subjects: %v", err)
	}
}

// outage kills the server between publishes and while events wait.
func outage(t *testing.T, srv *servers.Server, e *External) {
	b := New(e, Options{Name: "ns/outage"})
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	got := map[string]bool{}
	var all sync.WaitGroup
	all.Go(func() {
		_ = b.Consume(ctx, bus.Consumer{Name: "c", From: bus.From{All: true}, AckWait: 2 * time.Second}, func(_ context.Context, m bus.Stored) bus.Verdict {
			mu.Lock()
			defer mu.Unlock()
			got[string(m.Data)] = true
			return bus.Verdict{}
		})
	})
	const events = 60
	for i := range events {
		if i == 20 {
			srv.Kill()
			all.Go(srv.Restart)
		}
		for { // as a source does that must not lose an event
			_, err := b.Publish(ctx, bus.Message{Topic: "t", ID: fmt.Sprint(i), Data: fmt.Append(nil, i)})
			if err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		mu.Lock()
		n := len(got)
		mu.Unlock()
		if n == events {
			break
		}
		if time.Now().After(end) {
			t.Errorf("%d of %d events came", n, events)
			break
		}
	}
	cancel()
	all.Wait()
}

func TestExternalRefusesBadOptions(t *testing.T) {
	for name, c := range map[string]struct {
		o    ExternalOptions
		want string
	}{
		"no address":        {ExternalOptions{}, "nats://"},
		"two credentials":   {ExternalOptions{URL: "nats://h", User: "u", Token: "t"}, "several kinds"},
		"no seed":           {ExternalOptions{URL: "nats://h", NKeySeed: "nonsense"}, "SU"},
		"path, not content": {ExternalOptions{URL: "nats://h", Credentials: "/etc/nats.creds"}, "not its path"},
		"no certificate":    {ExternalOptions{URL: "nats://h", CA: "nonsense"}, "PEM"},
		"no key":            {ExternalOptions{URL: "nats://h", Certificate: "a", Key: "b"}, "certificate and key"},
	} {
		if _, err := NewExternal(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := pair.Seed()
	if _, err := NewExternal(ExternalOptions{URL: "nats://h", NKeySeed: string(seed) + "\n"}); err != nil {
		t.Errorf("a good seed: %v", err)
	}
}

func TestExternalTellsWhyItCannotConnect(t *testing.T) {
	e := external(t, ExternalOptions{URL: "nats://user:secret@127.0.0.1:1"})
	_, err := New(e, Options{Name: "ns/b"}).Publish(t.Context(), bus.Message{Topic: "t"})
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "nats://127.0.0.1:1") {
		t.Errorf("nobody there: %v", err)
	}
	srv := servers.NATS(t, servers.Password("right"))
	e = external(t, ExternalOptions{URL: "nats://" + srv.Addr, User: srv.User, Password: "wrong"})
	if err := New(e, Options{Name: "ns/b"}).Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("a wrong password: %v", err)
	}
	e = external(t, ExternalOptions{URL: "nats://" + srv.Addr, User: srv.User, Password: srv.Password})
	if err := New(e, Options{Name: "ns/b"}).Ready(t.Context()); err != nil {
		t.Errorf("the right password: %v", err)
	}
	if err := e.Status(); err != nil {
		t.Error(err)
	}
	_ = e.Close()
	if _, err := e.Conn(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
