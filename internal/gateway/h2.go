package gateway

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"
)

// httpSide is the part of a listener that net/http serves: HTTP/2 without TLS, HTTP/1.1 for copies that want HTTP/2, and
// what Unmatched answers.
type httpSide struct {
	s      *server
	queue  *handoff
	srv    *http.Server
	proxy  *httputil.ReverseProxy
	calls  sync.WaitGroup
	cancel context.CancelFunc
}

// maxStreams is how many requests one HTTP/2 connection may have under way.
const maxStreams = 1000

type peerKey struct{}

func newHTTPSide(s *server, addr net.Addr) *httpSide {
	h := &httpSide{s: s, queue: newHandoff(addr)}
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
			return context.WithValue(ctx, peerKey{}, newPeer(c.(*handedConn).Conn))
		},
	}
	h.proxy = &httputil.ReverseProxy{
		Rewrite:        rewriteCall,
		ModifyResponse: answerCall,
		ErrorHandler:   func(_ http.ResponseWriter, r *http.Request, err error) { callOf(r).err = err },
		Transport:      callTransport{},
		BufferPool:     bufferPool{},
		ErrorLog:       h.srv.ErrorLog,
	}
	return h
}

// serve runs until shutdown or close.
func (h *httpSide) serve() {
	_ = h.srv.Serve(h.queue) // always ErrServerClosed: the queue fails only when it is closed
}

// shutdown lets requests under way end.
func (h *httpSide) shutdown(limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_ = h.srv.Shutdown(ctx) // late ones are broken by close
	h.close()
	h.calls.Wait()
}

// close breaks everything.
func (h *httpSide) close() {
	h.cancel()
	h.srv.Close()
	h.queue.Close()
}

// bufferPool lends the write buffers of connections to the reverse proxy.
type bufferPool struct{}

func (bufferPool) Get() []byte {
	p := writeBuffers.Get().(*[]byte)
	return (*p)[:cap(*p)]
}

func (bufferPool) Put(b []byte) {
	b = b[:0]
	writeBuffers.Put(&b)
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
	h := &handedConn{Conn: c.nc, rest: append([]byte(nil), c.in.bytes()...), s: c.s}
	if !c.s.http.queue.push(h) {
		h.Close()
	}
}
