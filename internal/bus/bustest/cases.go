package bustest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/bus"
)

func handled(t *testing.T, f Fixture) {
	b, c := open(t, f), newCollector(nil)
	consume(t, b, bus.Consumer{Name: "c", Topics: []string{"t"}, From: everything(f), Concurrency: 8}, c.handle)
	const publishers, each = 20, 25
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for i := range each {
				if _, err := b.Publish(t.Context(), bus.Message{Topic: "t", Data: fmt.Appendf(nil, "%d/%d", p, i)}); err != nil {
					t.Errorf("publishing: %v", err)
				}
			}
		})
	}
	all.Wait()
	c.wait(t, distinct(publishers*each))
}

func intact(t *testing.T, f Fixture) {
	b, c := open(t, f), newCollector(nil)
	consume(t, b, bus.Consumer{Name: "c", Topics: []string{"t"}, From: everything(f)}, c.handle)
	m := bus.Message{
		Topic: "t", ID: "id-1", Key: "key 1", Data: []byte{0, 1, 2, 0xff, '\n'},
		Header: map[string]string{"ce-id": "1", "ce-source": "/s", "ce-type": "T", "ce-specversion": "1.0", "content-type": "application/octet-stream"},
	}
	receipt := publish(t, b, m)
	got := c.wait(t, count(1))[0]
	if got.Topic != m.Topic || string(got.Data) != string(m.Data) || got.Attempt != 1 {
		t.Errorf("got %+v", got)
	}
	if f.Orders && got.Key != m.Key || f.Dedupes && got.ID != m.ID {
		t.Errorf("key %q, id %q", got.Key, got.ID)
	}
	for name, value := range m.Header {
		if got.Header[name] != value {
			t.Errorf("header %s is %q, want %q: %v", name, got.Header[name], value, got.Header)
		}
	}
	if f.Reads && (got.Sequence != receipt.Sequence || got.Sequence == 0 || time.Since(got.Time).Abs() > time.Hour) {
		t.Errorf("place %d at %s, receipt says %d", got.Sequence, got.Time, receipt.Sequence)
	}
}

func topics(t *testing.T, f Fixture) {
	b, c := open(t, f), newCollector(nil)
	names := []string{"a", "b", "default-source-event", "with_underscore", "with.dot"}
	if f.Reads {
		names = append(names, ".odd..dots.", "star*", "more>", "a space", "ü/€", "percent%41", "A")
	}
	consume(t, b, bus.Consumer{Name: "most", Topics: names[1:], From: everything(f)}, c.handle)
	for _, n := range names {
		publish(t, b, bus.Message{Topic: n, Data: []byte(n)})
	}
	got := c.wait(t, distinct(len(names)-1))
	for _, m := range got {
		if m.Topic != string(m.Data) || m.Topic == "a" {
			t.Errorf("topic %q holds an event of %q", m.Topic, m.Data)
		}
	}
}

func fanOut(t *testing.T, f Fixture) {
	b, one, two := open(t, f), newCollector(nil), newCollector(nil)
	consume(t, b, bus.Consumer{Name: "one", Topics: []string{"t"}, From: everything(f)}, one.handle)
	consume(t, b, bus.Consumer{Name: "two", Topics: []string{"t"}, From: everything(f)}, two.handle)
	publishN(t, b, "t", 10)
	one.wait(t, distinct(10))
	two.wait(t, distinct(10))
}

func retries(t *testing.T, f Fixture) {
	const after = 300 * time.Millisecond
	b := open(t, f)
	var mu sync.Mutex
	var times []time.Time
	c := newCollector(func(m bus.Stored) bus.Verdict {
		mu.Lock()
		defer mu.Unlock()
		times = append(times, time.Now())
		return bus.Verdict{Retry: len(times) < 3, After: after}
	})
	consume(t, b, bus.Consumer{Name: "c", Topics: []string{"t"}, From: everything(f)}, c.handle)
	publish(t, b, bus.Message{Topic: "t", Data: []byte("x")})
	got := c.wait(t, count(3))
	for i, m := range got[:3] {
		if m.Attempt != i+1 {
			t.Errorf("attempt %d says %d", i+1, m.Attempt)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for i := 1; i < len(times); i++ {
		if d := times[i].Sub(times[i-1]); d < after-20*time.Millisecond {
			t.Errorf("attempt %d came after %s", i+1, d)
		}
	}
}

func interrupted(t *testing.T, f Fixture) {
	b := open(t, f)
	began := make(chan struct{}, 16)
	stop := consume(t, b, bus.Consumer{Name: "c", Topics: []string{"t"}, From: everything(f), Concurrency: 2}, func(ctx context.Context, _ bus.Stored) bus.Verdict {
		began <- struct{}{}
		<-ctx.Done()
		return bus.Verdict{Retry: true}
	})
	publishN(t, b, "t", 6)
	<-began
	stop()
	c := newCollector(nil)
	consume(t, b, bus.Consumer{Name: "c", Topics: []string{"t"}}, c.handle)
	c.wait(t, distinct(6))
}

func concurrency(t *testing.T, f Fixture) {
	b := open(t, f)
	const limit = 3
	var now, most atomic.Int64
	full, release := make(chan struct{}), make(chan struct{})
	c := newCollector(func(bus.Stored) bus.Verdict {
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			if n == limit {
				close(full)
			}
		}
		if n == limit && most.Load() == limit {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		<-release
		return bus.Verdict{}
	})
	consume(t, b, bus.Consumer{Name: "c", Topics: []string{"t"}, From: everything(f), Concurrency: limit}, c.handle)
	publishN(t, b, "t", 12)
	select {
	case <-full:
	case <-time.After(patience):
		t.Errorf("never more than %d at once", most.Load())
	}
	close(release)
	c.wait(t, distinct(12))
	if most.Load() > limit {
		t.Errorf("%d handlers at once", most.Load())
	}
}

func poison(t *testing.T, f Fixture) {
	b := open(t, f)
	c := newCollector(func(m bus.Stored) bus.Verdict {
		return bus.Verdict{Retry: string(m.Data) == "t 0", After: 50 * time.Millisecond}
	})
	consume(t, b, bus.Consumer{Name: "c", Topics: []string{"t"}, From: everything(f), Concurrency: 2}, c.handle)
	publishN(t, b, "t", 50)
	c.wait(t, distinct(50))
}

func closed(t *testing.T, f Fixture) {
	b := f.New(t)
	publish(t, b, bus.Message{Topic: "t", Data: []byte("x")})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Publish(t.Context(), bus.Message{Topic: "t", Data: []byte("x")}); err == nil {
		t.Error("published to a closed bus")
	}
}

func ends(t *testing.T, f Fixture) {
	b := open(t, f)
	for range 3 {
		consume(t, b, bus.Consumer{Name: "c", Topics: []string{"t"}}, newCollector(nil).handle)()
	}
}

func goesOn(t *testing.T, f Fixture) {
	b, c := f.New(t), newCollector(nil)
	stop := consume(t, b, bus.Consumer{Name: "c", Topics: []string{"t"}, From: everything(f)}, c.handle)
	publishN(t, b, "t", 5)
	c.wait(t, distinct(5))
	stop()
	publish(t, b, bus.Message{Topic: "t", Data: []byte("while away")})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b, c = f.Again(t), newCollector(nil)
	defer func() { _ = b.Close() }()
	stop = consume(t, b, bus.Consumer{Name: "c", Topics: []string{"t"}}, c.handle)
	defer stop()
	got := c.wait(t, func(all []bus.Stored) bool {
		return slices.ContainsFunc(all, func(m bus.Stored) bool { return string(m.Data) == "while away" })
	})
	if len(got) > 1 {
		t.Errorf("after a clean restart these came again: %q", c.data())
	}
}

func dedupes(t *testing.T, f Fixture) {
	b, c := open(t, f), newCollector(nil)
	consume(t, b, bus.Consumer{Name: "c", Topics: []string{"t"}, From: everything(f)}, c.handle)
	var all sync.WaitGroup
	for i := range 40 { // some of them at once
		all.Go(func() {
			if _, err := b.Publish(t.Context(), bus.Message{Topic: "t", ID: fmt.Sprint(i % 4), Data: fmt.Append(nil, i%4)}); err != nil {
				t.Errorf("publishing: %v", err)
			}
		})
	}
	all.Wait()
	if r := publish(t, b, bus.Message{Topic: "t", ID: "1", Data: []byte("1")}); !r.Duplicate {
		t.Errorf("the receipt of a duplicate: %+v", r)
	}
	if r := publish(t, b, bus.Message{Topic: "other", ID: "1", Data: []byte("1")}); r.Duplicate {
		t.Error("an event that is passed on to another topic was dropped as a duplicate")
	}
	publish(t, b, bus.Message{Topic: "t", Data: []byte("last")})
	got := c.wait(t, distinct(5))
	if len(got) != 5 {
		t.Errorf("got %q", c.data())
	}
}

func starts(t *testing.T, f Fixture) {
	b := open(t, f)
	publish(t, b, bus.Message{Topic: "t", Data: []byte("0")})
	second := publish(t, b, bus.Message{Topic: "t", Data: []byte("1")})
	time.Sleep(20 * time.Millisecond) // apart by the clock that the bus stamps with
	between := time.Now()
	time.Sleep(20 * time.Millisecond)
	publish(t, b, bus.Message{Topic: "t", Data: []byte("2")})
	for name, c := range map[string]struct {
		from bus.From
		want map[string]bool
	}{
		"all":      {bus.From{All: true}, map[string]bool{"0": true, "1": true, "2": true, "new": true}},
		"sequence": {bus.From{Sequence: second.Sequence}, map[string]bool{"1": true, "2": true, "new": true}},
		"time":     {bus.From{Time: between}, map[string]bool{"2": true, "new": true}},
		"now":      {bus.From{}, map[string]bool{"new": true}},
	} {
		got := newCollector(nil)
		stop := consume(t, b, bus.Consumer{Name: name, Topics: []string{"t", name}, From: c.from}, got.handle)
		awaitConsumer(t, b, name)
		publish(t, b, bus.Message{Topic: name, Data: []byte("new")})
		got.wait(t, distinct(len(c.want)))
		stop()
		have := map[string]bool{}
		for _, d := range got.data() {
			have[d] = true
		}
		if !maps.Equal(have, c.want) {
			t.Errorf("from %s: %q", name, got.data())
		}
	}
}

// awaitConsumer returns when the bus knows of a consumer.
func awaitConsumer(t *testing.T, b bus.Bus, name string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if _, err := b.Lag(t.Context(), name); err == nil {
			return
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func lag(t *testing.T, f Fixture) {
	b := open(t, f)
	release := make(chan struct{})
	c := newCollector(func(bus.Stored) bus.Verdict { <-release; return bus.Verdict{} })
	consume(t, b, bus.Consumer{Name: "c", Topics: []string{"t"}, From: everything(f)}, c.handle)
	awaitConsumer(t, b, "c")
	publishN(t, b, "other", 3)
	publishN(t, b, "t", 7)
	awaitLag(t, b, 7)
	close(release)
	c.wait(t, distinct(7))
	awaitLag(t, b, 0)
}

// awaitLag returns when so many events wait: a bus may count a little later than it takes.
func awaitLag(t *testing.T, b bus.Bus, want int64) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if n, err := b.Lag(t.Context(), "c"); err == nil && n == want {
			return
		} else if time.Now().After(end) {
			t.Fatalf("lag is %d %v, want %d", n, err, want)
		}
	}
}

func forget(t *testing.T, f Fixture) {
	b, c := open(t, f), newCollector(nil)
	stop := consume(t, b, bus.Consumer{Name: "c", Topics: []string{"t"}, From: everything(f)}, c.handle)
	publishN(t, b, "t", 3)
	c.wait(t, distinct(3))
	stop()
	for _, name := range []string{"c", "c", "never known"} {
		if err := b.Forget(t.Context(), name); err != nil {
			t.Errorf("forgetting %s: %v", name, err)
		}
	}
	c = newCollector(nil)
	consume(t, b, bus.Consumer{Name: "c", Topics: []string{"t"}, From: bus.From{All: true}}, c.handle)
	c.wait(t, distinct(3))
}

func lists(t *testing.T, f Fixture) {
	b := open(t, f)
	l, ok := b.(bus.Lister)
	if !ok {
		t.Skip("this bus does not offer it")
	}
	for _, name := range []string{"one", "trigger/ns/two/3"} {
		c := newCollector(nil)
		consume(t, b, bus.Consumer{Name: name, Topics: []string{"t"}, From: everything(f)}, c.handle)
		publish(t, b, bus.Message{Topic: "t", Data: []byte(name)})
		c.wait(t, count(1))
	}
	if err := b.Forget(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	names, err := l.Consumers(t.Context())
	if err != nil || !slices.Contains(names, "trigger/ns/two/3") {
		t.Errorf("consumers: %q %v", names, err)
	}
}
