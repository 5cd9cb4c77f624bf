package dapr_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/openfunction/ofn/internal/dapr"
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
			s := p.until(event.KindApp, "fn", func(s event.Status) bool { return s.Handled == want })
			if int(n.Load()) != test.attempts || (s.DeadLetters == 1) != test.dead {
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

// callback is a function that speaks gRPC.
type callback struct {
	runtimev1.UnimplementedAppCallbackServer
	listed   []*runtimev1.TopicSubscription
	topics   chan *runtimev1.TopicEventRequest
	bulks    chan *runtimev1.TopicEventBulkRequest
	bindings chan *runtimev1.BindingEventRequest
	answer   func() (runtimev1.TopicEventResponse_TopicEventResponseStatus, error)
}

func (c *callback) ListTopicSubscriptions(context.Context, *emptypb.Empty) (*runtimev1.ListTopicSubscriptionsResponse, error) {
	return &runtimev1.ListTopicSubscriptionsResponse{Subscriptions: c.listed}, nil
}

func (c *callback) OnTopicEvent(_ context.Context, in *runtimev1.TopicEventRequest) (*runtimev1.TopicEventResponse, error) {
	c.topics <- in
	if c.answer != nil {
		s, err := c.answer()
		return &runtimev1.TopicEventResponse{Status: s}, err
	}
	return &runtimev1.TopicEventResponse{}, nil
}

func (c *callback) OnBulkTopicEvent(_ context.Context, in *runtimev1.TopicEventBulkRequest) (*runtimev1.TopicEventBulkResponse, error) {
	c.bulks <- in
	out := &runtimev1.TopicEventBulkResponse{}
	for _, e := range in.GetEntries() {
		out.Statuses = append(out.Statuses, &runtimev1.TopicEventBulkResponseEntry{EntryId: e.GetEntryId()})
	}
	return out, nil
}

func (c *callback) OnBindingEvent(_ context.Context, in *runtimev1.BindingEventRequest) (*runtimev1.BindingEventResponse, error) {
	c.bindings <- in
	return &runtimev1.BindingEventResponse{}, nil
}

func (p *platform) grpcApp(revision string, c *callback) *callback {
	c.topics, c.bulks, c.bindings = make(chan *runtimev1.TopicEventRequest, 1000), make(chan *runtimev1.TopicEventBulkRequest, 1000), make(chan *runtimev1.BindingEventRequest, 1000)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	s := grpc.NewServer()
	runtimev1.RegisterAppCallbackServer(s, c)
	go func() { _ = s.Serve(l) }()
	p.t.Cleanup(s.Stop)
	p.start(revision, l.Addr().String())
	return c
}

func TestTopicReachesFunctionOverGRPC(t *testing.T) {
	for _, protocol := range []string{"", "grpc"} {
		t.Run("protocol "+protocol, func(t *testing.T) {
			p := newPlatform(t)
			p.component(component("bus", "pubsub.in-memory"))
			var n atomic.Int32
			c := p.grpcApp("fn-v1", &callback{
				listed: []*runtimev1.TopicSubscription{{PubsubName: "bus", Topic: "orders", Routes: &runtimev1.TopicRoutes{Default: "/route"}}},
				answer: func() (runtimev1.TopicEventResponse_TopicEventResponseStatus, error) {
					switch n.Add(1) {
					case 1:
						return 0, errFixture
					case 2:
						return runtimev1.TopicEventResponse_RETRY, nil
					}
					return runtimev1.TopicEventResponse_SUCCESS, nil
				},
			})
			a := input("fn", "orders")
			a.Protocol = protocol
			p.app(a)
			p.ready(event.KindApp, "fn")
			p.serve(name("publisher")).must("POST", "/v1.0/publish/bus/orders?metadata.cloudevent.type=t", `{"n":12345678901234567890}`, "Content-Type", "application/json")
			for range 3 {
				in := receive(t, c.topics, "the event")
				if in.GetPath() != "/route" || string(in.GetData()) != `{"n":12345678901234567890}` || in.GetType() != "t" || in.GetTopic() != "orders" ||
					in.GetPubsubName() != "bus" || in.GetDataContentType() != "application/json" || in.GetSource() != "publisher-ns" || in.GetSpecVersion() != "1.0" || in.GetId() == "" {
					t.Errorf("%v", in)
				}
			}
			p.until(event.KindApp, "fn", func(s event.Status) bool { return s.Handled == 1 && s.Failed == 2 })
		})
	}
}

func TestBulk(t *testing.T) {
	p := newPlatform(t)
	p.component(component("bus", "pubsub.in-memory"))
	c := p.grpcApp("fn-v1", &callback{})
	p.app(event.App{Name: name("fn"), Subscriptions: []event.Subscription{{
		Name: "s", Component: "bus", Topic: "orders", Default: "/bulk", Bulk: true, BulkMessages: 4, BulkAwait: time.Hour,
	}}})
	p.ready(event.KindApp, "fn")
	entries := make([]string, 8)
	for i := range entries {
		entries[i] = fmt.Sprintf(`{"entryId":"%d","event":%s,"contentType":"application/json"}`, i, data(i))
	}
	p.serve(name("publisher")).must("POST", "/v1.0/publish/bulk/bus/orders", "["+strings.Join(entries, ",")+"]", "Content-Type", "application/json")
	for range 2 {
		in := receive(t, c.bulks, "a bulk")
		if len(in.GetEntries()) != 4 || in.GetPath() != "/bulk" || len(in.GetEntries()[0].GetCloudEvent().GetData()) != len(data(1)) {
			t.Errorf("%v", in)
		}
	}
	p.until(event.KindApp, "fn", func(s event.Status) bool { return s.Handled == 8 })
}

func TestEventsWaitForScaledToZero(t *testing.T) {
	p := newPlatform(t)
	p.component(component("bus", "pubsub.in-memory"))
	p.app(input("fn", "orders"))
	p.ready(event.KindApp, "fn")
	p.serve(name("publisher")).must("POST", "/v1.0/publish/bus/orders", "hi", "Content-Type", "text/plain")
	calls := p.httpApp("fn-v1", nil)
	receive(t, calls, "the event, once there is a copy")
}

func TestUnreachableIsNoAttempt(t *testing.T) {
	var failing atomic.Bool
	failing.Store(true)
	var p *platform
	refuse := make(chan struct{}, 1000)
	p = newPlatform(t, func(o *dapr.Options) {
		inner := o.Caller
		o.Caller = callerFunc(func(ctx context.Context, ns, revision string, use func(context.Context, string, func(context.Context) (net.Conn, error)) error) error {
			if failing.Load() {
				refuse <- struct{}{}
				return errFixture
			}
			return inner.Call(ctx, ns, revision, use)
		})
	})
	p.component(component("bus", "pubsub.in-memory"))
	calls := p.httpApp("fn-v1", nil)
	p.app(input("fn", "orders"))
	p.ready(event.KindApp, "fn")
	p.serve(name("publisher")).must("POST", "/v1.0/publish/bus/orders", "hi", "Content-Type", "text/plain")
	for range 6 { // twice as often as the policy has attempts
		receive(t, refuse, "a call that reaches no copy")
	}
	failing.Store(false)
	receive(t, calls, "the event")
	if len(p.letters) > 0 {
		t.Errorf("it was given up: %+v", p.letter())
	}
}

type callerFunc func(ctx context.Context, ns, revision string, use func(context.Context, string, func(context.Context) (net.Conn, error)) error) error

func (f callerFunc) Call(ctx context.Context, ns, revision string, use func(context.Context, string, func(context.Context) (net.Conn, error)) error) error {
	return f(ctx, ns, revision, use)
}

func TestAnswerAfterDeadline(t *testing.T) {
	var n atomic.Int32
	hang := make(chan struct{})
	defer close(hang)
	p := newPlatform(t)
	p.component(component("bus", "pubsub.in-memory"))
	calls := p.httpApp("fn-v1", func(g got) (int, string) {
		if g.path == "/dapr/subscribe" {
			return 404, ""
		}
		if n.Add(1) == 1 {
			<-hang
		}
		return 200, ""
	})
	a := input("fn", "orders")
	a.Timeout = 200 * time.Millisecond
	p.app(a)
	p.ready(event.KindApp, "fn")
	p.serve(name("publisher")).must("POST", "/v1.0/publish/bus/orders", "hi", "Content-Type", "text/plain")
	receive(t, calls, "the first attempt")
	receive(t, calls, "the second attempt")
	s := p.until(event.KindApp, "fn", func(s event.Status) bool { return s.Handled == 1 })
	if s.Failed != 1 || !strings.Contains(s.LastError, "did not answer within 200ms") {
		t.Errorf("%+v", s)
	}
}

func TestInvalidEvents(t *testing.T) {
	p, calls, _ := withBus(t, nil)
	bus, err := p.Acquire(t.Context(), name("fn"), "bus")
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Release()
	publish(t, bus.PubSub, "orders", "not json")
	if l := p.letter(); !strings.Contains(l.Cause, "rawPayload") || string(l.Data) != "not json" || l.Attempts != 0 {
		t.Errorf("%+v", l)
	}
	publish(t, bus.PubSub, "orders", `{"specversion":"1.0","id":"1","source":"s","type":"t","expiration":"2001-01-01T00:00:00Z"}`)
	publish(t, bus.PubSub, "orders", `{"specversion":"1.0","id":"2","source":"s","type":"t"}`)
	if g := receive(t, calls, "the event that has not expired"); !strings.Contains(string(g.body), `"id":"2"`) {
		t.Errorf("%s", g.body)
	}
}

func TestRawPayload(t *testing.T) {
	p := newPlatform(t)
	p.component(component("bus", "pubsub.in-memory"))
	calls := p.httpApp("fn-v1", nil)
	a := input("fn", "orders")
	a.Inputs[0].Metadata = map[string]string{"rawPayload": "true"}
	p.app(a)
	p.ready(event.KindApp, "fn")
	p.serve(name("publisher")).must("POST", "/v1.0/publish/bus/orders?metadata.rawPayload=true", "\xff\x00", "Content-Type", "application/octet-stream")
	if ev := receive(t, calls, "the event").event(t); ev["data_base64"] != "/wA=" || ev["datacontenttype"] != "application/octet-stream" {
		t.Errorf("%v", ev)
	}
}

func TestBindings(t *testing.T) {
	p := newPlatform(t)
	calls := p.httpApp("fn-v1", nil)
	c := p.grpcApp("grpcfn-v1", &callback{})
	tick := component("tick", "bindings.cron", "schedule", "@every 1s")
	for _, n := range []string{"fn", "grpcfn"} {
		p.app(event.App{Name: name(n), Components: []event.Component{tick}, Inputs: []event.Input{{Name: "in", Component: "tick", Type: "bindings.cron"}}})
	}
	g := receive(t, calls, "a tick over HTTP")
	if g.path != "/tick" || g.header.Get("readTimeUTC") == "" {
		t.Errorf("%+v", g)
	}
	if in := receive(t, c.bindings, "a tick over gRPC"); in.GetName() != "tick" || in.GetMetadata()["readTimeUTC"] == "" {
		t.Errorf("%v", in)
	}
}

func TestComponentsComeAndChange(t *testing.T) {
	p := newPlatform(t)
	calls := p.httpApp("fn-v1", nil)
	p.app(input("fn", "orders"))
	p.until(event.KindApp, "fn", func(s event.Status) bool { return s.Reason == "ComponentMissing" })
	api := p.serve(name("publisher"))
	api.fails("POST", "/v1.0/publish/bus/orders", "x", http.StatusBadRequest, "ERR_PUBSUB_NOT_CONFIGURED")
	for i := range 3 {
		p.component(component("bus", "pubsub.in-memory", "generation", fmt.Sprint(i)))
		p.ready(event.KindApp, "fn")
		// The change is under way while this is published: it reaches the old or the new one, and is published again if it fell between.
		deadline := time.Now().Add(patience)
		for reached := false; !reached; {
			api.must("POST", "/v1.0/publish/bus/orders", data(i), "Content-Type", "application/json")
			select {
			case g := <-calls:
				reached = strings.Contains(string(g.body), data(i))
			case <-time.After(100 * time.Millisecond):
			}
			if time.Now().After(deadline) {
				t.Fatalf("after change %d nothing arrives", i)
			}
		}
	}
	if err := p.DeleteComponent(t.Context(), name("bus")); err != nil {
		t.Fatal(err)
	}
	p.until(event.KindApp, "fn", func(s event.Status) bool { return s.Reason == "ComponentMissing" })
}

func TestBrokenComponents(t *testing.T) {
	p := newPlatform(t)
	for _, test := range []struct {
		c       event.Component
		reason  string
		message string
	}{
		{component("a", "pubsub.kafak"), "UnknownType", `did you mean "pubsub.kafka"?`},
		{component("b", "pubsub.natsstreaming"), "UnknownType", "use pubsub.jetstream"},
		{component("c", "pubsub.redis", "redisHots", "x:1"), "UnknownMetadata", `did you mean "redisHost"?`},
		{component("d", "bindings.cron", "schedule", "never"), "Connecting", "never"},
		{component("e", "pubsub.redis", "redisHost", "127.0.0.1:1"), "Connecting", "127.0.0.1:1"},
		{event.Component{Name: name("f"), Type: "state.redis", Version: "v9"}, "UnknownVersion", "set spec.version to v1"},
	} {
		p.component(test.c)
		s := p.until(event.KindComponent, test.c.Name.Name, func(s event.Status) bool { return s.Message != "connecting" })
		if s.Ready || s.Reason != test.reason || !strings.Contains(s.Message, test.message) {
			t.Errorf("%s: %+v", test.c.Type, s)
		}
	}
}

func TestStreaming(t *testing.T) {
	p := newPlatform(t)
	p.component(component("bus", "pubsub.in-memory"))
	p.app(event.App{Name: name("fn"), Port: 8080, Inputs: []event.Input{{Name: "x", Component: "nothing", Type: "bindings.cron"}}})
	api := p.serve(name("fn"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := api.grpc.SubscribeTopicEventsAlpha1(ctx)
	if err != nil {
		t.Fatal(err)
	}
	send := func(m *runtimev1.SubscribeTopicEventsRequestAlpha1) {
		t.Helper()
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	send(&runtimev1.SubscribeTopicEventsRequestAlpha1{SubscribeTopicEventsRequestType: &runtimev1.SubscribeTopicEventsRequestAlpha1_InitialRequest{
		InitialRequest: &runtimev1.SubscribeTopicEventsRequestInitialAlpha1{PubsubName: "bus", Topic: "orders"},
	}})
	if m, err := stream.Recv(); err != nil || m.GetInitialResponse() == nil {
		t.Fatalf("%v %v", m, err)
	}
	for !strings.Contains(api.must("GET", "/v1.0/metadata", ""), "STREAMING") {
		time.Sleep(time.Millisecond)
	}
	events := make(chan *runtimev1.TopicEventRequest, 10)
	go func() {
		defer close(events)
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			events <- m.GetEventMessage()
		}
	}()
	var first *runtimev1.TopicEventRequest
	for first == nil { // until the subscription is there
		api.must("POST", "/v1.0/publish/bus/orders", "hi", "Content-Type", "text/plain")
		select {
		case first = <-events:
		case <-time.After(50 * time.Millisecond):
		}
	}
	said := func(id string, s runtimev1.TopicEventResponse_TopicEventResponseStatus) {
		send(&runtimev1.SubscribeTopicEventsRequestAlpha1{SubscribeTopicEventsRequestType: &runtimev1.SubscribeTopicEventsRequestAlpha1_EventProcessed{
			EventProcessed: &runtimev1.SubscribeTopicEventsRequestProcessedAlpha1{Id: id, Status: &runtimev1.TopicEventResponse{Status: s}},
		}})
	}
	if string(first.GetData()) != "hi" || first.GetTopic() != "orders" {
		t.Errorf("%v", first)
	}
	said(first.GetId(), runtimev1.TopicEventResponse_RETRY)
	again := receive(t, events, "the event once more")
	for again.GetId() != first.GetId() {
		said(again.GetId(), runtimev1.TopicEventResponse_SUCCESS)
		again = receive(t, events, "the event once more")
	}
	said(again.GetId(), runtimev1.TopicEventResponse_SUCCESS)
	p.until(event.KindApp, "fn", func(s event.Status) bool { return s.Handled >= 1 })
}
