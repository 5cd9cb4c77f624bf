package gateway

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// handoff is a listener that is fed with connections accepted elsewhere.
type handoff struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newHandoff(addr net.Addr) *handoff {
	return &handoff{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

// push gives a connection to whoever accepts; false when the listener is closed.
func (h *handoff) push(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.done:
		return false
	}
}

// Accept waits for a connection.
func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and push.
func (h *handoff) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr is that of the real listener.
func (h *handoff) Addr() net.Addr { return h.addr }

// handedConn is a connection of which a part was read already. net/http reads each HTTP/2 frame in two small pieces, so
// they come from a buffer.
type handedConn struct {
	net.Conn
	s    *server
	in   buffer
	h2   *frames // nil for HTTP/1.1
	once sync.Once
	// linger says that the client may still be sending a body that nobody reads.
	linger atomic.Bool
}

// Read gives what was read before first.
func (c *handedConn) Read(p []byte) (int, error) {
	n, err := c.read(p)
	if c.h2 != nil && c.h2.read(p[:n]) {
		c.leave()
	}
	return n, err
}

// Write writes to the client.
func (c *handedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.h2 != nil && c.h2.written(p[:n]) {
		c.leave()
	}
	return n, err
}

// leave lets the client see the end, so that it closes the connection; net/http does so itself a second later.
func (c *handedConn) leave() { _ = closeWrite(c.Conn) }

func (c *handedConn) read(p []byte) (int, error) {
	if c.in.len() == 0 {
		if len(p) >= len(c.in.b) {
			return c.Conn.Read(p)
		}
		if err := c.in.fill(c.Conn, len(c.in.b)); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.in.bytes())
	c.in.skip(n)
	return n, nil
}

// CloseWrite closes one direction where the connection can.
func (c *handedConn) CloseWrite() error { return closeWrite(c.Conn) }

// Close ends the connection.
func (c *handedConn) Close() error {
	c.once.Do(func() {
		if c.linger.Load() && !c.s.http.broken.Load() {
			lingeringClose(c.Conn)
		}
		c.s.g.opt.Metrics.Connections(-1)
		c.s.http.left()
	})
	return c.Conn.Close()
}

// How long, and how much of, what a client still sends is read after its connection was closed for writing.
const (
	lingerTime  = time.Second
	lingerBytes = 16 << 20
)

// lingeringClose ends the answer. Closing while the client still sends would reset the connection and destroy the answer on
// its way.
func lingeringClose(nc net.Conn) {
	if closeWrite(nc) != nil {
		return
	}
	nc.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, nc, lingerBytes)
}

// closeWrite closes one direction where the connection can.
func closeWrite(nc net.Conn) error {
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return net.ErrClosed
}
