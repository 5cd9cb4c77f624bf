package dapr_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"

	"github.com/openfunction/ofn/internal/event"
)

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
