package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/dapr/components-contrib/pubsub"
	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/openfunction/ofn/internal/dapr/runtime"
)

// topicStream is one stream of SubscribeTopicEventsAlpha1: events go out, their answers come back in any order.
type topicStream struct {
	stream  runtimev1.Dapr_SubscribeTopicEventsAlpha1Server
	request *runtimev1.SubscribeTopicEventsRequestInitialAlpha1
	sending sync.Mutex
	mu      sync.Mutex
	waiting map[string]chan string // by event id
}

// SubscribeTopicEventsAlpha1 reads a topic for as long as its client keeps the stream.
func (s *service) SubscribeTopicEventsAlpha1(stream runtimev1.Dapr_SubscribeTopicEventsAlpha1Server) error {
	c := callerOf(stream.Context())
	in, err := stream.Recv()
	if err != nil {
		return err
	}
	req := in.GetInitialRequest()
	switch {
	case req == nil:
		return status.Error(codes.InvalidArgument, "initial request is required")
	case req.GetPubsubName() == "":
		return status.Error(codes.InvalidArgument, "pubsubName is required")
	case req.GetTopic() == "":
		return status.Error(codes.InvalidArgument, "topic is required")
	}
	if err := c.o.Runtime.Knows(c.app, req.GetPubsubName()); err != nil {
		return status.Error(codes.NotFound, err.Error())
	}
	t := &topicStream{stream: stream, request: req, waiting: map[string]chan string{}}
	if err := t.send(&runtimev1.SubscribeTopicEventsResponseAlpha1{
		SubscribeTopicEventsResponseType: &runtimev1.SubscribeTopicEventsResponseAlpha1_InitialResponse{
			InitialResponse: &runtimev1.SubscribeTopicEventsResponseInitialAlpha1{},
		},
	}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.s.closed, func() { cancel(errors.New("the Dapr runtime is ending")) })()
	received := make(chan struct{})
	go func() {
		defer close(received)
		cancel(t.receive())
	}()
	err = c.o.Runtime.Stream(ctx, runtime.StreamRequest{
		App: c.app, Component: req.GetPubsubName(), Topic: req.GetTopic(), DeadLetterTopic: req.GetDeadLetterTopic(), Metadata: req.GetMetadata(),
	}, t.deliver)
	if err != nil {
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	// receive ends with the stream, which ends when this method has returned: it is not waited for here.
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, io.EOF) && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

func (t *topicStream) send(m *runtimev1.SubscribeTopicEventsResponseAlpha1) error {
	t.sending.Lock()
	defer t.sending.Unlock()
	return t.stream.Send(m)
}

// receive hands answers to who waits for them, until the stream ends.
func (t *topicStream) receive() error {
	for {
		in, err := t.stream.Recv()
		if err != nil {
			return err
		}
		done := in.GetEventProcessed()
		if done == nil {
			return status.Error(codes.InvalidArgument, "duplicate initial request received")
		}
		t.mu.Lock()
		wait, ok := t.waiting[done.GetId()]
		delete(t.waiting, done.GetId())
		t.mu.Unlock()
		if ok {
			wait <- done.GetStatus().GetStatus().String()
		}
	}
}

// deliver sends an event and waits for its answer.
func (t *topicStream) deliver(ctx context.Context, ev runtime.StreamEvent) (string, error) {
	msg, err := t.message(ev)
	if err != nil {
		return "DROP", nil //nolint:nilerr // an event that cannot be put on the stream never will be: it is a dead letter
	}
	wait := make(chan string, 1)
	t.mu.Lock()
	if _, twice := t.waiting[msg.GetId()]; twice {
		t.mu.Unlock()
		return "", fmt.Errorf("an event with the id %q is being handled", msg.GetId())
	}
	t.waiting[msg.GetId()] = wait
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.waiting[msg.GetId()] == wait {
			delete(t.waiting, msg.GetId())
		}
	}()
	if err := t.send(&runtimev1.SubscribeTopicEventsResponseAlpha1{
		SubscribeTopicEventsResponseType: &runtimev1.SubscribeTopicEventsResponseAlpha1_EventMessage{EventMessage: msg},
	}); err != nil {
		return "", err
	}
	select {
	case said := <-wait:
		return said, nil
	case <-ctx.Done():
		return "", fmt.Errorf("the stream ended before the event was answered: %w", ctx.Err())
	}
}

func (t *topicStream) message(ev runtime.StreamEvent) (*runtimev1.TopicEventRequest, error) {
	data, err := ev.Data()
	if err != nil {
		return nil, err
	}
	ext, err := structpb.NewStruct(ev.Extensions())
	if err != nil {
		return nil, err
	}
	return &runtimev1.TopicEventRequest{
		Id: ev.Attribute(pubsub.IDField), Source: ev.Attribute(pubsub.SourceField), Type: ev.Attribute(pubsub.TypeField),
		SpecVersion: ev.Attribute(pubsub.SpecVersionField), DataContentType: ev.Attribute(pubsub.DataContentTypeField),
		Data: data, Topic: t.request.GetTopic(), PubsubName: t.request.GetPubsubName(), Path: "/", Extensions: ext,
	}, nil
}
