package runtime

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/event"
)

const rateWindow = 60 // seconds

// counter counts what happened to the events of one app.
type counter struct {
	mu      sync.Mutex
	handled int64
	failed  int64
	letters int64
	last    time.Time
	lastErr string
	seconds [rateWindow]struct{ at, n int64 }
}

func (c *counter) attempt(v verdict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.outcome != success && v.cause != nil {
		c.failed++
		c.lastErr = v.cause.Error()
	}
}

func (c *counter) done(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handled++
	c.last = now
	s := &c.seconds[now.Unix()%rateWindow]
	if s.at != now.Unix() {
		s.at, s.n = now.Unix(), 0
	}
	s.n++
}

func (c *counter) letter(cause string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.letters++
	c.lastErr = cause
}

// counters are those of an app: of all that calls it, and of each component that does or that it sends to.
type counters struct {
	all             counter
	mu              sync.Mutex
	inputs, outputs map[string]*counter
}

func (c *counters) of(m *map[string]*counter, component string) *counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := (*m)[component]
	if n == nil {
		if *m == nil {
			*m = map[string]*counter{}
		}
		n = &counter{}
		(*m)[component] = n
	}
	return n
}

func (c *counters) input(component string) *counter  { return c.of(&c.inputs, component) }
func (c *counters) output(component string) *counter { return c.of(&c.outputs, component) }

// used are the components that something was sent to.
func (c *counters) used() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.outputs))
}

func (c *counters) attempt(component string, v verdict) {
	c.all.attempt(v)
	c.input(component).attempt(v)
}

func (c *counters) done(component string, now time.Time) {
	c.all.done(now)
	c.input(component).done(now)
}

func (c *counters) letter(component, cause string) {
	c.all.letter(cause)
	c.input(component).letter(cause)
}

// sent counts what the app sent to a component.
func (c *counters) sent(component string, err error, now time.Time) {
	if err != nil {
		c.output(component).attempt(refusal(err, 0))
		return
	}
	c.output(component).done(now)
}

// into puts the counts into a status.
func (c *counter) into(s *event.Status, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Handled, s.Failed, s.DeadLetters, s.LastError, s.LastEvent = c.handled, c.failed, c.letters, c.lastErr, c.last
	var n int64
	for _, sec := range c.seconds {
		if now.Unix()-sec.at < rateWindow {
			n += sec.n
		}
	}
	s.PerSecond = float64(n) / rateWindow
}
