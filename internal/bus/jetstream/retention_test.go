package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/openfunction/ofn/internal/bus"
)

func TestFullBusDropsOnlyWhatNobodyWaitsFor(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{Dir: t.TempDir()})
	defer e.Close()
	b := New(e, Options{Name: "ns/full", MaxBytes: 64 << 10})
	defer b.Close()
	data := make([]byte, 4<<10)
	fill := func(n int) error {
		for i := range n {
			if _, err := b.Publish(t.Context(), bus.Message{Topic: "t", Data: data}); err != nil {
				return fmt.Errorf("event %d: %w", i, err)
			}
		}
		return nil
	}
	if err := fill(40); err != nil {
		t.Fatalf("with no consumer: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := bus.Consumer{Name: "slow", Topics: []string{"t"}, From: bus.From{All: true}}
	began, ended := make(chan struct{}, 100), make(chan error)
	go func() {
		ended <- b.Consume(ctx, c, func(ctx context.Context, _ bus.Stored) bus.Verdict {
			began <- struct{}{}
			<-ctx.Done()
			return bus.Verdict{Retry: true}
		})
	}()
	<-began
	if err := fill(40); !errors.Is(err, bus.ErrFull) || !strings.Contains(err.Error(), "slow") {
		t.Errorf("while a consumer waits for the oldest: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := b.Forget(t.Context(), "slow"); err != nil {
		t.Fatal(err)
	}
	if err := fill(5); err != nil {
		t.Errorf("when nobody waits any more: %v", err)
	}
}

func TestGroupsAreWrittenOnceAndAnsweredOneByOne(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{Dir: t.TempDir()})
	defer e.Close()
	b := New(e, Options{Name: "ns/groups"})
	defer b.Close()
	js, err := b.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var group []*request
	for i := range 20 {
		m := b.encode(bus.Message{Topic: "t", ID: fmt.Sprint(i), Data: fmt.Append(nil, i)})
		group = append(group, &request{msg: m, id: fmt.Sprint(i), done: make(chan result, 1)})
	}
	if !b.together(t.Context(), js, group) {
		t.Fatal("the group was not written together")
	}
	for i, r := range group {
		if res := <-r.done; res.err != nil || res.receipt.Sequence != uint64(i+1) {
			t.Errorf("event %d: %+v", i, res)
		}
	}
	if b.together(t.Context(), js, group) {
		t.Error("a group of duplicates was written")
	}
	var headers []string
	err = b.Read(t.Context(), nil, bus.From{All: true}, false, func(m bus.Stored) error {
		for name := range m.Header {
			headers = append(headers, name)
		}
		return nil
	})
	if err != nil || len(headers) > 0 {
		t.Errorf("headers that are not the event's: %v %v", headers, err)
	}
	// One that cannot be written does not keep the others from it.
	group = append(group[:9:9], &request{msg: b.encode(bus.Message{Topic: "t", Data: make([]byte, 9<<20)}), done: make(chan result, 1)})
	b.store(t.Context(), group)
	for i, r := range group {
		res := <-r.done
		if last := i == len(group)-1; last != errors.Is(res.err, bus.ErrTooLarge) || !last && !res.receipt.Duplicate {
			t.Errorf("event %d: %+v", i, res)
		}
	}
}

func TestLanesKeepOrder(t *testing.T) {
	var l lane
	for _, seq := range []uint64{5, 7, 6} {
		l.add(&item{seq: seq})
	}
	take := func(want uint64) {
		t.Helper()
		it := l.next()
		if it == nil || it.seq != want {
			t.Fatalf("took %+v, want %d", it, want)
		}
		if l.next() != nil {
			t.Fatal("two at once")
		}
		l.busy = false
	}
	take(5)
	l.leave(5, l.until) // to be tried again
	if it := l.next(); it != nil {
		t.Fatalf("%d overtook", it.seq)
	}
	l.add(&item{seq: 5})
	take(5)
	take(6)
	l.leave(6, l.until)
	if !l.back(6) || l.back(6) {
		t.Error("an event that is gone")
	}
	take(7)
	if !l.empty() {
		t.Error("not empty")
	}
}

func FuzzTopics(f *testing.F) {
	for _, s := range []string{"a", "a.b", ".", "..", "%", "*", ">", "a b", "ü", "ns-source-event"} {
		f.Add(s)
	}
	var mu sync.Mutex
	tokens := map[string]string{}
	f.Fuzz(func(t *testing.T, topic string) {
		if topic == "" {
			return
		}
		s := subject(topic)
		if topicOf(s) != topic {
			t.Errorf("%q became %q, and that %q", topic, s, topicOf(s))
		}
		for part := range strings.SplitSeq(s, ".") {
			if part == "" || strings.ContainsAny(part, "*> \t\r\n") {
				t.Errorf("%q became the subject %q", topic, s)
			}
		}
		name := token(topic)
		mu.Lock()
		defer mu.Unlock()
		if other, ok := tokens[name]; ok && other != topic {
			t.Errorf("%q and %q are both %q", topic, other, name)
		}
		tokens[name] = topic
	})
}
