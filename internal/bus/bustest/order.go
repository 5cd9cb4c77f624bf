package bustest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/bus"
)

func order(t *testing.T, f Fixture) {
	b := open(t, f)
	const keys, each = 5, 40
	var mu sync.Mutex
	running, next := map[string]bool{}, map[string]int{}
	c := newCollector(func(m bus.Stored) bus.Verdict {
		mu.Lock()
		if running[m.Key] {
			t.Errorf("two of key %s at once", m.Key)
		}
		running[m.Key] = true
		if want := fmt.Sprintf("%s %d", m.Key, next[m.Key]); want != string(m.Data) {
			t.Errorf("got %s, want %s", m.Data, want)
		}
		retry := next[m.Key]%7 == 3 && m.Attempt == 1
		mu.Unlock()
		mu.Lock()
		defer mu.Unlock()
		running[m.Key] = false
		if !retry {
			next[m.Key]++
		}
		return bus.Verdict{Retry: retry, After: 5 * time.Millisecond}
	})
	for i := range each {
		for k := range keys {
			key := fmt.Sprint("k", k)
			publish(t, b, bus.Message{Topic: "t", Key: key, Data: fmt.Appendf(nil, "%s %d", key, i)})
		}
	}
	consume(t, b, bus.Consumer{Name: "c", Topics: []string{"t"}, From: bus.From{All: true}, Ordered: true, Concurrency: 8}, c.handle)
	c.wait(t, distinct(keys*each))
	c.wait(t, func([]bus.Stored) bool {
		mu.Lock()
		defer mu.Unlock()
		for _, n := range next {
			if n != each {
				return false
			}
		}
		return true
	})
}

func orderOfRetries(t *testing.T, f Fixture) {
	b := open(t, f)
	var others atomic.Int64
	c := newCollector(func(m bus.Stored) bus.Verdict {
		if m.Key == "bad" && string(m.Data) == "first" && others.Load() < 20 {
			return bus.Verdict{Retry: true, After: 20 * time.Millisecond}
		}
		if m.Key == "good" {
			others.Add(1)
		}
		return bus.Verdict{}
	})
	publish(t, b, bus.Message{Topic: "t", Key: "bad", Data: []byte("first")})
	publish(t, b, bus.Message{Topic: "t", Key: "bad", Data: []byte("second")})
	for i := range 20 {
		publish(t, b, bus.Message{Topic: "t", Key: "good", Data: fmt.Append(nil, i)})
	}
	consume(t, b, bus.Consumer{Name: "c", Topics: []string{"t"}, From: bus.From{All: true}, Ordered: true, Concurrency: 4}, c.handle)
	c.wait(t, distinct(22))
	var bad []string
	for _, m := range c.seen() {
		if m.Key == "bad" {
			bad = append(bad, string(m.Data))
		}
	}
	if bad[len(bad)-1] != "second" || slices.Index(bad, "second") != len(bad)-1 {
		t.Errorf("the key that waited came as %q", bad)
	}
}

func holds(t *testing.T, f Fixture) {
	b := open(t, f)
	h, ok := b.(bus.Holder)
	if !ok {
		t.Skip("this bus does not offer it")
	}
	hold := func(take func(bus.Stored, func(bus.Verdict))) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			ended <- h.Hold(ctx, bus.Consumer{Name: "c", Topics: []string{"t"}, From: bus.From{All: true}}, take)
		}()
		return func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("holding: %v", err)
			}
		}
	}
	const events = 300
	publishN(t, b, "t", events)
	first, answers := newCollector(nil), make(chan func(bus.Verdict), events)
	stop := hold(func(m bus.Stored, answer func(bus.Verdict)) {
		first.handle(t.Context(), m)
		answers <- answer
	})
	got := first.wait(t, distinct(events))
	for i, m := range got {
		if want := fmt.Sprintf("t %d", i); string(m.Data) != want {
			t.Fatalf("event %d is %q", i, m.Data)
		}
	}
	kept := map[string]bool{}
	for i := range events {
		answer := <-answers
		if i%3 == 1 {
			kept[fmt.Sprintf("t %d", i)] = true
			defer answer(bus.Verdict{}) // too late
			continue
		}
		answer(bus.Verdict{})
	}
	stop()
	second := newCollector(nil)
	stop = hold(func(m bus.Stored, answer func(bus.Verdict)) {
		second.handle(t.Context(), m)
		answer(bus.Verdict{})
	})
	defer stop()
	for _, m := range second.wait(t, distinct(len(kept))) {
		if !kept[string(m.Data)] {
			t.Errorf("%q was answered and came again", m.Data)
		}
	}
}
