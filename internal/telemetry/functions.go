package telemetry

import (
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// maxFunctions bounds the series that the answers of one revision can make; more functions share one name.
	maxFunctions  = 100
	otherFunction = "other"
	maxNameBytes  = 128
)

// functions counts what the functions of one application answered.
type functions struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newFunctions() functions {
	by := []string{"namespace", "revision", "function"}
	return functions{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ofn_function_requests_total",
			Help: "Requests answered by one of the functions of an application that has several, by status code."}, append(by, "code")),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ofn_function_request_duration_seconds",
			Help: "From a request's arrival at the gateway to the last byte of its answer, for each function of an application that has several.", Buckets: fine}, by),
	}
}

// names are those that a revision's answers have used.
type names struct {
	mu   sync.Mutex
	seen map[string]struct{}
}

// admit returns the name to count under: the given one, unless it is of no use or there are too many already.
func (n *names) admit(name string) string {
	if name == "" || len(name) > maxNameBytes || !utf8.ValidString(name) {
		return otherFunction
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.seen[name]; ok {
		return name
	}
	if len(n.seen) >= maxFunctions {
		return otherFunction
	}
	if n.seen == nil {
		n.seen = map[string]struct{}{}
	}
	n.seen[strings.Clone(name)] = struct{}{}
	return name
}

// Function records one answer of a function of the revision "namespace/name". The first hundred names of a revision have series of
// their own; the rest are counted as "other".
func (m *Metrics) Function(rev, function string, code int, took time.Duration) {
	r := m.revision(rev)
	name := r.names.admit(function)
	m.functions.requests.WithLabelValues(r.namespace, r.name, name, strconv.Itoa(code)).Inc()
	m.functions.duration.WithLabelValues(r.namespace, r.name, name).Observe(took.Seconds())
}
