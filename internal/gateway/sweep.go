package gateway

import (
	"sync/atomic"
	"time"
)

// tick is how exact timeouts are. They are kept by one goroutine per listener that looks at all connections, because
// setting a deadline of the runtime costs a request several times a microsecond.
const tick = 50 * time.Millisecond

// watchEvery is how often a client that waits for a slow answer is looked at, whether it is still there.
const watchEvery = 150 * time.Millisecond

// The alarms of a connection.
const (
	alarmPhase = iota // idle, head, or the whole request
	alarmRead         // the client's next body bytes
	alarmWrite        // the client taking the answer
	alarms
)

// rung is the value of an alarm that went off.
const rung = -1

// coarseClock is a monotonic clock that costs an atomic load.
type coarseClock struct {
	start time.Time
	nanos atomic.Int64
}

func (k *coarseClock) advance() int64 {
	n := max(int64(time.Since(k.start)), 1)
	k.nanos.Store(n)
	return n
}

// in is the moment d from now.
func (k *coarseClock) in(d time.Duration) int64 { return k.nanos.Load() + int64(d) }

// sweepUntil looks at all connections every tick, and sleeps while there are none.
func (s *server) sweepUntil(stop <-chan struct{}) {
	t := time.NewTicker(tick)
	defer t.Stop()
	var all []*conn
	for {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		now := s.clock.advance()
		all = all[:0]
		s.mu.Lock()
		for c := range s.conns {
			all = append(all, c)
		}
		s.mu.Unlock()
		for _, c := range all {
			c.check(now)
		}
		clear(all)
		if len(all) > 0 {
			continue
		}
		t.Stop()
		select {
		case <-stop:
			return
		case <-s.wake:
			t.Reset(tick)
		}
	}
}

// check interrupts c when an alarm of it went off or its client is gone.
func (c *conn) check(now int64) {
	for i := range c.alarm {
		if v := c.alarm[i].Load(); v > 0 && v < now && c.alarm[i].CompareAndSwap(v, rung) {
			c.kill(c.reason(i))
		}
	}
	if w := c.watch.Load(); w > 0 && now-w > int64(watchEvery) && c.watch.CompareAndSwap(w, now) {
		if c.sock.gone() {
			c.kill(errClientGone)
		}
	}
}

// reason is what it means that alarm i went off.
func (c *conn) reason(i int) error {
	switch i {
	case alarmRead:
		return errSlowBody
	case alarmWrite:
		return errSlowReader
	}
	switch phase(c.phase.Load()) {
	case phaseIdle:
		return errIdle
	case phaseHead:
		return errSlowHead
	}
	return errDeadline
}

// set arms alarm i; zero d disarms it. It reports false when the alarm had gone off, which is final.
func (c *conn) set(i int, d time.Duration) bool {
	var at int64
	if d > 0 {
		at = c.s.clock.in(d)
	}
	if c.alarm[i].Swap(at) == rung {
		c.alarm[i].Store(rung)
		return false
	}
	return true
}
