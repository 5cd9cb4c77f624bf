package telemetry_test

import (
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/telemetry"
)

func TestEvents(t *testing.T) {
	objects := []telemetry.EventObject{
		{Kind: "source", Namespace: "ns", Name: "orders", Part: "paid", Ready: true, Handled: 5, Failed: 2, DeadLetters: 1, Lag: 7, Last: time.UnixMilli(1500)},
		{Kind: "bus", Name: "default", Lag: -1},
	}
	m := telemetry.New("v")
	e := m.Events(func() []telemetry.EventObject { return objects }, func() int64 { return 3 })
	e.Delivery("source", "ns", "orders", "paid", "topic", "delivered", time.Second)
	e.Input("ns", "f", "kafka", "success", time.Second)
	e.Input("ns", "f", "kafka", "deadletter", 0)
	e.Published("ns", "f", "out", "error")
	series := []string{
		`ofn_event_deliveries_total{kind="source",name="orders",namespace="ns",outcome="delivered",part="paid",sink="topic"} 1`,
		`ofn_event_delivery_duration_seconds_sum{kind="source",name="orders",namespace="ns",part="paid",sink="topic"} 1`,
		`ofn_dapr_deliveries_total{component="kafka",function="f",namespace="ns",outcome="deadletter"} 1`,
		`ofn_dapr_delivery_duration_seconds_count{component="kafka",function="f",namespace="ns"} 1`,
		`ofn_dapr_published_total{component="out",function="f",namespace="ns",outcome="error"} 1`,
	}
	now := []string{
		`ofn_events_handled_total{kind="source",name="orders",namespace="ns",part="paid"} 5`,
		`ofn_events_failed_total{kind="source",name="orders",namespace="ns",part="paid"} 2`,
		`ofn_events_given_up_total{kind="source",name="orders",namespace="ns",part="paid"} 1`,
		`ofn_events_waiting{kind="source",name="orders",namespace="ns",part="paid"} 7`,
		`ofn_events_ready{kind="source",name="orders",namespace="ns",part="paid"} 1`,
		`ofn_events_last_timestamp_seconds{kind="source",name="orders",namespace="ns",part="paid"} 1.5`,
		`ofn_events_ready{kind="bus",name="default",namespace="",part=""} 0`,
		`ofn_dead_letters 3`,
	}
	out := scrape(t, m, "")
	for _, want := range append(series, now...) {
		if !strings.Contains(out, want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, not := range []string{`ofn_events_waiting{kind="bus"`, `ofn_events_last_timestamp_seconds{kind="bus"`} {
		if strings.Contains(out, not) {
			t.Errorf("%s tells what nobody knows", not)
		}
	}
	objects = nil
	e.Forget("source", "ns", "orders", "paid")
	e.Forget("function", "ns", "f", "")
	out = scrape(t, m, "")
	for _, gone := range []string{`name="orders"`, `function="f"`} {
		if strings.Contains(out, gone) {
			t.Errorf("after Forget there still is %s", gone)
		}
	}
}
