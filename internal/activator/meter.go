package activator

import "time"

// meter integrates concurrency over time.
type meter struct {
	since    time.Time // begin of the period
	at       time.Time // of the last change
	area     float64   // concurrency times seconds since the begin
	requests int
	last     time.Time
}

// change notes that level requests were under way until now.
func (m *meter) change(now time.Time, level int) {
	from := m.at
	if from.Before(m.since) {
		from = m.since
	}
	if d := now.Sub(from); d > 0 {
		m.area += d.Seconds() * float64(level)
		m.at = now
	}
}

// arrive counts a request.
func (m *meter) arrive(now time.Time) {
	m.requests++
	m.last = now
}

// report ends the period.
func (m *meter) report(now time.Time, inFlight, waiting int) Stats {
	m.change(now, inFlight+waiting)
	s := Stats{InFlight: inFlight, Waiting: waiting, Requests: m.requests, LastRequest: m.last}
	if d := now.Sub(m.since); d > 0 {
		s.AvgConcurrency = m.area / d.Seconds()
	} else {
		s.AvgConcurrency = float64(inFlight + waiting)
	}
	m.since, m.at, m.area, m.requests = now, now, 0, 0
	return s
}
