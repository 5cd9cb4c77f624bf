package api

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/dapr/components-contrib/bindings"
	"github.com/dapr/components-contrib/contenttype"
	"github.com/dapr/components-contrib/metadata"
	"github.com/dapr/components-contrib/state"
	commonv1 "github.com/dapr/dapr/pkg/proto/common/v1"
	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// service is the gRPC API. What it does not have answers Unimplemented, in the words of notOffered.
type service struct {
	runtimev1.UnimplementedDaprServer
	s *Server
}

// who is the caller of a request that the interceptors let in.
func (s *Server) who(ctx context.Context) (*caller, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "the connection is of no function")
	}
	addr, ok := p.Addr.(appAddr)
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "the connection is of no function")
	}
	return s.caller(addr.app), nil
}

func (s *Server) admit(ctx context.Context) (*caller, error) {
	c, err := s.who(ctx)
	if err != nil {
		return nil, err
	}
	md, _ := grpcmetadata.FromIncomingContext(ctx)
	if !s.admitted(c.app, first(md, "dapr-api-token")) {
		return nil, status.Error(codes.Unauthenticated, "authentication error: api token mismatch")
	}
	return c, nil
}

func first(md grpcmetadata.MD, key string) string {
	if v := md.Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

type callerKey struct{}

func callerOf(ctx context.Context) *caller { return ctx.Value(callerKey{}).(*caller) }

// unary lets requests of apps in, and puts errors into the form of Dapr's.
func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	c, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := handle(context.WithValue(ctx, callerKey{}, c), req)
	return resp, shape(err, info.FullMethod)
}

func shape(err error, method string) error {
	if status.Code(err) == codes.Unimplemented && strings.Contains(err.Error(), " not implemented") {
		return notOffered(blockOf(method)).GRPCStatus().Err()
	}
	return grpcError(err)
}

type callerStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // of the stream, with its caller
}

func (s callerStream) Context() context.Context { return s.ctx }

func (s *Server) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	c, err := s.admit(stream.Context())
	if err != nil {
		return err
	}
	return shape(handle(srv, callerStream{stream, context.WithValue(stream.Context(), callerKey{}, c)}), info.FullMethod)
}

// traceOf is the trace of a gRPC request.
func traceOf(ctx context.Context) trace {
	md, _ := grpcmetadata.FromIncomingContext(ctx)
	return trace{first(md, "traceparent"), first(md, "tracestate")}
}

// PublishEvent publishes one event.
func (*service) PublishEvent(ctx context.Context, in *runtimev1.PublishEventRequest) (*emptypb.Empty, error) {
	err := callerOf(ctx).publish(ctx, in.GetPubsubName(), in.GetTopic(), message{in.GetData(), in.GetDataContentType(), in.GetMetadata(), traceOf(ctx)})
	return &emptypb.Empty{}, err
}

// BulkPublishEvent publishes several events.
func (*service) BulkPublishEvent(ctx context.Context, in *runtimev1.BulkPublishRequest) (*runtimev1.BulkPublishResponse, error) {
	entries := make([]entry, 0, len(in.GetEntries()))
	for _, e := range in.GetEntries() {
		entries = append(entries, entry{e.GetEntryId(), message{e.GetEvent(), e.GetContentType(), e.GetMetadata(), traceOf(ctx)}})
	}
	failed, err := callerOf(ctx).publishAll(ctx, in.GetPubsubName(), in.GetTopic(), entries, in.GetMetadata())
	out := &runtimev1.BulkPublishResponse{}
	for _, f := range failed {
		out.FailedEntries = append(out.FailedEntries, &runtimev1.BulkPublishResponseFailedEntry{EntryId: f.id, Error: f.err})
	}
	if len(failed) > 0 {
		err = nil // told entry by entry
	}
	return out, err
}

// BulkPublishEventAlpha1 is the older name of BulkPublishEvent.
func (s *service) BulkPublishEventAlpha1(ctx context.Context, in *runtimev1.BulkPublishRequest) (*runtimev1.BulkPublishResponse, error) {
	return s.BulkPublishEvent(ctx, in)
}

// InvokeBinding calls an output binding.
func (*service) InvokeBinding(ctx context.Context, in *runtimev1.InvokeBindingRequest) (*runtimev1.InvokeBindingResponse, error) {
	meta := map[string]string{}
	for k, v := range in.GetMetadata() {
		meta[k] = v
	}
	t := traceOf(ctx)
	if _, ok := meta["traceparent"]; !ok && t.parent != "" {
		meta["traceparent"], meta["tracestate"] = t.parent, t.state
	}
	resp, err := callerOf(ctx).invokeBinding(ctx, in.GetName(), &bindings.InvokeRequest{
		Data: in.GetData(), Metadata: meta, Operation: bindings.OperationKind(in.GetOperation()),
	})
	out := &runtimev1.InvokeBindingResponse{}
	if resp != nil {
		for k, v := range resp.Metadata {
			_ = grpc.SetHeader(ctx, grpcmetadata.Pairs("metadata."+strings.ToLower(k), v))
		}
		out.Data, out.Metadata = resp.Data, resp.Metadata
	}
	return out, err
}

func consistency(c commonv1.StateOptions_StateConsistency) string {
	switch c {
	case commonv1.StateOptions_CONSISTENCY_EVENTUAL:
		return state.Eventual
	case commonv1.StateOptions_CONSISTENCY_STRONG:
		return state.Strong
	}
	return ""
}

func concurrency(c commonv1.StateOptions_StateConcurrency) string {
	switch c {
	case commonv1.StateOptions_CONCURRENCY_FIRST_WRITE:
		return state.FirstWrite
	case commonv1.StateOptions_CONCURRENCY_LAST_WRITE:
		return state.LastWrite
	}
	return ""
}

func etagOf(e *commonv1.Etag) *string {
	if e == nil {
		return nil
	}
	v := e.GetValue()
	return &v
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// GetState reads one key.
func (*service) GetState(ctx context.Context, in *runtimev1.GetStateRequest) (*runtimev1.GetStateResponse, error) {
	got, err := callerOf(ctx).getState(ctx, in.GetStoreName(), in.GetKey(), consistency(in.GetConsistency()), in.GetMetadata())
	if err != nil {
		return nil, err
	}
	return &runtimev1.GetStateResponse{Data: got.Data, Etag: text(got.ETag), Metadata: got.Metadata}, nil
}

// GetBulkState reads several keys.
func (*service) GetBulkState(ctx context.Context, in *runtimev1.GetBulkStateRequest) (*runtimev1.GetBulkStateResponse, error) {
	got, err := callerOf(ctx).getStates(ctx, in.GetStoreName(), in.GetKeys(), int(in.GetParallelism()), in.GetMetadata())
	if err != nil {
		return nil, err
	}
	out := &runtimev1.GetBulkStateResponse{}
	for _, g := range got {
		out.Items = append(out.Items, &runtimev1.BulkStateItem{Key: g.Key, Data: g.Data, Etag: text(g.ETag), Error: g.Error, Metadata: g.Metadata})
	}
	return out, nil
}

// setRequest is what a store gets for an item: JSON that says so is given as a value, everything else as bytes.
func setRequest(item *commonv1.StateItem) (state.SetRequest, error) {
	req := state.SetRequest{Key: item.GetKey(), Metadata: item.GetMetadata(), Value: item.GetValue(), ETag: etagOf(item.GetEtag())}
	if req.Metadata[metadata.ContentType] == contenttype.JSONContentType {
		var v any
		if err := json.Unmarshal(item.GetValue(), &v); err != nil {
			return req, status.Error(codes.InvalidArgument, fmt.Sprintf("the value of key %q is not JSON: %v", item.GetKey(), err))
		}
		req.Value = v
	}
	if o := item.GetOptions(); o != nil {
		req.Options = state.SetStateOption{Concurrency: concurrency(o.GetConcurrency()), Consistency: consistency(o.GetConsistency())}
	}
	return req, nil
}

func deleteRequest(key string, etag *commonv1.Etag, o *commonv1.StateOptions, meta map[string]string) state.DeleteRequest {
	return state.DeleteRequest{Key: key, ETag: etagOf(etag), Metadata: meta, Options: state.DeleteStateOption{
		Concurrency: concurrency(o.GetConcurrency()), Consistency: consistency(o.GetConsistency()),
	}}
}

// SaveState writes keys.
func (*service) SaveState(ctx context.Context, in *runtimev1.SaveStateRequest) (*emptypb.Empty, error) {
	reqs := make([]state.SetRequest, 0, len(in.GetStates()))
	for _, item := range in.GetStates() {
		req, err := setRequest(item)
		if err != nil {
			return nil, err
		}
		reqs = append(reqs, req)
	}
	return &emptypb.Empty{}, callerOf(ctx).saveStates(ctx, in.GetStoreName(), reqs)
}

// DeleteState deletes one key.
func (*service) DeleteState(ctx context.Context, in *runtimev1.DeleteStateRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, callerOf(ctx).deleteState(ctx, in.GetStoreName(), deleteRequest(in.GetKey(), in.GetEtag(), in.GetOptions(), in.GetMetadata()))
}

// DeleteBulkState deletes several keys.
func (*service) DeleteBulkState(ctx context.Context, in *runtimev1.DeleteBulkStateRequest) (*emptypb.Empty, error) {
	reqs := make([]state.DeleteRequest, 0, len(in.GetStates()))
	for _, item := range in.GetStates() {
		reqs = append(reqs, deleteRequest(item.GetKey(), item.GetEtag(), item.GetOptions(), item.GetMetadata()))
	}
	return &emptypb.Empty{}, callerOf(ctx).deleteStates(ctx, in.GetStoreName(), reqs)
}

// ExecuteStateTransaction does several writes, all or none.
func (*service) ExecuteStateTransaction(ctx context.Context, in *runtimev1.ExecuteStateTransactionRequest) (*emptypb.Empty, error) {
	var ops []state.TransactionalStateOperation
	for _, op := range in.GetOperations() {
		item := op.GetRequest()
		switch state.OperationType(op.GetOperationType()) {
		case state.OperationUpsert:
			req, err := setRequest(item)
			if err != nil {
				return nil, err
			}
			ops = append(ops, req)
		case state.OperationDelete:
			ops = append(ops, deleteRequest(item.GetKey(), item.GetEtag(), item.GetOptions(), item.GetMetadata()))
		default:
			return nil, status.Errorf(codes.Unimplemented, "operation type %s not supported", op.GetOperationType())
		}
	}
	return &emptypb.Empty{}, callerOf(ctx).transact(ctx, in.GetStoreName(), ops, in.GetMetadata())
}

// QueryStateAlpha1 queries a store.
func (*service) QueryStateAlpha1(ctx context.Context, in *runtimev1.QueryStateRequest) (*runtimev1.QueryStateResponse, error) {
	got, err := callerOf(ctx).queryState(ctx, in.GetStoreName(), in.GetQuery(), in.GetMetadata())
	if err != nil {
		return nil, err
	}
	out := &runtimev1.QueryStateResponse{Token: got.Token, Metadata: got.Metadata}
	for _, row := range got.Results {
		out.Results = append(out.Results, &runtimev1.QueryStateItem{Key: row.Key, Data: row.Data, Etag: text(row.ETag), Error: row.Error})
	}
	return out, nil
}

// GetSecret reads a secret.
func (*service) GetSecret(ctx context.Context, in *runtimev1.GetSecretRequest) (*runtimev1.GetSecretResponse, error) {
	data, err := callerOf(ctx).getSecret(ctx, in.GetStoreName(), in.GetKey(), in.GetMetadata())
	return &runtimev1.GetSecretResponse{Data: data}, err
}

// GetBulkSecret reads all secrets.
func (*service) GetBulkSecret(ctx context.Context, in *runtimev1.GetBulkSecretRequest) (*runtimev1.GetBulkSecretResponse, error) {
	all, err := callerOf(ctx).getSecrets(ctx, in.GetStoreName(), in.GetMetadata())
	out := &runtimev1.GetBulkSecretResponse{Data: map[string]*runtimev1.SecretResponse{}}
	for name, data := range all {
		out.Data[name] = &runtimev1.SecretResponse{Secrets: data}
	}
	return out, err
}

// Shutdown is refused: the runtime is not the function's alone.
func (*service) Shutdown(context.Context, *runtimev1.ShutdownRequest) (*emptypb.Empty, error) {
	return nil, status.Error(codes.PermissionDenied, refusedShutdown)
}

const refusedShutdown = "the Dapr runtime is shared by all functions of this platform: a function cannot end it"
