package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"time"

	"github.com/dapr/components-contrib/pubsub"
	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/openfunction/ofn/internal/event"
)

// grpcChannel is the app channel over gRPC: Dapr's AppCallback.
type grpcChannel struct {
	conn  *grpc.ClientConn
	app   runtimev1.AppCallbackClient
	alpha runtimev1.AppCallbackAlphaClient
	token string
}

// maxMessage bounds messages to and from apps, in bytes.
const maxMessage = 64 << 20

func newGRPCChannel(token string, dial dialer) (*grpcChannel, error) {
	conn, err := grpc.NewClient("passthrough:///app",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, MaxDelay: time.Second}, MinConnectTimeout: 5 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithReadBufferSize(4<<10), grpc.WithWriteBufferSize(4<<10),
		grpc.WithUserAgent("dapr-runtime/ofn"),
	)
	if err != nil {
		return nil, fmt.Errorf("preparing gRPC to the function: %w", err)
	}
	return &grpcChannel{conn: conn, app: runtimev1.NewAppCallbackClient(conn), alpha: runtimev1.NewAppCallbackAlphaClient(conn), token: token}, nil
}

func (g *grpcChannel) close() { _ = g.conn.Close() }

// outgoing adds metadata, the trace and the token to a call.
func (g *grpcChannel) outgoing(ctx context.Context, meta map[string]string, ev map[string]any) context.Context {
	md := metadata.MD{}
	for k, v := range meta {
		if fieldName(k) && !hopByHop[strings.ToLower(k)] && !strings.HasPrefix(strings.ToLower(k), "grpc-") && printable(v) {
			md.Set(k, v)
		}
	}
	for _, k := range []string{pubsub.TraceParentField, pubsub.TraceStateField} {
		if v, ok := ev[k].(string); ok && v != "" && printable(v) {
			md.Set(k, v)
		}
	}
	if g.token != "" {
		md.Set("dapr-api-token", g.token)
	}
	return metadata.NewOutgoingContext(ctx, md)
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

func (g *grpcChannel) topic(ctx context.Context, ev *topicEvent) verdict {
	data, err := ev.data()
	if err != nil {
		return refusal(fmt.Errorf("reading the event's data: %w", err), 0)
	}
	ext, err := structpb.NewStruct(ev.extensions())
	if err != nil {
		return refusal(fmt.Errorf("reading the event's extensions: %w", err), 0)
	}
	answer, err := g.app.OnTopicEvent(g.outgoing(ctx, ev.metadata, ev.event), &runtimev1.TopicEventRequest{
		Id: ev.text(pubsub.IDField), Source: ev.text(pubsub.SourceField), Type: ev.text(pubsub.TypeField),
		SpecVersion: ev.text(pubsub.SpecVersionField), DataContentType: ev.text(pubsub.DataContentTypeField),
		Data: data, Topic: ev.sub.Topic, PubsubName: ev.sub.Component, Path: ev.path, Extensions: ext,
	})
	if err != nil {
		return refused(err)
	}
	return grpcStatus(answer.GetStatus())
}

// refused is the verdict of an error.
func refused(err error) verdict {
	code := grpcstatus.Code(err)
	if code == codes.Unimplemented {
		return refusal(fmt.Errorf("the function does not take such events: %w", err), int(code))
	}
	v := failed(fmt.Errorf("the function failed: %w", err), int(code))
	v.broken = code == codes.Unavailable
	return v
}

func grpcStatus(s runtimev1.TopicEventResponse_TopicEventResponseStatus) verdict {
	if _, ok := runtimev1.TopicEventResponse_TopicEventResponseStatus_name[int32(s)]; !ok {
		return failed(fmt.Errorf("the function answered the unknown status %d", s), 0)
	}
	return status(s.String(), 0)
}

func (g *grpcChannel) topics(ctx context.Context, evs []*topicEvent) []verdict {
	req := &runtimev1.TopicEventBulkRequest{
		Id: uuid.NewString(), Topic: evs[0].sub.Topic, PubsubName: evs[0].sub.Component, Path: evs[0].path,
		Type: pubsub.DefaultBulkEventType, Metadata: map[string]string{},
	}
	for i, ev := range evs {
		req.Entries = append(req.Entries, bulkRequest(i, ev))
	}
	ctx = g.outgoing(ctx, nil, evs[0].event)
	answer, err := g.app.OnBulkTopicEvent(ctx, req)
	if grpcstatus.Code(err) == codes.Unimplemented {
		answer, err = g.alpha.OnBulkTopicEventAlpha1(ctx, req) //nolint:staticcheck // older SDKs have nothing else
	}
	if err != nil {
		return all(len(evs), refused(err))
	}
	of := map[string]verdict{}
	for _, s := range answer.GetStatuses() {
		of[s.GetEntryId()] = grpcStatus(s.GetStatus())
	}
	return each(len(evs), func(i int) verdict {
		if v, ok := of[fmt.Sprint(i)]; ok {
			return v
		}
		return failed(errors.New("the function answered no status for this event of several"), 0)
	})
}

func bulkRequest(i int, ev *topicEvent) *runtimev1.TopicEventBulkRequestEntry {
	data, err := ev.data()
	if err != nil {
		data = nil
	}
	ext, err := structpb.NewStruct(ev.extensions())
	if err != nil {
		ext = &structpb.Struct{}
	}
	return &runtimev1.TopicEventBulkRequestEntry{
		EntryId: fmt.Sprint(i), ContentType: "application/cloudevents+json", Metadata: ev.metadata,
		Event: &runtimev1.TopicEventBulkRequestEntry_CloudEvent{CloudEvent: &runtimev1.TopicEventCERequest{
			Id: ev.text(pubsub.IDField), Source: ev.text(pubsub.SourceField), Type: ev.text(pubsub.TypeField),
			SpecVersion: ev.text(pubsub.SpecVersionField), DataContentType: ev.text(pubsub.DataContentTypeField),
			Data: data, Extensions: ext,
		}},
	}
}

func (g *grpcChannel) binding(ctx context.Context, ev *bindingEvent) (*bindingAnswer, verdict) {
	trace := map[string]any{}
	for _, k := range []string{pubsub.TraceParentField, pubsub.TraceStateField} {
		if v, ok := ev.metadata[k]; ok {
			trace[k] = v
		}
	}
	answer, err := g.app.OnBindingEvent(g.outgoing(ctx, nil, trace), &runtimev1.BindingEventRequest{
		Name: ev.name, Data: ev.data, Metadata: maps.Clone(ev.metadata),
	})
	if err != nil {
		v := refused(err)
		v.outcome = retry
		return nil, v
	}
	a := &bindingAnswer{
		data: answer.GetData(), to: answer.GetTo(), store: answer.GetStoreName(),
		parallel: answer.GetConcurrency() == runtimev1.BindingEventResponse_PARALLEL,
	}
	for _, s := range answer.GetStates() {
		a.states = append(a.states, stateItem{key: s.GetKey(), value: s.GetValue(), etag: s.GetEtag().GetValue()})
	}
	return a, verdict{outcome: success}
}

func (g *grpcChannel) subscriptions(ctx context.Context) ([]subscription, error) {
	listed, err := g.app.ListTopicSubscriptions(g.outgoing(ctx, nil, nil), &emptypb.Empty{})
	if grpcstatus.Code(err) == codes.Unimplemented {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var subs []subscription
	for _, l := range listed.GetSubscriptions() {
		s := subscription{
			Source: "programmatic", Component: l.GetPubsubName(), Topic: l.GetTopic(), Default: l.GetRoutes().GetDefault(),
			DeadTopic: l.GetDeadLetterTopic(), Metadata: l.GetMetadata(), Bulk: l.GetBulkSubscribe().GetEnabled(),
			BulkMax:  int(l.GetBulkSubscribe().GetMaxMessagesCount()),
			BulkWait: time.Duration(l.GetBulkSubscribe().GetMaxAwaitDurationMs()) * time.Millisecond,
		}
		for _, r := range l.GetRoutes().GetRules() {
			s.Rules = append(s.Rules, event.Route{Match: r.GetMatch(), Path: r.GetPath()})
		}
		subs = append(subs, s)
	}
	return subs, nil
}
