// Package telemetry counts and times what the platform does, as Prometheus and OpenMetrics name such things: base units,
// _total on counters, labels namespace and revision.
package telemetry

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

// Metrics is one registry and the instruments in it. Its methods are safe for concurrent use and cheap enough for the path
// of every request.
type Metrics struct {
	registry *prometheus.Registry

	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	queued    *prometheus.HistogramVec
	starts    *prometheus.CounterVec
	phases    *prometheus.HistogramVec
	exits     *prometheus.CounterVec
	builds    *prometheus.CounterVec
	buildTime prometheus.Histogram
	functions functions

	refused     *prometheus.CounterVec
	connections prometheus.Gauge

	revisions sync.Map // revision "namespace/name" -> *revision
}

// revision caches the instruments of one revision, so that a request costs no label lookup.
type revision struct {
	namespace, name  string
	duration, queued prometheus.Observer
	codes            sync.Map // status code -> prometheus.Counter
	names            names
}

// fine are histogram bounds in seconds from 100 µs to 60 s.
var fine = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// New makes the instruments and registers them with the process and Go runtime collectors.
func New(version string) *Metrics {
	rev := []string{"namespace", "revision"}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ofn_requests_total",
			Help: "Requests answered, by status code."}, append(rev, "code")),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ofn_request_duration_seconds",
			Help: "From a request's arrival at the gateway to the last byte of its answer.", Buckets: fine}, rev),
		queued: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ofn_request_queue_duration_seconds",
			Help: "How long requests waited for a slot.", Buckets: fine}, rev),
		starts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ofn_cold_starts_total",
			Help: "Copies started."}, rev),
		phases: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ofn_cold_start_phase_duration_seconds",
			Help: "Phases of a start: prepare, sandbox, runtime, ready, first_byte.", Buckets: fine}, append(rev, "phase")),
		exits: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ofn_replica_exits_total",
			Help: "Copies that ended, by cause: stopped, crashed, out_of_memory, killed."}, append(rev, "cause")),
		builds: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ofn_builds_total",
			Help: "Builds finished, by result."}, []string{"namespace", "result"}),
		buildTime: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "ofn_build_duration_seconds",
			Help: "How long builds took.", Buckets: []float64{.1, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600}}),
	}
	m.functions = newFunctions()
	m.refused = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ofn_gateway_refused_requests_total",
		Help: "Requests that reached no revision: malformed, slow, no-route, no-backend, reserved."}, []string{"reason", "code"})
	m.connections = prometheus.NewGauge(prometheus.GaugeOpts{Name: "ofn_gateway_connections", Help: "Client connections open."})
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "ofn_build_info", Help: "1, with the version of this binary.",
		ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.duration, m.queued, m.starts, m.phases, m.exits, m.builds, m.buildTime, m.refused, m.connections, info,
		m.functions.requests, m.functions.duration,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the registry in the Prometheus text or OpenMetrics format, whichever the client asks for.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(prometheus.GathererFunc(m.gather), promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// heapTwice is a gauge of the Go collector that OpenMetrics cannot tell from the counter go_memstats_alloc_bytes_total,
// because it names a counter without _total. go_memstats_heap_alloc_bytes has the same value.
const heapTwice = "go_memstats_alloc_bytes"

func (m *Metrics) gather() ([]*dto.MetricFamily, error) {
	all, err := m.registry.Gather()
	return slices.DeleteFunc(all, func(f *dto.MetricFamily) bool { return f.GetName() == heapTwice }), err
}

// Request records one answered request of the revision "namespace/name": its status code, its whole duration and how long
// it waited for a slot. cold says that it waited for a copy to start.
func (m *Metrics) Request(rev string, code int, whole, queued time.Duration, cold bool) {
	r := m.revision(rev)
	r.duration.Observe(whole.Seconds())
	r.queued.Observe(queued.Seconds())
	if code < 100 || code > 599 {
		code = 0
	}
	c, ok := r.codes.Load(code)
	if !ok {
		c, _ = r.codes.LoadOrStore(code, m.requests.WithLabelValues(r.namespace, r.name, strconv.Itoa(code)))
	}
	c.(prometheus.Counter).Inc()
	if cold {
		m.Phase(rev, "first_byte", whole)
	}
}

// Started counts a start of a copy of the revision.
func (m *Metrics) Started(rev string) {
	r := m.revision(rev)
	m.starts.WithLabelValues(r.namespace, r.name).Inc()
}

// Phase records how long one phase of a start took.
func (m *Metrics) Phase(rev, phase string, d time.Duration) {
	r := m.revision(rev)
	m.phases.WithLabelValues(r.namespace, r.name, phase).Observe(d.Seconds())
}

// Exited counts the end of a copy and its cause.
func (m *Metrics) Exited(rev, cause string) {
	r := m.revision(rev)
	m.exits.WithLabelValues(r.namespace, r.name, cause).Inc()
}

// Built records a finished build.
func (m *Metrics) Built(namespace, result string, d time.Duration) {
	m.builds.WithLabelValues(namespace, result).Inc()
	m.buildTime.Observe(d.Seconds())
}

// Forget drops the series of a deleted revision.
func (m *Metrics) Forget(rev string) {
	m.revisions.Delete(rev)
	namespace, name, _ := strings.Cut(rev, "/")
	labels := prometheus.Labels{"namespace": namespace, "revision": name}
	for _, v := range []interface{ DeletePartialMatch(prometheus.Labels) int }{m.requests, m.duration, m.queued, m.starts, m.phases, m.exits, m.functions.requests, m.functions.duration} {
		v.DeletePartialMatch(labels)
	}
}

func (m *Metrics) revision(rev string) *revision {
	if r, ok := m.revisions.Load(rev); ok {
		return r.(*revision)
	}
	namespace, name, _ := strings.Cut(rev, "/")
	r := &revision{namespace: namespace, name: name,
		duration: m.duration.WithLabelValues(namespace, name), queued: m.queued.WithLabelValues(namespace, name)}
	actual, _ := m.revisions.LoadOrStore(rev, r)
	return actual.(*revision)
}

// Refused records a request that reached no revision.
func (m *Metrics) Refused(reason string, code int) {
	m.refused.WithLabelValues(reason, strconv.Itoa(code)).Inc()
}

// Connections follows the number of client connections.
func (m *Metrics) Connections(delta int) { m.connections.Add(float64(delta)) }
