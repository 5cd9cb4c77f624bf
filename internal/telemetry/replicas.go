package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Replicas is the state of one revision at the moment of a scrape.
type Replicas struct {
	Namespace, Revision      string
	Desired, Ready, Starting int
	InFlight, Waiting        int
}

// ObserveReplicas makes every scrape ask list for the revisions there are.
func (m *Metrics) ObserveReplicas(list func() []Replicas) {
	m.registry.MustRegister(&replicas{list: list,
		count: prometheus.NewDesc("ofn_replicas", "Copies of a revision: desired, ready, starting.", []string{"namespace", "revision", "state"}, nil),
		load:  prometheus.NewDesc("ofn_requests_in_progress", "Requests of a revision: running inside a copy, or waiting for a slot.", []string{"namespace", "revision", "state"}, nil),
	})
}

type replicas struct {
	list        func() []Replicas
	count, load *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *replicas) Describe(ch chan<- *prometheus.Desc) { ch <- c.count; ch <- c.load }

// Collect implements prometheus.Collector.
func (c *replicas) Collect(ch chan<- prometheus.Metric) {
	for _, r := range c.list() {
		gauge := func(d *prometheus.Desc, v int, state string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), r.Namespace, r.Revision, state)
		}
		gauge(c.count, r.Desired, "desired")
		gauge(c.count, r.Ready, "ready")
		gauge(c.count, r.Starting, "starting")
		gauge(c.load, r.InFlight, "running")
		gauge(c.load, r.Waiting, "waiting")
	}
}
