package dapr_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/event"
)

// input is an app that one topic of "bus" calls.
func input(n, topic string) event.App {
	return event.App{Name: name(n), Inputs: []event.Input{{Name: "in", Component: "bus", Type: "pubsub.in-memory", Topic: topic}}}
}

// withBus is a platform with a pub/sub component, an app on the topic "orders" over HTTP, and a publisher.
func withBus(t *testing.T, answer func(got) (int, string)) (*platform, chan got, *api) {
	t.Helper()
	p := newPlatform(t)
	p.component(component("bus", "pubsub.in-memory"))
	calls := p.httpApp("fn-v1", answer)
	p.app(input("fn", "orders"))
	p.ready(event.KindApp, "fn")
	return p, calls, p.serve(name("publisher"))
}

func TestTopicReachesFunctionOverHTTP(t *testing.T) {
	_, calls, api := withBus(t, nil)
	api.must("POST", "/v1.0/publish/bus/orders", `{"n":1}`, "Content-Type", "application/json", "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	g := receive(t, calls, "the event")
	if g.path != "/orders" || g.header.Get("Content-Type") != "application/cloudevents+json" {
		t.Errorf("path %q, content type %q", g.path, g.header.Get("Content-Type"))
	}
	if tp := g.header.Get("traceparent"); !strings.Contains(tp, "0af7651916cd43dd8448eb211c80319c") {
		t.Errorf("traceparent %q", tp)
	}
	ev := g.event(t)
	for k, want := range map[string]any{
		"specversion": "1.0", "type": "com.dapr.event.sent", "source": "publisher-ns", "topic": "orders", "pubsubname": "bus",
		"datacontenttype": "application/json", "data": map[string]any{"n": 1.0},
		"traceid": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	} {
		if fmt.Sprint(ev[k]) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", k, ev[k], want)
		}
	}
}

func TestPublishedForms(t *testing.T) {
	_, calls, api := withBus(t, nil)
	tests := []struct{ name, query, kind, body, field, want string }{
		{"text", "", "text/plain", "hi", "data", "hi"},
		{"bytes", "", "application/octet-stream", "\x00\x01", "data_base64", "AAE="},
		{"no type", "", "", "hi", "datacontenttype", "text/plain"},
		{"cloud event", "", "application/cloudevents+json", `{"specversion":"1.0","id":"7","source":"me","type":"mine","data":5}`, "type", "mine"},
		{"overrides", "?metadata.cloudevent.type=other", "text/plain", "hi", "type", "other"},
		{"id", "?metadata.cloudevent.id=77", "text/plain", "hi", "id", "77"},
		{"big number", "", "application/json", `12345678901234567890`, "data", "1.2345678901234567e+19"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args := []string{}
			if test.kind != "" {
				args = append(args, "Content-Type", test.kind)
			}
			api.must("POST", "/v1.0/publish/bus/orders"+test.query, test.body, args...)
			g := receive(t, calls, "the event")
			if v := fmt.Sprint(g.event(t)[test.field]); v != test.want {
				t.Errorf("%s is %q, want %q in %s", test.field, v, test.want, g.body)
			}
			if test.name == "big number" && !strings.Contains(string(g.body), test.body) {
				t.Errorf("the number has lost digits: %s", g.body)
			}
		})
	}
}

func TestFailuresAreTriedAgain(t *testing.T) {
	tests := []struct {
		name     string
		answers  []string // "CODE body", the last one repeats
		attempts int
		dead     bool
		cause    string
	}{
		{"500 then well", []string{"500 no", "200 "}, 2, false, ""},
		{"RETRY then SUCCESS", []string{`200 {"status":"RETRY"}`, `200 {"status":"SUCCESS"}`}, 2, false, ""},
		{"not JSON is success", []string{"200 thanks"}, 1, false, ""},
		{"unknown status is a retry", []string{`200 {"status":"PERHAPS"}`, "200 "}, 2, false, ""},
		{"poison", []string{"503 never"}, 3, true, "answered 503: never"},
		{"DROP", []string{`200 {"status":"DROP"}`}, 1, true, "DROP"},
		{"404", []string{"404 "}, 1, true, "404"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var n atomic.Int32
			p, calls, api := withBus(t, func(g got) (int, string) {
				if g.path == "/dapr/subscribe" {
					return 404, ""
				}
				if strings.Contains(string(g.body), "good") {
					return 200, ""
				}
				var code int
				i := int(n.Add(1)) - 1
				head, body, _ := strings.Cut(test.answers[min(i, len(test.answers)-1)], " ")
				_, _ = fmt.Sscan(head, &code)
				return code, body
			})
			api.must("POST", "/v1.0/publish/bus/orders", "bad", "Content-Type", "text/plain")
			api.must("POST", "/v1.0/publish/bus/orders", "good", "Content-Type", "text/plain")
			if test.dead {
				l := p.letter()
				if l.Attempts != test.attempts || !strings.Contains(l.Cause, test.cause) || l.App != name("fn") || l.Topic != "orders" || l.Component != "bus" || l.Input != "in" || l.ID == "" || !strings.Contains(string(l.Data), "bad") {
					t.Errorf("dead letter %+v", l)
				}
			}
			for range test.attempts + 1 {
				receive(t, calls, "an attempt")
			}
			want := int64(2)
			if test.dead {
				want = 1
			}
			s := p.until(event.KindApp, "fn", func(s event.Status) bool { return s.Handled == want && (s.DeadLetters == 1) == test.dead })
			if int(n.Load()) != test.attempts {
				t.Errorf("%d attempts, want %d; status %+v", n.Load(), test.attempts, s)
			}
		})
	}
}

func TestDeadLetterTopic(t *testing.T) {
	p := newPlatform(t)
	p.component(component("bus", "pubsub.in-memory"))
	p.httpApp("fn-v1", func(got) (int, string) { return 500, "" })
	dead := p.httpApp("grave-v1", nil)
	a := event.App{Name: name("fn"), Subscriptions: []event.Subscription{{Name: "s", Component: "bus", Topic: "orders", Default: "/x", DeadLetterTopic: "dead"}}}
	p.app(a)
	p.app(input("grave", "dead"))
	p.ready(event.KindApp, "fn")
	p.ready(event.KindApp, "grave")
	p.serve(name("publisher")).must("POST", "/v1.0/publish/bus/orders", data(1), "Content-Type", "application/json")
	if g := receive(t, dead, "the dead letter on its topic"); !strings.Contains(string(g.body), `"topic":"orders"`) {
		t.Errorf("it is not the event as it was: %s", g.body)
	}
}

// An input says for itself how often it is tried, and where what cannot be handled goes: to its topic, else to its sink.
func TestDeliveryOfInputs(t *testing.T) {
	p := newPlatform(t)
	p.component(component("bus", "pubsub.in-memory"))
	var tried sync.Map
	p.httpApp("fn-v1", func(g got) (int, string) {
		if g.path == "/dapr/subscribe" {
			return 404, ""
		}
		n, _ := tried.LoadOrStore(g.path, &atomic.Int32{})
		n.(*atomic.Int32).Add(1)
		return 500, ""
	})
	dead := p.httpApp("grave-v1", nil)
	grave := &event.Sink{URI: "http://grave.example/"}
	a := event.App{Name: name("fn"), Inputs: []event.Input{
		{Name: "a", Component: "bus", Type: "pubsub.in-memory", Topic: "a", Retry: &event.Policy{Attempts: 1}, DeadLetterTopic: "dead", DeadLetter: grave},
		{Name: "b", Component: "bus", Type: "pubsub.in-memory", Topic: "b", Retry: &event.Policy{Attempts: 5, Initial: time.Millisecond}, DeadLetter: grave},
		{Name: "c", Component: "bus", Type: "pubsub.in-memory", Topic: "c"},
	}}
	p.app(a)
	p.app(input("grave", "dead"))
	p.ready(event.KindApp, "fn")
	p.ready(event.KindApp, "grave")
	api := p.serve(name("publisher"))
	for _, c := range []struct {
		topic    string
		attempts int32
		sink     *event.Sink
	}{{"a", 1, nil}, {"b", 5, grave}, {"c", 3, nil}} {
		api.must("POST", "/v1.0/publish/bus/"+c.topic, data(1), "Content-Type", "application/json")
		if c.topic == "a" {
			receive(t, dead, "the dead letter on its topic")
		} else if l := p.letter(); l.Input != c.topic || l.Sink != c.sink || l.Attempts != int(c.attempts) {
			t.Errorf("%s: dead letter %+v", c.topic, l)
		}
		if n, _ := tried.Load("/" + c.topic); n == nil || n.(*atomic.Int32).Load() != c.attempts {
			t.Errorf("%s: tried %v times, want %d", c.topic, n, c.attempts)
		}
	}
}

func TestRoutingRules(t *testing.T) {
	p := newPlatform(t)
	p.component(component("bus", "pubsub.in-memory"))
	calls := p.httpApp("fn-v1", nil)
	p.app(event.App{Name: name("fn"), Subscriptions: []event.Subscription{{
		Name: "s", Component: "bus", Topic: "orders", Default: "/rest",
		Routes: []event.Route{{Match: `event.type == "big"`, Path: "/big"}, {Match: `event.data.n > 5`, Path: "/many"}},
	}}})
	p.ready(event.KindApp, "fn")
	api := p.serve(name("publisher"))
	for _, test := range []struct{ query, body, path string }{
		{"?metadata.cloudevent.type=big", data(9), "/big"},
		{"", data(6), "/many"},
		{"", data(5), "/rest"},
		{"", `"no number"`, "/rest"},
	} {
		api.must("POST", "/v1.0/publish/bus/orders"+test.query, test.body, "Content-Type", "application/json")
		if g := receive(t, calls, "the event"); g.path != test.path {
			t.Errorf("%s went to %s, want %s", test.body, g.path, test.path)
		}
	}
}

func TestBrokenRuleIsTold(t *testing.T) {
	p := newPlatform(t)
	p.component(component("bus", "pubsub.in-memory"))
	p.app(event.App{Name: name("fn"), Subscriptions: []event.Subscription{{
		Name: "s", Component: "bus", Topic: "orders", Routes: []event.Route{{Match: `event.type ==`, Path: "/big"}},
	}}})
	s := p.until(event.KindApp, "fn", func(s event.Status) bool { return s.Reason == "InvalidSubscription" })
	if s.Ready || !strings.Contains(s.Message, `match "event.type =="`) || !strings.Contains(s.Message, "subscription s") {
		t.Errorf("%+v", s)
	}
}

func TestProgrammaticSubscriptions(t *testing.T) {
	p := newPlatform(t)
	p.component(component("bus", "pubsub.in-memory"))
	calls := p.httpApp("fn-v1", func(g got) (int, string) {
		if g.path == "/dapr/subscribe" {
			return 200, `[{"pubsubname":"bus","topic":"orders","routes":{"rules":[{"match":"event.type == 'x'","path":"/x"}],"default":"/d"}}]`
		}
		return 200, ""
	})
	p.app(event.App{Name: name("fn")})
	api := p.serve(name("fn"))
	deadline := time.Now().Add(patience)
	for !strings.Contains(api.must("GET", "/v1.0/metadata", ""), `"type":"PROGRAMMATIC"`) {
		if time.Now().After(deadline) {
			t.Fatal("the function's own subscription is not there")
		}
		time.Sleep(5 * time.Millisecond)
	}
	p.until(event.KindApp, "fn", func(s event.Status) bool { return s.Ready && strings.Contains(s.Message, "1 comp") })
	api.must("POST", "/v1.0/publish/bus/orders?metadata.cloudevent.type=x", "a", "Content-Type", "text/plain")
	if g := receive(t, calls, "the event"); g.path != "/x" {
		t.Errorf("path %s", g.path)
	}
}
