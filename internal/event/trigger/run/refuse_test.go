package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/deliver"
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

func TestAnEventStaysUntilItsDeadLetterIsKept(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a"), Subscribers: []event.Subscriber{{Condition: "a", Sink: to("bad"), Retry: event.Policy{Attempts: 1}}}})
	w.answer, w.refuse = func(call) int { return 500 }, 1
	w.start()
	w.publish("a", "1")
	w.wait(func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.letters) == 1 })
	w.idle()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.ContainsFunc(w.failed, func(s string) bool { return strings.Contains(s, "the letter box is full") }) || w.letters[0].Attempts != 1 {
		t.Errorf("told %q, letter %+v", w.failed, w.letters[0])
	}
}

func TestOrderedSubscribers(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a"), Subscribers: []event.Subscriber{{Condition: "a", Sink: to("f"), Ordered: true, Retry: quick}}})
	failed := map[string]bool{}
	w.answer = func(c call) int {
		if !failed[c.data] && c.data[1] == '1' {
			failed[c.data] = true
			return 503
		}
		return 200
	}
	w.start()
	for i := range 5 {
		for _, key := range []string{"x", "y"} {
			e := cloudevent.Event{ID: fmt.Sprint(key, i), Source: "/s", Type: "t", Data: fmt.Append(nil, key, i)}
			e.SetExtension(cloudevent.PartitionKey, key)
			if _, err := w.bus.Publish(t.Context(), deliver.Message(e, "a")); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.wait(func() bool { return len(w.got("f")) == 12 })
	for _, key := range []string{"x", "y"} {
		var got []string
		for _, d := range w.got("f") {
			if strings.HasPrefix(d, key) {
				got = append(got, d[1:])
			}
		}
		if strings.Join(got, "") != "011234" {
			t.Errorf("%s came as %q", key, got)
		}
	}
}
