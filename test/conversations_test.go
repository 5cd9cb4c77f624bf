package test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"golang.org/x/net/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// line is the one connection of a conversation.
type line struct {
	mu sync.Mutex
	nc net.Conn
}

func (l *line) dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nc = nc
	return nc, err
}

// vanish resets the connection.
func (l *line) vanish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t, ok := l.nc.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
		_ = t.Close()
	}
}

// exchangeHTTP is one request and its answer, both without end, in lines.
type exchangeHTTP struct {
	line
	to   *io.PipeWriter // nil for who only listens
	resp *http.Response
	from *bufio.Reader
}

func (c *call) begin(gateway string, h2, speak bool) (conversation, error) {
	e := &exchangeHTTP{}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2)
	protocols.SetUnencryptedHTTP2(h2)
	client := &http.Client{Transport: &http.Transport{Protocols: protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return e.dial(ctx, gateway)
	}}}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, c.url, nil)
	if err != nil {
		return nil, err
	}
	req.Host = c.host
	if speak {
		req.Method = http.MethodPost
		req.Body, e.to = io.Pipe()
		go fmt.Fprintln(e.to, "message 0") // the answer may begin with what it answers
	}
	if e.resp, err = client.Do(req); err != nil {
		return nil, err
	}
	if e.resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered with %s", e.resp.Status)
	}
	e.from = bufio.NewReader(e.resp.Body)
	if speak {
		_, err = e.from.ReadString('\n')
	}
	return e, err
}

func listen(gateway string, c *call) (conversation, error) { return c.begin(gateway, false, false) }

func echo(gateway string, c *call, h2 bool) (conversation, error) { return c.begin(gateway, h2, true) }

func (e *exchangeHTTP) exchange(message string) (string, error) {
	if e.to != nil {
		if _, err := fmt.Fprintln(e.to, message); err != nil {
			return "", err
		}
		return e.from.ReadString('\n')
	}
	for {
		event, err := e.from.ReadString('\n')
		if err != nil {
			return "", err
		}
		if data, ok := strings.CutPrefix(event, "data: "); ok {
			return data, nil
		}
	}
}

func (e *exchangeHTTP) end() error {
	if e.to == nil {
		return e.resp.Body.Close() // events have no end
	}
	if err := e.to.Close(); err != nil {
		return err
	}
	rest, err := io.ReadAll(e.from)
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("after the end: %q, %w", rest, err)
	}
	if e.resp.Trailer.Get("X-End") == "" {
		return fmt.Errorf("no trailer: %v", e.resp.Trailer)
	}
	return e.resp.Body.Close()
}

// overSocket is a WebSocket.
type overSocket struct {
	line
	ws   *websocket.Conn
	from *bufio.Reader
}

func socket(gateway string, c *call) (conversation, error) {
	s := &overSocket{}
	nc, err := s.dial(context.Background(), gateway)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(c.url)
	if err != nil {
		return nil, err
	}
	u.Scheme, u.Host = "ws", c.host
	config, err := websocket.NewConfig(u.String(), "http://"+c.host)
	if err != nil {
		return nil, err
	}
	if s.ws, err = websocket.NewClient(config, nc); err != nil {
		return nil, err
	}
	s.from = bufio.NewReader(s.ws)
	return s, nil
}

func (s *overSocket) exchange(message string) (string, error) {
	if _, err := fmt.Fprintln(s.ws, message); err != nil {
		return "", err
	}
	return s.from.ReadString('\n')
}

func (s *overSocket) end() error { return s.ws.Close() }

// overGRPC is a stream of gRPC's own client.
type overGRPC struct {
	line
	cc     *grpc.ClientConn
	stream grpc.ClientStream
}

func talkGRPC(gateway string, c *call) (conversation, error) {
	g := &overGRPC{}
	var err error
	g.cc, err = grpc.NewClient("passthrough:///"+gateway, grpc.WithAuthority(c.host),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(g.dial))
	if err != nil {
		return nil, err
	}
	g.stream, err = g.cc.NewStream(context.Background(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/talk.Talk/Bidi")
	return g, err
}

func (g *overGRPC) exchange(message string) (string, error) {
	out := &wrapperspb.StringValue{}
	if err := g.stream.SendMsg(wrapperspb.String(message)); err != nil {
		return "", err
	}
	err := g.stream.RecvMsg(out)
	return out.Value, err
}

func (g *overGRPC) end() error {
	if err := g.stream.CloseSend(); err != nil {
		return err
	}
	if err := g.stream.RecvMsg(&wrapperspb.StringValue{}); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the end: %w", err)
	}
	if len(g.stream.Trailer()["x-end"]) == 0 {
		return fmt.Errorf("no trailer: %v", g.stream.Trailer())
	}
	return g.cc.Close()
}
