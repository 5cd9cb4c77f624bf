package runtime

import (
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
