package telemetry

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Calls are the instruments of asynchronous calls.
type Calls struct {
	accepted, refused, attempts, ended *prometheus.CounterVec
	duration                           *prometheus.HistogramVec
}

// Calls makes and registers them, once. waiting is asked at each scrape for the number of calls that have not ended.
func (m *Metrics) Calls(waiting func() int) *Calls {
	fn := []string{"namespace", "function"}
	c := &Calls{
		accepted: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ofn_calls_accepted_total", Help: "Asynchronous calls accepted."}, fn),
		refused:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ofn_calls_refused_total", Help: "Asynchronous calls not accepted: full, disk, invalid, too-large."}, []string{"reason"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ofn_call_attempts_total", Help: "Attempts of asynchronous calls, by status; 0 is no answer."}, append(fn, "code")),
		ended:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ofn_calls_ended_total", Help: "Asynchronous calls that ended, by state."}, append(fn, "state")),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ofn_call_attempt_duration_seconds", Help: "How long attempts of asynchronous calls took.", Buckets: fine}, fn),
	}
	pending := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ofn_calls_waiting", Help: "Asynchronous calls that have not ended."},
		func() float64 { return float64(waiting()) })
	m.registry.MustRegister(c.accepted, c.refused, c.attempts, c.ended, c.duration, pending)
	return c
}

// Accepted counts a call.
func (c *Calls) Accepted(namespace, function string) {
	c.accepted.WithLabelValues(namespace, function).Inc()
}

// Refused counts a call that was not accepted.
func (c *Calls) Refused(reason string) { c.refused.WithLabelValues(reason).Inc() }

// Attempt counts and times one attempt.
func (c *Calls) Attempt(namespace, function string, code int, took time.Duration) {
	c.attempts.WithLabelValues(namespace, function, strconv.Itoa(code)).Inc()
	c.duration.WithLabelValues(namespace, function).Observe(took.Seconds())
}

// Ended counts the end of a call.
func (c *Calls) Ended(namespace, function, state string) {
	c.ended.WithLabelValues(namespace, function, state).Inc()
}
