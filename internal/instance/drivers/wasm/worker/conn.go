package worker

import (
	"io"
	"net"
	"net/http"
	"sync"
)

// copyConn is a connection to a copy that we speak HTTP for. The server may have it before it is known which copy that is.
type copyConn struct {
	net.Conn
	bound  chan struct{} // closed when it is known whose it is
	closed chan struct{}
	once   sync.Once
	to     *copyOf // set before bound is closed; nil: somebody else has the connection
}

func newCopyConn(c net.Conn) *copyConn {
	return &copyConn{Conn: c, bound: make(chan struct{}), closed: make(chan struct{})}
}

// Read implements net.Conn. What is not the server's ends for it without a word.
func (c *copyConn) Read(p []byte) (int, error) {
	if c.owner() == nil {
		return 0, io.EOF
	}
	return c.Conn.Read(p)
}

// owner is the copy, once it is known; nil when the connection is closed before.
func (c *copyConn) owner() *copyOf {
	select {
	case <-c.bound:
		return c.to
	case <-c.closed:
		return nil
	}
}

// bind gives the connection to a copy.
func (c *copyConn) bind(to *copyOf) {
	c.to = to
	close(c.bound)
}

// release takes the connection back from the server. It must not be bound.
func (c *copyConn) release() net.Conn {
	close(c.bound)
	return c.Conn
}

// Close implements net.Conn.
func (c *copyConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	select {
	case <-c.bound:
		if c.to == nil {
			return nil // it goes on elsewhere
		}
	default:
	}
	return c.Conn.Close()
}

// state is told by the server.
func (c *copyConn) state(s http.ConnState) {
	if s != http.StateClosed && s != http.StateHijacked {
		return
	}
	select {
	case <-c.bound:
		if c.to != nil {
			c.to.leftBy(c)
		}
	default:
	}
}

func (c *copyOf) leftBy(conn *copyConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, conn)
}

// connect takes a connection over; false when the copy takes none, and it stays the caller's.
func (c *copyOf) connect(conn net.Conn, answer bool) bool {
	if c.listener != nil && !c.listener.Listening() {
		return false
	}
	if greeted(conn, answer) != nil {
		_ = conn.Close()
		return true
	}
	if c.listener != nil {
		c.deliver(conn)
		return true
	}
	own := newCopyConn(conn)
	if !c.adopt(own) || !c.owner.toCopy.give(own) {
		c.leftBy(own)
		_ = conn.Close()
	}
	return true
}

// begin takes over the connection that came with the copy, which the server has already.
func (c *copyOf) begin(conn *copyConn) {
	switch {
	case c.listener != nil && c.spec.Early:
		c.deliver(conn.release())
	case c.listener != nil || !c.adopt(conn):
		_ = conn.Close()
	}
}

// deliver gives a connection to a module that listens.
func (c *copyOf) deliver(conn net.Conn) {
	if !c.listener.Deliver(conn) {
		_ = conn.Close()
	}
}

// adopt makes a connection the copy's; false when the copy ends.
func (c *copyOf) adopt(conn *copyConn) bool {
	c.mu.Lock()
	ending := c.ending
	if !ending {
		c.conns[conn] = struct{}{}
	}
	c.mu.Unlock()
	if !ending {
		conn.bind(c)
	}
	return !ending
}
