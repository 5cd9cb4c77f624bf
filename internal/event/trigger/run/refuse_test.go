package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/embedded"
	"github.com/openfunction/ofn/internal/event/source"
)

func TestTriggersThatCannotRun(t *testing.T) {
	for want, tr := range map[string]event.Trigger{
		"subscribers[0]: condition": {Inputs: topics("a"), Subscribers: []event.Subscriber{{Condition: "b", Sink: to("f")}}},
		"inputs[a].filter":          {Inputs: map[string]event.TriggerInput{"a": {Topic: "a", Filter: "x ="}}},
		"subscribers[1]: it has no": {Inputs: topics("a"), Subscribers: []event.Subscriber{{Sink: to("f")}, {}}},
		"from \"yesterday\"":        {Inputs: topics("a"), Subscribers: []event.Subscriber{{Sink: to("f"), From: "yesterday"}}},
		"transform":                 {Inputs: topics("a"), Subscribers: []event.Subscriber{{Sink: to("f"), Transform: json.RawMessage(`{"data": "a"}`)}}},
		"correlate.key":             {Inputs: topics("a"), Subscribers: []event.Subscriber{{Sink: to("f"), Correlate: &event.Correlation{Key: "a"}}}},
	} {
		err := New(nil).Run(t.Context(), t.Context(), tr, embedded.Env{})
		var invalid source.Invalid
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestRate(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a"), Subscribers: []event.Subscriber{{Condition: "a", Sink: to("f"), RatePerSec: 50, Burst: 2}}})
	w.start()
	begin := time.Now()
	for i := range 12 {
		w.publish("a", fmt.Sprint(i))
	}
	w.wait(func() bool { return len(w.got("f")) == 12 })
	if d := time.Since(begin); d < 190*time.Millisecond {
		t.Errorf("12 events at 50 a second, two at once, took %s", d)
	}
}
