package eventing_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	events "github.com/openfunction/ofn/api/events/v1alpha1"
	"github.com/openfunction/ofn/internal/control/eventing"
	"github.com/openfunction/ofn/internal/event"
)

// The list stays short, and its last condition is what clients of OpenFunction read.
func TestSetReady(t *testing.T) {
	var list []events.Condition
	for _, test := range []struct {
		status metav1.ConditionStatus
		want   string
	}{{"Unknown", "Ready Pending"}, {"False", "Ready Error"}, {"False", "Ready Error"}, {"True", "Ready"}, {"Unknown", "Ready Pending"}} {
		eventing.SetReady(&list, 3, test.status, "Why", "text")
		var kinds []string
		for _, c := range list {
			kinds = append(kinds, c.Type)
			if c.Reason != "Why" || c.Message != "text" || c.ObservedGeneration != 3 || c.Timestamp == "" || c.LastTransitionTime.IsZero() {
				t.Errorf("condition is %+v", c)
			}
		}
		if got := strings.Join(kinds, " "); got != test.want || list[0].Status != test.status {
			t.Errorf("%s: conditions %s", test.status, got)
		}
	}
}

func TestStands(t *testing.T) {
	for _, test := range []struct {
		status event.Status
		known  bool
		want   metav1.ConditionStatus
		reason string
	}{
		{event.Status{}, false, "Unknown", events.ReasonPendingCreation},
		{event.Status{Ready: true, Reason: "Ready"}, true, "True", "Fine"},
		{event.Status{}, true, "Unknown", events.ReasonPendingCreation},
		{event.Status{Reason: "Connecting"}, true, "Unknown", "Connecting"},
		{event.Status{Reason: "BadCredentials"}, true, "False", "BadCredentials"},
	} {
		if got, reason, _ := eventing.Stands(test.status, test.known, "Fine"); got != test.want || reason != test.reason {
			t.Errorf("%+v: %s %s", test, got, reason)
		}
	}
}

// A quiet platform writes nothing, a busy one every fifteen seconds.
func TestFlow(t *testing.T) {
	epoch := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	flow, again := eventing.Flow(nil, event.Status{Lag: -1}, epoch)
	if flow != nil || again != 0 {
		t.Fatalf("nothing happened: %+v, again in %s", flow, again)
	}
	busy := event.Status{Handled: 3, Failed: 1, Lag: 2, PerSecond: 0.5, LastError: strings.Repeat("x", 5000), LastEvent: epoch.Add(time.Millisecond)}
	flow, again = eventing.Flow(nil, busy, epoch)
	if flow == nil || again != 0 || flow.Handled != 3 || *flow.Lag != 2 || flow.PerMinute != 30 || len(flow.LastError) > 1100 || !flow.LastEventTime.Equal(&metav1.Time{Time: epoch}) {
		t.Fatalf("the first event: %+v, again in %s", flow, again)
	}
	if same, again := eventing.Flow(flow, busy, epoch.Add(time.Hour)); same != flow || again != 0 {
		t.Errorf("nothing changed: %+v, again in %s", same, again)
	}
	busy.Handled = 4
	if held, again := eventing.Flow(flow, busy, epoch.Add(5*time.Second)); held != flow || again != 10*time.Second {
		t.Errorf("too early: %+v, again in %s", held, again)
	}
	if late, again := eventing.Flow(flow, busy, epoch.Add(eventing.Rarely)); late.Handled != 4 || again != 0 {
		t.Errorf("late enough: %+v, again in %s", late, again)
	}
	if back, again := eventing.Flow(flow, busy, epoch.Add(-time.Hour)); back.Handled != 4 || again != 0 {
		t.Errorf("the clock was set back: %+v, again in %s", back, again)
	}
	if unknown, _ := eventing.Flow(nil, event.Status{Handled: 1, Lag: -1}, epoch); unknown.Lag != nil {
		t.Error("an unknown lag is told")
	}
}
