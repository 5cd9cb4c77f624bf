package calls

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// badStore fails writes as fail says: before they reach the disk, or after.
type badStore struct {
	jetstream.JetStream
	mu   sync.Mutex
	fail func(subject string) (before, after error)
}

func (b *badStore) set(f func(string) (error, error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail = f
}

func (b *badStore) PublishMsg(ctx context.Context, m *nats.Msg, o ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	b.mu.Lock()
	fail := b.fail
	b.mu.Unlock()
	before, after := fail(m.Subject)
	if before != nil {
		return nil, before
	}
	ack, err := b.JetStream.PublishMsg(ctx, m, o...)
	if after != nil {
		return nil, after
	}
	return ack, err
}

func well(string) (error, error) { return nil, nil }

func TestManyCallsOfFunctionsThatFailHalfOfTheTime(t *testing.T) {
	var mu sync.Mutex
	n, done := 0, map[string]bool{}
	c := open(t, Options{Transport: handler(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if n++; n%2 == 0 {
			w.WriteHeader(500 + n%4)
			return
		}
		done[r.Header.Get(HeaderID)] = true
	})})
	var ids []string
	for i := range 100 {
		call := to(fmt.Sprintf("f%d", i%5))
		call.Policy.Attempts = 50
		ids = append(ids, accept(t, c, call))
	}
	for _, id := range ids {
		if r := ended(t, c, id); r.State != Succeeded {
			t.Errorf("%+v", r.Info)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(done) != len(ids) {
		t.Errorf("%d of %d calls reached their function", len(done), len(ids))
	}
}

// A request that was refused although it reached the disk is not run, now or later.
func TestWhatWasRefusedIsNotRun(t *testing.T) {
	clock, bad := newClock(), &badStore{JetStream: openStore(t, t.TempDir()), fail: well}
	h, n := status(200)
	o := Options{JetStream: bad, Clock: clock, Transport: handler(h), HostOf: func(n Name) string { return n.Name }}
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	mended := 0
	c.o.Mend = func(context.Context) error { mended++; return nil }
	bad.set(func(string) (error, error) { return nil, context.DeadlineExceeded })
	_, err = c.Accept(t.Context(), to("f"))
	wantErr(t, err, ErrUnavailable)
	bad.set(func(string) (error, error) { return errors.New("no"), nil })
	_, err = c.Accept(t.Context(), to("f"))
	wantErr(t, err, ErrUnavailable)
	bad.set(well)
	if c.Lag(Name{}) != 0 || mended != 2 {
		t.Errorf("%d calls wait, mended %d times", c.Lag(Name{}), mended)
	}
	clock.advance(sweepEvery)
	eventually(t, "the doubt ends", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.doubtful) == 0 && !c.sweeping })
	shut(c)
	c = open(t, o)
	if p, err := c.List(Query{}); err != nil || len(p.Calls) != 0 || n.get() != 0 {
		t.Errorf("%d calls after the restart, the function was called %d times (%v)", len(p.Calls), n.get(), err)
	}
}

// A result is not told before it is on disk, however long that takes.
func TestAResultThatCannotBeWrittenIsNotTold(t *testing.T) {
	clock, bad := newClock(), &badStore{JetStream: openStore(t, t.TempDir()), fail: well}
	began, gate := make(chan struct{}), make(chan struct{})
	c := open(t, Options{JetStream: bad, Clock: clock, Transport: handler(func(http.ResponseWriter, *http.Request) { close(began); <-gate })})
	id := accept(t, c, to("f"))
	<-began
	tries := &counter{}
	bad.set(func(string) (error, error) { tries.add(); return errors.New("no space"), nil })
	close(gate)
	for want := 1; want <= 4; want++ {
		eventually(t, "the record is tried", func() bool { return tries.get() >= want })
		if r := get(t, c, id); r.State != Running {
			t.Fatalf("told %+v", r.Info)
		}
		if want == 4 {
			bad.set(well)
		}
		clock.advance(5 * time.Second)
	}
	eventually(t, "the record is written", func() bool { clock.advance(5 * time.Second); return get(t, c, id).State == Succeeded })
}

// A damaged message is left alone, and the others go on.
func TestDamagedMessagesKeepNobodyWaiting(t *testing.T) {
	js := openStore(t, t.TempDir())
	h, _ := status(200)
	o := Options{JetStream: js, Transport: handler(h), HostOf: func(n Name) string { return n.Name }}
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	later := to("f")
	later.NotBefore = time.Now().Add(time.Hour)
	id := accept(t, c, later)
	shut(c)
	for _, subject := range []string{requestSubject + "x", recordSubject + "y"} {
		if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Header: nats.Header{metaHeader: {"{broken"}}, Data: []byte("z")}); err != nil {
			t.Fatal(err)
		}
	}
	c = open(t, o)
	if r := get(t, c, id); r.State != Scheduled {
		t.Errorf("%+v", r.Info)
	}
	ended(t, c, accept(t, c, to("g")))
}

func TestLargeRequestsTakeTurns(t *testing.T) {
	var mu sync.Mutex
	now, most := 0, 0
	gate := make(chan struct{})
	c := open(t, Options{InFlight: 250_000, Transport: handler(func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Host, "small") {
			return
		}
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		<-gate
		mu.Lock()
		now--
		mu.Unlock()
	})})
	var ids []string
	for range 6 {
		call := to("f")
		call.Body = make([]byte, 100_000)
		ids = append(ids, accept(t, c, call))
	}
	ended(t, c, accept(t, c, to("small")))
	close(gate)
	for _, id := range ids {
		ended(t, c, id)
	}
	if most > 2 {
		t.Errorf("%d requests of 100 kB at once, room is for 2", most)
	}
}
