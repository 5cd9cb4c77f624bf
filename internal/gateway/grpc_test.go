package gateway

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/openfunction/ofn/internal/activator"
)

// grpcService answers without generated code: every message is a StringValue.
var grpcService = grpc.ServiceDesc{
	ServiceName: "test.Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := &wrapperspb.StringValue{}
		if err := dec(in); err != nil {
			return nil, err
		}
		if in.Value == "fail" {
			return nil, status.Error(codes.FailedPrecondition, "as asked")
		}
		grpc.SetTrailer(ctx, metadata.Pairs("x-end", "unary"))
		return wrapperspb.String("echo " + in.Value), nil
	}}},
	Streams: []grpc.StreamDesc{
		{StreamName: "Bidi", ClientStreams: true, ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			for {
				in := &wrapperspb.StringValue{}
				if err := s.RecvMsg(in); errors.Is(err, io.EOF) {
					s.SetTrailer(metadata.Pairs("x-end", "bidi"))
					return nil
				} else if err != nil {
					return err
				}
				if in.Value == "fail" {
					return status.Error(codes.ResourceExhausted, "enough")
				}
				if err := s.SendMsg(wrapperspb.String("echo " + in.Value)); err != nil {
					return err
				}
			}
		}},
	},
}

// grpcThroughGateway gives a client whose calls go through a gateway to a real gRPC server.
func grpcThroughGateway(t *testing.T) *grpc.ClientConn {
	t.Helper()
	l, path := listenUnix(t)
	s := grpc.NewServer()
	s.RegisterService(&grpcService, struct{}{})
	var wg sync.WaitGroup
	wg.Go(func() { s.Serve(l) })
	t.Cleanup(func() { s.Stop(); wg.Wait() })
	g := start(t, Options{}, everything(t, revisionOf(t, activator.Options{H2C: true}, copyOf{"a", path})))
	c, err := grpc.NewClient("passthrough:///"+g.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestGRPCUnary(t *testing.T) {
	c := grpcThroughGateway(t)
	out, trailer := &wrapperspb.StringValue{}, metadata.MD{}
	if err := c.Invoke(t.Context(), "/test.Echo/Unary", wrapperspb.String("hi"), out, grpc.Trailer(&trailer)); err != nil {
		t.Fatal(err)
	}
	if out.Value != "echo hi" || strings.Join(trailer["x-end"], "") != "unary" {
		t.Errorf("got %q, %v", out.Value, trailer)
	}
	for range 50 { // the status comes with the first frame, and must stay there
		err := c.Invoke(t.Context(), "/test.Echo/Unary", wrapperspb.String("fail"), out)
		if s := status.Convert(err); s.Code() != codes.FailedPrecondition || s.Message() != "as asked" {
			t.Fatalf("got %v", err)
		}
	}
	if err := c.Invoke(t.Context(), "/test.Echo/Nothing", wrapperspb.String(""), out); status.Code(err) != codes.Unimplemented {
		t.Errorf("got %v", err)
	}
	big := strings.Repeat("x", 1<<20)
	if err := c.Invoke(t.Context(), "/test.Echo/Unary", wrapperspb.String(big), out); err != nil || len(out.Value) != len(big)+5 {
		t.Errorf("1 MB: %d, %v", len(out.Value), err)
	}
}

func TestGRPCBidi(t *testing.T) {
	c := grpcThroughGateway(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, end := range []string{"close", "fail"} {
		s, err := c.NewStream(ctx, &grpcService.Streams[0], "/test.Echo/Bidi")
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []string{"1", "2", "3"} { // each answer before the next message: full duplex
			out := &wrapperspb.StringValue{}
			if err := errors.Join(s.SendMsg(wrapperspb.String(v)), s.RecvMsg(out)); err != nil || out.Value != "echo "+v {
				t.Fatalf("got %q, %v", out.Value, err)
			}
		}
		if end == "close" {
			s.CloseSend()
			if err := s.RecvMsg(&wrapperspb.StringValue{}); err != io.EOF || strings.Join(s.Trailer()["x-end"], "") != "bidi" {
				t.Errorf("at the end: %v, %v", err, s.Trailer())
			}
			continue
		}
		// The error comes while the client has not ended its stream.
		s.SendMsg(wrapperspb.String("fail"))
		if err := s.RecvMsg(&wrapperspb.StringValue{}); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("early error: %v", err)
		}
	}
}

func TestGRPCClientCancels(t *testing.T) {
	c := grpcThroughGateway(t)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := c.NewStream(ctx, &grpcService.Streams[0], "/test.Echo/Bidi")
	if err != nil {
		t.Fatal(err)
	}
	s.SendMsg(wrapperspb.String("1"))
	s.RecvMsg(&wrapperspb.StringValue{})
	cancel() // the cleanup of the test would hang if the server were not told
	if err := s.RecvMsg(&wrapperspb.StringValue{}); status.Code(err) != codes.Canceled {
		t.Errorf("got %v", err)
	}
}

// TestGRPCWeb sends what a browser sends: HTTP/1.1, binary frames, the trailer inside the body.
func TestGRPCWeb(t *testing.T) {
	frame := func(kind byte, data string) []byte {
		b := append([]byte{kind}, binary.BigEndian.AppendUint32(nil, uint32(len(data)))...)
		return append(b, data...)
	}
	g := single(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		w.Write(in)
		http.NewResponseController(w).Flush()
		w.Write(frame(0x80, "grpc-status: 0\r\n"))
	}))
	want := append(frame(0, "message"), frame(0x80, "grpc-status: 0\r\n")...)
	resp, err := http.Post(g.url("/test.Echo/Unary"), "application/grpc-web+proto", bytes.NewReader(frame(0, "message")))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(body, want) || resp.Header.Get("Content-Type") != "application/grpc-web+proto" {
		t.Errorf("got %q, %v", body, err)
	}
}
