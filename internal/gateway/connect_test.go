package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sort"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/openfunction/ofn/internal/activator"
)

type text = wrapperspb.StringValue

// connectService is a complete server of Connect, gRPC and gRPC-Web.
func connectService() http.Handler {
	mux := http.NewServeMux()
	handle := func(name string, h http.Handler) { mux.Handle("/test.Talk/"+name, h) }
	handle("Unary", connect.NewUnaryHandler("/test.Talk/Unary", answerUnary, connect.WithIdempotency(connect.IdempotencyNoSideEffects)))
	handle("Server", connect.NewServerStreamHandler("/test.Talk/Server", answerServer))
	handle("Client", connect.NewClientStreamHandler("/test.Talk/Client", answerClient))
	handle("Bidi", connect.NewBidiStreamHandler("/test.Talk/Bidi", answerBidi))
	return mux
}

// asked is an error when the message asks for one, with everything an error may have.
func askedError(message string) error {
	if !strings.HasPrefix(message, "fail") {
		return nil
	}
	e := connect.NewError(connect.CodeFailedPrecondition, errors.New("as asked: 50% ü"))
	if d, err := connect.NewErrorDetail(wrapperspb.String("why")); err == nil {
		e.AddDetail(d)
	}
	e.Meta().Set("X-Meta", "of the error")
	return e
}

func answerUnary(ctx context.Context, r *connect.Request[text]) (*connect.Response[text], error) {
	if r.Msg.Value == "hang" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err := askedError(r.Msg.Value); err != nil {
		return nil, err
	}
	resp := connect.NewResponse(wrapperspb.String(fmt.Sprintf("%s %s %d", r.HTTPMethod(), r.Header().Get("X-In"), len(r.Msg.Value))))
	resp.Header().Set("X-Head", "h")
	resp.Trailer().Set("X-End", "t")
	return resp, nil
}

func answerServer(_ context.Context, r *connect.Request[text], s *connect.ServerStream[text]) error {
	s.ResponseHeader().Set("X-Head", "h")
	s.ResponseTrailer().Set("X-End", "t")
	for i := range 5 {
		if err := s.Send(wrapperspb.String(fmt.Sprint(r.Msg.Value, i))); err != nil {
			return err
		}
	}
	return askedError(r.Msg.Value)
}

func answerClient(_ context.Context, s *connect.ClientStream[text]) (*connect.Response[text], error) {
	n := 0
	for s.Receive() {
		if err := askedError(s.Msg().Value); err != nil {
			return nil, err
		}
		n++
	}
	resp := connect.NewResponse(wrapperspb.String(fmt.Sprint(n)))
	resp.Trailer().Set("X-End", "t")
	return resp, s.Err()
}

func answerBidi(_ context.Context, s *connect.BidiStream[text, text]) error {
	s.ResponseTrailer().Set("X-End", "t")
	for {
		m, err := s.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := errors.Join(askedError(m.Value), s.Send(wrapperspb.String("echo "+m.Value))); err != nil {
			return askedError(m.Value)
		}
	}
}

// said is what a client sees: X- fields, and errors with all they carry.
func said(parts ...any) string {
	var out []string
	for _, p := range parts {
		switch p := p.(type) {
		case http.Header:
			var fields []string
			for k, v := range p {
				if strings.HasPrefix(k, "X-") {
					fields = append(fields, fmt.Sprint(k, v))
				}
			}
			sort.Strings(fields)
			out = append(out, fmt.Sprint(fields))
		case error:
			var e *connect.Error
			if !errors.As(p, &e) {
				out = append(out, "other error "+p.Error())
				continue
			}
			out = append(out, fmt.Sprintf("%v %q %d details", e.Code(), e.Message(), len(e.Details())), said(e.Meta()))
		default:
			out = append(out, fmt.Sprint(p))
		}
	}
	return strings.Join(out, " | ")
}

// conversations are what the clients do; each gives all that was seen.
var conversations = map[string]func(ctx context.Context, c *connect.Client[text, text]) string{
	"Unary plain": func(ctx context.Context, c *connect.Client[text, text]) string { return unary(ctx, c, "hello") },
	"Unary large": func(ctx context.Context, c *connect.Client[text, text]) string {
		return unary(ctx, c, strings.Repeat("x", 1<<20))
	},
	"Unary error": func(ctx context.Context, c *connect.Client[text, text]) string { return unary(ctx, c, "fail") },
	"Unary late": func(ctx context.Context, c *connect.Client[text, text]) string {
		ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		_, err := c.CallUnary(ctx, connect.NewRequest(wrapperspb.String("hang")))
		return connect.CodeOf(err).String()
	},
	"Unknown method": func(ctx context.Context, c *connect.Client[text, text]) string { return unary(ctx, c, "hello") },
	"Server stream":  func(ctx context.Context, c *connect.Client[text, text]) string { return serverStream(ctx, c, "m") },
	"Server error":   func(ctx context.Context, c *connect.Client[text, text]) string { return serverStream(ctx, c, "fail") },
	"Client stream": func(ctx context.Context, c *connect.Client[text, text]) string {
		s := c.CallClientStream(ctx)
		for range 100 {
			if err := s.Send(wrapperspb.String(strings.Repeat("y", 1000))); err != nil {
				return said(err)
			}
		}
		resp, err := s.CloseAndReceive()
		if err != nil {
			return said(err)
		}
		return said(resp.Msg.Value, resp.Trailer())
	},
	"Client early error": func(ctx context.Context, c *connect.Client[text, text]) string {
		s := c.CallClientStream(ctx)
		_ = s.Send(wrapperspb.String("fail"))
		for range 100 { // the answer comes before the request has ended
			if s.Send(wrapperspb.String(strings.Repeat("y", 10000))) != nil {
				break
			}
		}
		_, err := s.CloseAndReceive()
		return said(err)
	},
	"Bidi stream":      func(ctx context.Context, c *connect.Client[text, text]) string { return bidi(ctx, c, "") },
	"Bidi early error": func(ctx context.Context, c *connect.Client[text, text]) string { return bidi(ctx, c, "fail") },
}

func unary(ctx context.Context, c *connect.Client[text, text], message string) string {
	r := connect.NewRequest(wrapperspb.String(message))
	r.Header().Set("X-In", "in")
	resp, err := c.CallUnary(ctx, r)
	if err != nil {
		return said(err)
	}
	return said(resp.Msg.Value, resp.Header(), resp.Trailer())
}

func serverStream(ctx context.Context, c *connect.Client[text, text], message string) string {
	s, err := c.CallServerStream(ctx, connect.NewRequest(wrapperspb.String(message)))
	if err != nil {
		return said(err)
	}
	defer s.Close()
	out := []any{}
	for s.Receive() {
		out = append(out, s.Msg().Value)
	}
	if s.Err() != nil {
		out = append(out, s.Err())
	}
	return said(append(out, s.ResponseHeader(), s.ResponseTrailer())...)
}

// bidi waits for each answer before the next message: full duplex.
func bidi(ctx context.Context, c *connect.Client[text, text], last string) string {
	s := c.CallBidiStream(ctx)
	out := []any{}
	for _, m := range []string{"1", "2", "3"} {
		if err := s.Send(wrapperspb.String(m)); err != nil && !errors.Is(err, io.EOF) {
			return said(err)
		}
		got, err := s.Receive()
		if err != nil {
			return said(append(out, err)...)
		}
		out = append(out, got.Value)
	}
	if last == "" {
		s.CloseRequest()
	} else {
		_ = s.Send(wrapperspb.String(last)) // and the request does not end
	}
	_, err := s.Receive()
	if !errors.Is(err, io.EOF) {
		out = append(out, err)
	}
	s.CloseRequest()
	return said(append(out, s.ResponseTrailer(), s.CloseResponse() == nil)...)
}

// TestConnect lets Connect's own client talk to Connect's own server, in all three protocols and both versions of HTTP:
// through the gateway it sees what it sees without.
func TestConnect(t *testing.T) {
	copyA := serveCopy(t, "a", connectService())
	for _, copyH2 := range []bool{false, true} {
		g := start(t, Options{}, everything(t, revisionOf(t, activator.Options{H2C: copyH2}, copyA)))
		for _, clientH2 := range []bool{false, true} {
			for protocol, options := range map[string][]connect.ClientOption{
				"connect":      nil,
				"connect get":  {connect.WithHTTPGet()},
				"connect json": {connect.WithProtoJSON(), connect.WithSendGzip()},
				"grpc":         {connect.WithGRPC(), connect.WithSendGzip()},
				"grpc-web":     {connect.WithGRPCWeb()},
			} {
				for name, talk := range conversations {
					if strings.HasPrefix(name, "Bidi") && clientH2 != copyH2 {
						continue // needs HTTP/2 all the way
					}
					t.Run(fmt.Sprintf("http2 %v to %v/%s/%s", clientH2, copyH2, protocol, name), func(t *testing.T) {
						ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
						defer cancel()
						// Alone, net/http's HTTP/1.1 loses some answers that come before the request has ended.
						direct := clientH2 || name == "Client early error"
						want := talk(ctx, talkTo(t, copyA.Dial, direct, name, options))
						got := talk(ctx, talkTo(t, g.dialer, clientH2, name, options))
						if got != want {
							t.Errorf("through the gateway:\n%s\nwithout:\n%s", got, want)
						}
					})
				}
			}
		}
	}
}

func (r *running) dialer(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", r.addr)
}

// talkTo makes a client of one method whose connections come from dial.
func talkTo(t *testing.T, dial func(context.Context) (net.Conn, error), h2 bool, name string, o []connect.ClientOption) *connect.Client[text, text] {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2)
	protocols.SetUnencryptedHTTP2(h2)
	tr := &http.Transport{Protocols: protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	t.Cleanup(tr.CloseIdleConnections)
	method, _, _ := strings.Cut(name, " ")
	return connect.NewClient[text, text](&http.Client{Transport: tr}, "http://talk.example/test.Talk/"+method, o...)
}
