package embedded

import (
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/event"
)

// counter is the status of one task.
type counter struct {
	mu      sync.Mutex
	s       event.Status
	seconds [60]int64 // events of each of the last seconds
	last    int64     // the second that was counted last
	changed bool      // since moved was asked
}

func newCounter() *counter {
	return &counter{s: event.Status{Reason: "Starting", Message: "it is being started", Since: time.Now(), Lag: -1}}
}

// inherit goes on with the counts of what is replaced.
func (c *counter) inherit(old *counter) {
	old.mu.Lock()
	defer old.mu.Unlock()
	c.s.Handled, c.s.Failed, c.s.DeadLetters, c.s.LastEvent, c.s.Lag = old.s.Handled, old.s.Failed, old.s.DeadLetters, old.s.LastEvent, old.s.Lag
	c.seconds, c.last = old.seconds, old.last
}

// ready tells whether that is news.
func (c *counter) ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s.Ready {
		return false
	}
	c.s.Ready, c.s.Reason, c.s.Message, c.s.Since = true, "Ready", "", time.Now()
	return true
}

func (c *counter) trouble(reason string, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	news := c.s.Ready || c.s.Reason != reason || c.s.Message != err.Error()
	if c.s.Ready || c.s.Reason != reason {
		c.s.Since = time.Now()
	}
	c.s.Ready, c.s.Reason, c.s.Message, c.s.LastError = false, reason, err.Error(), err.Error()
	return news
}

func (c *counter) handled(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forward(now.Unix())
	c.seconds[c.last%60]++
	c.s.Handled++
	c.s.LastEvent, c.changed = now, true
}

// forward empties the seconds in which nothing came.
func (c *counter) forward(now int64) {
	if now-c.last >= 60 {
		c.seconds = [60]int64{}
		c.last = now
	}
	for c.last < now {
		c.last++
		c.seconds[c.last%60] = 0
	}
}

func (c *counter) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Failed++
	c.changed = true
	if err != nil {
		c.s.LastError = err.Error()
	}
}

func (c *counter) dead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.DeadLetters++
	c.changed = true
}

func (c *counter) lag(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = c.changed || c.s.Lag != n
	c.s.Lag = n
}

// moved tells whether the counts changed since it was asked last.
func (c *counter) moved() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.changed
	c.changed = false
	return m
}

func (c *counter) status(now time.Time) event.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forward(now.Unix())
	var sum int64
	for _, n := range c.seconds {
		sum += n
	}
	s := c.s
	s.PerSecond = float64(sum) / 60
	return s
}
