package api

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec that proxyCodec stands before
	"google.golang.org/grpc/mem"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// frame is one message of a method that is passed on, unread.
type frame struct{ data []byte }

// proxyCodec is gRPC's codec of protocol buffers, and leaves frames as they are.
type proxyCodec struct{}

// Name is that of the codec within.
func (proxyCodec) Name() string { return "proto" }

// Marshal writes a message.
func (proxyCodec) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		return mem.BufferSlice{mem.SliceBuffer(f.data)}, nil
	}
	return encoding.GetCodecV2("proto").Marshal(v)
}

// Unmarshal reads a message.
func (proxyCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if f, ok := v.(*frame); ok {
		f.data = data.Materialize()
		return nil
	}
	return encoding.GetCodecV2("proto").Unmarshal(data, v)
}

// proxy passes a call of a service that is not Dapr's on to the function that metadata dapr-app-id names. It goes through the
// Invoker as HTTP/2, so that the function is scaled and secured as for every other call.
func (s *Server) proxy(_ any, stream grpc.ServerStream) error {
	ctx := stream.Context()
	c := callerOf(ctx)
	method, _ := grpc.MethodFromServerStream(stream)
	md, _ := grpcmetadata.FromIncomingContext(ctx)
	id := first(md, "dapr-app-id")
	if id == "" {
		return status.Errorf(codes.Unimplemented, "failed to proxy request: required metadata dapr-app-id not found (method %s)", method)
	}
	to, err := c.target(id)
	if err != nil {
		return err
	}
	body, feed := io.Pipe()
	defer body.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, (&url.URL{Scheme: "http", Host: c.host(to), Path: method}).String(), body)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	copyMetadata(ctx, req.Header)
	req.Header.Set("Content-Type", "application/grpc+proto")
	req.Header.Set("TE", "trailers")
	req.Header.Set("dapr-caller-app-id", c.id)
	req.ProtoMajor, req.ProtoMinor, req.Proto = 2, 0, "HTTP/2.0"
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = feed.CloseWithError(pump(stream, feed))
	}()
	err = s.relay(stream, req, id)
	_ = body.CloseWithError(io.ErrClosedPipe)
	// pump ends with the stream, which ends when this method returns, or before.
	select {
	case <-done:
	default:
	}
	return err
}

// pump writes the messages of the client into a request body, in gRPC's framing.
func pump(stream grpc.ServerStream, to io.Writer) error {
	for {
		var f frame
		if err := stream.RecvMsg(&f); err != nil {
			return err
		}
		head := make([]byte, 5, 5+len(f.data))
		binary.BigEndian.PutUint32(head[1:], uint32(len(f.data))) //nolint:gosec // bounded by MaxRecvMsgSize
		if _, err := to.Write(append(head, f.data...)); err != nil {
			return err
		}
	}
}

// relay sends the request and gives the answer's messages, header and status to the client.
func (s *Server) relay(stream grpc.ServerStream, req *http.Request, id string) error {
	resp, err := s.o.Invoker.RoundTrip(req)
	if err != nil {
		return status.Errorf(codes.Unavailable, "failed to invoke %s: %v", id, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return status.Errorf(codeOf(resp.StatusCode), "failed to invoke %s: it answered %d", id, resp.StatusCode)
	}
	header := grpcmetadata.MD{}
	for k, v := range resp.Header {
		if k != "Content-Type" && k != "Grpc-Status" && k != "Grpc-Message" && k != "Content-Length" && k != "Trailer" {
			header.Append(k, v...)
		}
	}
	if err := stream.SetHeader(header); err != nil {
		return err
	}
	for {
		var head [5]byte
		if _, err := io.ReadFull(resp.Body, head[:]); err == io.EOF {
			break
		} else if err != nil {
			return status.Errorf(codes.Unavailable, "reading the answer of %s: %v", id, err)
		}
		n := binary.BigEndian.Uint32(head[1:])
		if head[0] != 0 || int64(n) > int64(s.o.MaxBody) {
			return status.Errorf(codes.ResourceExhausted, "a message of %s is compressed, or larger than %d bytes", id, s.o.MaxBody)
		}
		f := frame{make([]byte, n)}
		if _, err := io.ReadFull(resp.Body, f.data); err != nil {
			return status.Errorf(codes.Unavailable, "reading the answer of %s: %v", id, err)
		}
		if err := stream.SendMsg(&f); err != nil {
			return err
		}
	}
	return s.ending(stream, resp)
}

func (s *Server) ending(stream grpc.ServerStream, resp *http.Response) error {
	trailer := resp.Trailer
	if trailer.Get("Grpc-Status") == "" {
		trailer = resp.Header
	}
	code, err := strconv.Atoi(trailer.Get("Grpc-Status"))
	if err != nil {
		return status.Error(codes.Unknown, errNoTrailer.Error())
	}
	md := grpcmetadata.MD{}
	for k, v := range resp.Trailer {
		if k != "Grpc-Status" && k != "Grpc-Message" {
			md.Append(k, v...)
		}
	}
	stream.SetTrailer(md)
	if code == 0 {
		return nil
	}
	text := trailer.Get("Grpc-Message")
	if t, err := url.PathUnescape(text); err == nil {
		text = t
	}
	return status.Error(codes.Code(code), fmt.Sprint(text)) //nolint:gosec // a small number
}
