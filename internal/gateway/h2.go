package gateway

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// httpSide is the part of a listener that net/http serves: HTTP/2 without TLS, HTTP/1.1 for copies that want HTTP/2, and
// what Unmatched answers.
type httpSide struct {
	s      *server
	queue  *handoff
	srv    *http.Server
	calls  sync.WaitGroup
	cancel context.CancelFunc
	// leaving has a value when a connection has ended since somebody looked.
	leaving chan struct{}
	broken  atomic.Bool // nothing waits for anybody any more
}

// maxStreams is how many requests one HTTP/2 connection may have under way.
const maxStreams = 1000

// client is what the requests of a connection find in their context.
type client struct {
	peer
	conn *handedConn
}

type clientKey struct{}

func newHTTPSide(s *server, addr net.Addr) *httpSide {
	h := &httpSide{s: s, queue: newHandoff(addr), leaving: make(chan struct{}, 1)}
	o := &s.g.opt
	base, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	h.srv = &http.Server{
		Handler:           h,
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ReadHeaderTimeout: o.HeaderTimeout,
		IdleTimeout:       o.IdleTimeout,
		MaxHeaderBytes:    o.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, clientKey{}, &client{newPeer(c.(*handedConn).Conn), c.(*handedConn)})
		},
	}
	return h
}

// serve runs until shutdown or close.
func (h *httpSide) serve() {
	_ = h.srv.Serve(h.queue) // always ErrServerClosed: the queue fails only when it is closed
}

// shutdown lets requests under way end. It does not wait for net/http, which asks only now and then whether they have.
func (h *httpSide) shutdown(limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	var closing sync.WaitGroup
	closing.Go(func() { _ = h.srv.Shutdown(ctx) }) // late ones are broken by close
	for h.s.handed.Load() > 0 && ctx.Err() == nil {
		select {
		case <-h.leaving:
		case <-ctx.Done():
		}
	}
	cancel()
	closing.Wait()
	h.close()
	h.calls.Wait()
}

// left is told that a connection has ended.
func (h *httpSide) left() {
	h.s.handed.Add(-1)
	select {
	case h.leaving <- struct{}{}:
	default:
	}
}

// close breaks everything.
func (h *httpSide) close() {
	h.broken.Store(true)
	h.cancel()
	h.srv.Close()
	h.queue.Close()
}

// handOver gives the connection, with what was read and not consumed, to net/http.
func (c *conn) handOver() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed != nil {
		return
	}
	c.handed = true
	for i := range c.alarm {
		c.alarm[i].Store(0)
	}
	c.watch.Store(0)
	c.nc.SetDeadline(time.Time{})
	c.s.handed.Add(1)
	h := &handedConn{Conn: c.nc, in: c.in, s: c.s} // c reads no more
	if bytes.HasPrefix(h.in.bytes(), []byte("PRI ")) {
		h.h2 = newFrames()
	}
	if !c.s.http.queue.push(h) {
		h.Close()
	}
}
