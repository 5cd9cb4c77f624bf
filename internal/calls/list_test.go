package calls

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestRetention(t *testing.T) {
	clock, js := newClock(), openStore(t, t.TempDir())
	h, _ := status(400)
	c := open(t, Options{JetStream: js, Clock: clock, Transport: handler(h), Retention: time.Hour, MaxEnded: 3})
	var ids []string
	for range 5 {
		ids = append(ids, accept(t, c, to("f")))
		ended(t, c, ids[len(ids)-1])
		clock.advance(time.Second)
	}
	clock.advance(sweepEvery)
	count := func() int {
		p, err := c.List(Query{})
		if err != nil {
			t.Fatal(err)
		}
		return len(p.Calls)
	}
	eventually(t, "the oldest of too many go", func() bool { return count() == 3 })
	if _, err := c.Get(t.Context(), ids[0]); !errors.Is(err, ErrNotFound) {
		t.Error("the oldest is still there")
	}
	eventually(t, "the sweep is over", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return !c.sweeping })
	clock.advance(time.Hour)
	eventually(t, "retention ends", func() bool { return count() == 0 })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.use.bytes != 0 || c.use.results != 0 || c.use.ended != 0 || c.use.waiting != 0 {
		t.Errorf("what nothing takes is %+v", c.use)
	}
	info, err := c.journal.requests.Info(context.Background())
	if err != nil || info.State.Msgs != 0 {
		t.Errorf("%d requests are still on disk (%v)", info.State.Msgs, err)
	}
}

func TestLists(t *testing.T) {
	clock := newClock()
	h, _ := status(200)
	c := open(t, Options{Clock: clock, Transport: handler(h)})
	var ids []string
	for i := range 7 {
		ids = append(ids, accept(t, c, to([]string{"f", "g"}[i%2])))
		clock.advance(time.Second)
	}
	for _, id := range ids {
		ended(t, c, id)
	}
	var got []string
	q := Query{Function: "f", Namespace: "ns", Limit: 3, States: []State{Succeeded}}
	for {
		p, err := c.List(q)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range p.Calls {
			got = append(got, s.ID)
		}
		if q.Continue = p.Continue; q.Continue == "" {
			break
		}
	}
	if want := fmt.Sprint([]string{ids[6], ids[4], ids[2], ids[0]}); fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, empty := range []Query{{Namespace: "other"}, {States: []State{Failed}}, {Since: clock.Now()}, {Until: clock.Now().Add(-time.Hour)}} {
		if p, err := c.List(empty); err != nil || len(p.Calls) != 0 {
			t.Errorf("%+v chooses %d", empty, len(p.Calls))
		}
	}
	_, err := c.List(Query{Continue: "x"})
	wantErr(t, err, ErrInvalid)
}

func TestWatch(t *testing.T) {
	h, _ := status(200)
	c := open(t, Options{Transport: handler(h)})
	seen := make(chan State, 10)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	w, err := c.Watch(Query{Function: "f"})
	if err != nil {
		t.Fatal(err)
	}
	go func() { over <- w.Run(ctx, func(s Summary) error { seen <- s.State; return nil }) }()
	accept(t, c, to("g"))
	accept(t, c, to("f"))
	for _, want := range []State{Queued, Running, Succeeded} {
		if got := <-seen; got != want {
			t.Errorf("saw %s, want %s", got, want)
		}
	}
	cancel()
	wantErr(t, <-over, context.Canceled)
}
