package dapr_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/openfunction/ofn/internal/event"
)

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
