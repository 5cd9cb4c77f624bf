// Package bustest is the suite that every event bus must pass.
package bustest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/bus"
)

// Fixture makes the bus under test.
type Fixture struct {
	// New gives an empty bus. The suite closes it.
	New func(t *testing.T) bus.Bus
	// Again gives the same bus anew, as after a restart; nil if that cannot be tried.
	Again func(t *testing.T) bus.Bus
	// What the bus can: see bus.ErrUnsupported.
	Reads, Lags, Starts, Dedupes, Bounds, Orders bool
	// Forgets tells that a consumer whose name was forgotten begins anew.
	Forgets bool
}

const patience = 60 * time.Second

// Run tries everything.
func Run(t *testing.T, f Fixture) {
	always := map[string]func(*testing.T, Fixture){
		"whatever was published is handled":              handled,
		"header, key, id and data arrive":                intact,
		"topics of any name are told apart":              topics,
		"every consumer gets every event":                fanOut,
		"a retry comes after its time":                   retries,
		"an event whose handler was stopped comes again": interrupted,
		"no more handlers at once than asked for":        concurrency,
		"events that wait do not keep others":            poison,
		"publishing to a closed bus fails":               closed,
		"consuming ends with its context":                ends,
		"events that are held are answered in any order": holds,
		"consumers are listed":                           lists,
	}
	for name, test := range always {
		t.Run(name, func(t *testing.T) { test(t, f) })
	}
	for _, c := range []struct {
		name string
		can  bool
		test func(*testing.T, Fixture)
	}{
		{"a consumer goes on where it was", f.Again != nil, goesOn},
		{"an event with the same id is taken once", f.Dedupes, dedupes},
		{"events of one key stay in order", f.Orders, order},
		{"a retry holds up its own key only", f.Orders, orderOfRetries},
		{"a new consumer begins where it is told", f.Starts, starts},
		{"what waits is counted", f.Lags, lag},
		{"a forgotten consumer begins anew", f.Forgets, forget},
		{"reading shows what is kept", f.Reads, reads},
		{"reading follows", f.Reads, follows},
		{"too large an event is refused", f.Bounds, tooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !c.can {
				t.Skip("this bus does not offer it")
			}
			c.test(t, f)
		})
	}
}

// collector is a handler that remembers.
type collector struct {
	mu   sync.Mutex
	got  []bus.Stored
	more chan struct{}
	say  func(bus.Stored) bus.Verdict
}

func newCollector(say func(bus.Stored) bus.Verdict) *collector {
	return &collector{more: make(chan struct{}, 1), say: say}
}

func (c *collector) handle(_ context.Context, m bus.Stored) bus.Verdict {
	var v bus.Verdict
	if c.say != nil {
		v = c.say(m)
	}
	c.mu.Lock()
	c.got = append(c.got, m)
	c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
	return v
}

func (c *collector) seen() []bus.Stored {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]bus.Stored(nil), c.got...)
}

// data lists what arrived, in order of arrival.
func (c *collector) data() []string {
	var all []string
	for _, m := range c.seen() {
		all = append(all, string(m.Data))
	}
	return all
}

// wait returns when enough holds.
func (c *collector) wait(t *testing.T, enough func([]bus.Stored) bool) []bus.Stored {
	t.Helper()
	limit := time.After(patience)
	for {
		if got := c.seen(); enough(got) {
			return got
		}
		select {
		case <-c.more:
		case <-limit:
			t.Fatalf("still waiting; these came: %q", c.data())
		}
	}
}

// distinct is met when n different events came.
func distinct(n int) func([]bus.Stored) bool {
	return func(all []bus.Stored) bool {
		different := map[string]bool{}
		for _, m := range all {
			different[string(m.Data)] = true
		}
		return len(different) >= n
	}
}

func count(n int) func([]bus.Stored) bool {
	return func(all []bus.Stored) bool { return len(all) >= n }
}

// consume runs a consumer until stop is called, or the test ends.
func consume(t *testing.T, b bus.Bus, c bus.Consumer, h bus.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Consume(ctx, c, h) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("consumer %s: %v", c.Name, err)
				}
			case <-time.After(patience):
				t.Errorf("consumer %s does not end", c.Name)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func open(t *testing.T, f Fixture) bus.Bus {
	t.Helper()
	b := f.New(t)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return b
}

// everything is where a consumer begins that is to see what was published before it came; a bus that cannot do that has its
// consumers begun before.
func everything(f Fixture) bus.From { return bus.From{All: f.Starts} }

func publish(t *testing.T, b bus.Bus, m bus.Message) bus.Receipt {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := b.Publish(ctx, m)
	if err != nil {
		t.Fatalf("publishing %.40q: %v", m.Data, err)
	}
	return r
}

func publishN(t *testing.T, b bus.Bus, topic string, n int) {
	t.Helper()
	for i := range n {
		publish(t, b, bus.Message{Topic: topic, Data: fmt.Appendf(nil, "%s %d", topic, i)})
	}
}
