package run

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/bus"
	"github.com/openfunction/ofn/internal/event"
)

func TestEverySubscriberGetsWhatItAsksFor(t *testing.T) {
	w := newWorld(t, event.Trigger{
		Inputs: map[string]event.TriggerInput{"a": {Topic: "a"}, "big": {Topic: "a", Filter: "type = 'type.a' AND EXISTS id"}, "none": {Topic: "a", Filter: "type = 'other'"}},
		Subscribers: []event.Subscriber{
			{Condition: "a", Sink: to("one")}, {Condition: "a", Sink: to("two")}, {Condition: "a && data.n > 1", Sink: to("large")},
			{Condition: "none", Sink: to("never")}, {Condition: "big", Sink: to("big")}, {Filter: "id LIKE '%3%'", Sink: to("filtered")},
			{Condition: "a", Sink: to("made"), Transform: json.RawMessage(`{"json": {"double": "${data.n * 2.0}"}, "attributes": {"type": "'made'"}}`)},
		},
	})
	w.start()
	for i := 1; i <= 3; i++ {
		w.publish("a", fmt.Sprintf(`{"n":%d}`, i))
	}
	w.publish("unrelated", `{}`)
	all := []string{`{"n":1}`, `{"n":2}`, `{"n":3}`}
	w.expect("one", all...)
	w.expect("two", all...)
	w.expect("big", all...)
	w.expect("large", all[1:]...)
	w.expect("filtered", all[2:]...)
	w.expect("made", `{"double":2}`, `{"double":4}`, `{"double":6}`)
	w.expect("never")
}

func TestARetryConcernsItsSubscriberOnly(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a"), Subscribers: []event.Subscriber{
		{Condition: "a", Sink: to("good"), Retry: quick}, {Condition: "a", Sink: to("flaky"), Retry: quick}, {Condition: "a", Sink: to("bad"), Retry: quick},
		{Condition: "a", Sink: to("refuses"), Retry: quick},
	}})
	tries := map[call]int{}
	w.answer = func(c call) int {
		tries[c]++
		switch {
		case c.function == "flaky" && tries[c] < 3, c.function == "bad":
			return 503
		case c.function == "refuses":
			return 400
		}
		return 200
	}
	w.start()
	w.publish("a", "1")
	w.publish("a", "2")
	w.expect("good", "1", "2")
	w.expect("flaky", "1", "1", "1", "2", "2", "2")
	w.expect("bad", "1", "1", "1", "1", "2", "2", "2", "2")
	w.expect("refuses", "1", "2")
	w.wait(func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.letters) >= 4 })
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.letters {
		if want := map[string]int{"bad": 4, "refuses": 1}[l.Sink.Function.Name]; l.Attempts != want || l.From.Name.Name != "tr" || l.Part != "a" || len(l.Event.Data) != 1 {
			t.Errorf("letter %+v", l)
		}
	}
	if len(w.letters) != 4 {
		t.Errorf("%d letters", len(w.letters))
	}
}

func TestInputsStayTrueOverRestarts(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a", "b", "c"), Subscribers: []event.Subscriber{
		{Condition: "a && b", Sink: to("both")}, {Condition: "a", Sink: to("onlya")}, {Condition: "c && !b", Sink: to("notb")},
	}})
	w.start()
	w.publish("c", "1")
	w.expect("notb", "1")
	w.publish("a", "2")
	w.expect("onlya", "2")
	w.end()
	w.start()
	w.publish("b", "3") // while a is hot
	w.expect("both", "3")
	w.publish("c", "4") // fires what is true, as OpenFunction does
	w.expect("both", "3", "4")
	w.expect("onlya", "2", "3", "4")
	w.expect("notb", "1", "2")
}

func TestCorrelationOverRestarts(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("order", "payment"), Subscribers: []event.Subscriber{
		{Condition: "order && payment", Sink: to("ship"), Correlate: &event.Correlation{Key: "data.id", Window: time.Hour}, Retry: quick,
			Transform: json.RawMessage(`{"data": "data.order.data.id + '/' + data.payment.data.by"}`)},
	}})
	fails := 2
	w.answer = func(call) int {
		if fails--; fails >= 0 {
			return 503
		}
		return 200
	}
	w.start()
	w.publish("order", `{"id":"x"}`)
	w.publish("order", `{"id":"y"}`)
	w.publish("payment", `{"id":"y","by":"card"}`)
	w.wait(func() bool { return len(w.got("ship")) == 3 })
	w.end()
	w.start()
	w.publish("payment", `{"id":"x","by":"cash"}`)
	w.expect("ship", `"x/cash"`, `"y/card"`, `"y/card"`, `"y/card"`)
}

func TestCorrelationThatIsNeverComplete(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a", "b"), Subscribers: []event.Subscriber{
		{Sink: to("f"), Correlate: &event.Correlation{Window: 50 * time.Millisecond}},
	}})
	w.start()
	w.publish("a", "1")
	w.idle()
	w.expect("f")
}

func TestSubscribersKeepTheirPlaces(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a"), Subscribers: []event.Subscriber{{Condition: "a", Sink: to("one")}, {Condition: "a", Sink: to("two")}}})
	w.start()
	w.publish("a", "1")
	w.expect("one", "1")
	w.expect("two", "1")
	w.end()
	gone := w.trigger
	w.publish("a", "2")
	w.trigger.Subscribers = []event.Subscriber{{Condition: "a && true", Sink: to("two")}, {Sink: to("three"), From: "all"}, {Sink: to("four")}}
	w.start()
	w.publish("a", "3")
	w.expect("two", "1", "2", "3")
	w.expect("three", "1", "2", "3")
	w.expect("four", "3")
	w.expect("one", "1")
	names, err := w.bus.(bus.Lister).Consumers(t.Context())
	if err != nil || len(names) != 3 || slices.Contains(names, consumers(gone)[0]) {
		t.Errorf("consumers %q %v", names, err)
	}
	w.end()
	if err := New(nil).Forget(t.Context(), w.trigger, w.bus); err != nil {
		t.Fatal(err)
	}
	if names, err = w.bus.(bus.Lister).Consumers(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("after a delete: %q %v", names, err)
	}
}

// TestAChangedSinkGoesOn: who corrects the address of a sink wants what could not be delivered to the wrong one.
func TestAChangedSinkGoesOn(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a"), Subscribers: []event.Subscriber{{Condition: "a", Sink: to("wrong"), Retry: event.Policy{Attempts: 1000}}, {Condition: "a", Sink: to("other")}}})
	tried := make(chan struct{})
	once := sync.OnceFunc(func() { close(tried) })
	w.answer = func(c call) int {
		if c.function == "wrong" && c.data == "2" {
			once()
			return 503
		}
		return 200
	}
	w.start()
	w.publish("a", "1")
	w.expect("wrong", "1")
	w.publish("a", "2")
	<-tried
	w.end()
	w.publish("a", "3")
	w.trigger.Subscribers[0].Sink = to("right")
	w.start()
	w.publish("a", "4")
	w.expect("right", "2", "3", "4")
	w.expect("other", "1", "2", "3", "4")
	w.end()
	w.start() // and it has a place of its own now
	w.publish("a", "5")
	w.expect("right", "2", "3", "4", "5")
}

func TestWhatIsNoCloudEventBecomesOne(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a"), Subscribers: []event.Subscriber{{Condition: "a", Sink: to("f")}}})
	w.start()
	for _, h := range []map[string]string{nil, {"ce-specversion": "1.0", "ce-id": "", "ce-type": "t"}, {"ce-specversion": "9"}} {
		if _, err := w.bus.Publish(t.Context(), bus.Message{Topic: "a", Data: []byte("raw"), Header: h}); err != nil {
			t.Fatal(err)
		}
	}
	w.expect("f", "raw", "raw", "raw")
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.calls {
		if c.id == "" || c.typ != "io.openfunction.message" {
			t.Errorf("%+v", c)
		}
	}
}

func TestWhatCannotBeEvaluatedIsNotDelivered(t *testing.T) {
	w := newWorld(t, event.Trigger{Inputs: topics("a"), Subscribers: []event.Subscriber{
		{Condition: "data.gone > 1", Sink: to("f")}, {Filter: "gone = 1", Sink: to("g")},
		{Sink: to("h"), Transform: json.RawMessage(`{"data": "data.gone"}`)},
	}})
	w.start()
	w.publish("a", "{}")
	w.wait(func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.letters) == 1 && len(w.failed) == 2 })
	w.expect("f")
	w.expect("g")
	w.expect("h")
}
