package async

import (
	"context"
	"encoding/json"
	"maps"
	"mime"
	"slices"
	"strings"

	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"github.com/dapr/go-sdk/service/common"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/OpenFunction/functions-framework-go/host"
)

// HealthCheck answers as long as the process serves.
func (s *Server) HealthCheck(context.Context, *emptypb.Empty) (*runtimev1.HealthCheckResponse, error) {
	return &runtimev1.HealthCheckResponse{}, nil
}

// ListInputBindings names the bindings whose events the function takes.
func (s *Server) ListInputBindings(context.Context, *emptypb.Empty) (*runtimev1.ListInputBindingsResponse, error) {
	return &runtimev1.ListInputBindingsResponse{Bindings: slices.Sorted(maps.Keys(s.bindings))}, nil
}

// ListTopicSubscriptions names the topics whose events the function takes.
func (s *Server) ListTopicSubscriptions(context.Context, *emptypb.Empty) (*runtimev1.ListTopicSubscriptionsResponse, error) {
	var list runtimev1.ListTopicSubscriptionsResponse
	for _, t := range s.topics {
		list.Subscriptions = append(list.Subscriptions, &runtimev1.TopicSubscription{
			PubsubName: t.pubsub, Topic: t.name, Metadata: t.metadata, DeadLetterTopic: t.dead,
		})
	}
	return &list, nil
}

// OnBindingEvent calls the function. An error makes Dapr tell the binding that the event was not handled.
func (s *Server) OnBindingEvent(ctx context.Context, in *runtimev1.BindingEventRequest) (*runtimev1.BindingEventResponse, error) {
	input, ok := s.bindings[in.GetName()]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "the function has no input binding %q", in.GetName())
	}
	out, err := s.call(traced(ctx, nil), input, &common.BindingEvent{Data: in.GetData(), Metadata: in.GetMetadata()})
	if judge(out, err) != success {
		return nil, status.Error(codes.Internal, errRefused.Error())
	}
	return &runtimev1.BindingEventResponse{Data: data(out)}, nil
}

// OnTopicEvent calls the function and tells Dapr whether the event was handled, is to come again or is given up.
func (s *Server) OnTopicEvent(ctx context.Context, in *runtimev1.TopicEventRequest) (*runtimev1.TopicEventResponse, error) {
	for _, t := range s.topics {
		if t.pubsub != in.GetPubsubName() || t.name != in.GetTopic() {
			continue
		}
		out, err := s.call(traced(ctx, in.GetExtensions().AsMap()), t.input, topicEvent(ctx, in))
		return &runtimev1.TopicEventResponse{Status: topicStatus[judge(out, err)]}, nil
	}
	return nil, status.Errorf(codes.NotFound, "the function does not subscribe to topic %q of %q", in.GetTopic(), in.GetPubsubName())
}

var topicStatus = [...]runtimev1.TopicEventResponse_TopicEventResponseStatus{
	success: runtimev1.TopicEventResponse_SUCCESS,
	retry:   runtimev1.TopicEventResponse_RETRY,
	drop:    runtimev1.TopicEventResponse_DROP,
}

func topicEvent(ctx context.Context, in *runtimev1.TopicEventRequest) *common.TopicEvent {
	return &common.TopicEvent{
		ID:              in.GetId(),
		SpecVersion:     in.GetSpecVersion(),
		Type:            in.GetType(),
		Source:          in.GetSource(),
		DataContentType: in.GetDataContentType(),
		Data:            decoded(in.GetData(), in.GetDataContentType()),
		RawData:         in.GetData(),
		Topic:           in.GetTopic(),
		PubsubName:      in.GetPubsubName(),
		Metadata:        custom(ctx),
	}
}

// decoded is data as its content type says: a JSON value, text, or bytes.
func decoded(data []byte, contentType string) any {
	if isJSON(contentType) {
		var v any
		if json.Unmarshal(data, &v) == nil {
			return v
		}
	}
	if strings.HasPrefix(contentType, "text/") {
		return string(data)
	}
	return data
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}

// custom returns the metadata Dapr hands on from the broker: its keys begin with "metadata.".
func custom(ctx context.Context) map[string]string {
	md, ok := metadata.FromIncomingContext(ctx)
	if !ok {
		return nil
	}
	out := map[string]string{}
	for key, values := range md {
		if name, found := strings.CutPrefix(key, "metadata."); found && len(values) > 0 {
			out[name] = values[0]
		}
	}
	return out
}

// traced gives the call the trace that Dapr tells, otherwise that of the event's extensions.
func traced(ctx context.Context, extensions map[string]any) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)
	find := func(name string) string {
		if values := md.Get(name); len(values) > 0 {
			return values[0]
		}
		text, _ := extensions[name].(string)
		return text
	}
	return host.WithTrace(ctx, host.Trace{Parent: find("traceparent"), State: find("tracestate"), Baggage: find("baggage")})
}
