package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// EventObject is something that events pass through, at the moment of a scrape: kind is source, bus, trigger, component, function,
// input or output; Part is the event of a source or the component of an input or output. Counts are since the platform started.
type EventObject struct {
	Kind, Namespace, Name, Part  string
	Ready                        bool
	Handled, Failed, DeadLetters int64
	Lag                          int64     // -1 is unknown
	Last                         time.Time // zero is never
}

// Events are the instruments of event deliveries.
type Events struct {
	deliveries, inputs, published    *prometheus.CounterVec
	deliveryDuration, inputsDuration *prometheus.HistogramVec
}

// Events makes and registers them, once. Every scrape asks list for what there is, and letters for the number of dead letters that
// are kept; -1 is unknown.
func (m *Metrics) Events(list func() []EventObject, letters func() int64) *Events {
	object, app := []string{"kind", "namespace", "name", "part"}, []string{"namespace", "function", "component"}
	e := &Events{
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ofn_event_deliveries_total",
			Help: "Attempts to deliver events to sinks, by kind of sink (function, uri, topic) and outcome: delivered, retried, refused, circuit."}, append(object, "sink", "outcome")),
		deliveryDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ofn_event_delivery_duration_seconds",
			Help: "How long attempts to deliver events to sinks took.", Buckets: fine}, append(object, "sink")),
		inputs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ofn_dapr_deliveries_total",
			Help: "Calls of functions by Dapr components, by outcome: success, retry, drop, waiting, deadletter."}, append(app, "outcome")),
		inputsDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "ofn_dapr_delivery_duration_seconds",
			Help: "How long calls of functions by Dapr components took.", Buckets: fine}, app),
		published: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ofn_dapr_published_total",
			Help: "Messages to Dapr components by functions, topics and output bindings, by outcome: success, error."}, append(app, "outcome")),
	}
	m.registry.MustRegister(e.deliveries, e.deliveryDuration, e.inputs, e.inputsDuration, e.published, newEventObjects(list, letters))
	return e
}

// Delivery counts and times one attempt on behalf of an object.
func (e *Events) Delivery(kind, namespace, name, part, sink, outcome string, took time.Duration) {
	e.deliveries.WithLabelValues(kind, namespace, name, part, sink, outcome).Inc()
	e.deliveryDuration.WithLabelValues(kind, namespace, name, part, sink).Observe(took.Seconds())
}

// Input counts and times one call of a function by a component.
func (e *Events) Input(namespace, function, component, outcome string, took time.Duration) {
	e.inputs.WithLabelValues(namespace, function, component, outcome).Inc()
	if took > 0 { // something was called
		e.inputsDuration.WithLabelValues(namespace, function, component).Observe(took.Seconds())
	}
}

// Published counts what a function sent to a component.
func (e *Events) Published(namespace, function, component, outcome string) {
	e.published.WithLabelValues(namespace, function, component, outcome).Inc()
}

// Forget drops the series of a deleted object.
func (e *Events) Forget(kind, namespace, name, part string) {
	labels := prometheus.Labels{"kind": kind, "namespace": namespace, "name": name}
	if part != "" {
		labels["part"] = part
	}
	e.deliveries.DeletePartialMatch(labels)
	e.deliveryDuration.DeletePartialMatch(labels)
	if kind != "function" {
		return
	}
	labels = prometheus.Labels{"namespace": namespace, "function": name}
	e.inputs.DeletePartialMatch(labels)
	e.inputsDuration.DeletePartialMatch(labels)
	e.published.DeletePartialMatch(labels)
}

// eventObjects is a prometheus.Collector.
type eventObjects struct {
	list                                       func() []EventObject
	letters                                    func() int64
	handled, failed, dead, lag, ready, at, own *prometheus.Desc
}

func newEventObjects(list func() []EventObject, letters func() int64) *eventObjects {
	by := []string{"kind", "namespace", "name", "part"}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &eventObjects{list: list, letters: letters,
		handled: desc("ofn_events_handled_total", "Events that reached their end.", by...),
		failed:  desc("ofn_events_failed_total", "Attempts to handle events that failed.", by...),
		dead:    desc("ofn_events_given_up_total", "Events that became dead letters.", by...),
		lag:     desc("ofn_events_waiting", "Events that wait; absent where that cannot be known.", by...),
		ready:   desc("ofn_events_ready", "1 while events flow, 0 while they cannot.", by...),
		at:      desc("ofn_events_last_timestamp_seconds", "When the last event was handled.", by...),
		own:     desc("ofn_dead_letters", "Dead letters that the platform keeps."),
	}
}

// Describe implements prometheus.Collector.
func (c *eventObjects) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.handled, c.failed, c.dead, c.lag, c.ready, c.at, c.own} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *eventObjects) Collect(ch chan<- prometheus.Metric) {
	for _, o := range c.list() {
		send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64) {
			ch <- prometheus.MustNewConstMetric(d, kind, v, o.Kind, o.Namespace, o.Name, o.Part)
		}
		send(c.handled, prometheus.CounterValue, float64(o.Handled))
		send(c.failed, prometheus.CounterValue, float64(o.Failed))
		send(c.dead, prometheus.CounterValue, float64(o.DeadLetters))
		ready := 0.0
		if o.Ready {
			ready = 1
		}
		send(c.ready, prometheus.GaugeValue, ready)
		if o.Lag >= 0 {
			send(c.lag, prometheus.GaugeValue, float64(o.Lag))
		}
		if !o.Last.IsZero() {
			send(c.at, prometheus.GaugeValue, float64(o.Last.UnixMilli())/1000)
		}
	}
	if n := c.letters(); n >= 0 {
		ch <- prometheus.MustNewConstMetric(c.own, prometheus.GaugeValue, float64(n))
	}
}
