package api

import (
	"context"
	"net"
	"sync"

	"github.com/openfunction/ofn/internal/event"
)

// maxConns bounds the connections of one app to one port of its API.
const maxConns = 256

// stamped is a listener of one app: its connections know whose they are, and end with it.
type stamped struct {
	net.Listener
	app   event.Name
	life  context.Context //nolint:containedctx // of the copy that connects here
	slots chan struct{}
	done  chan struct{}
	once  sync.Once
	mu    sync.Mutex
	conns map[*stampedConn]bool
}

func stamp(life context.Context, l net.Listener, app event.Name) *stamped {
	return &stamped{Listener: l, app: app, life: life, slots: make(chan struct{}, maxConns), done: make(chan struct{}), conns: map[*stampedConn]bool{}}
}

// Accept waits for a connection, and for one of others to end when there are too many.
func (s *stamped) Accept() (net.Conn, error) {
	select {
	case s.slots <- struct{}{}:
	case <-s.done:
		return nil, net.ErrClosed
	}
	conn, err := s.Listener.Accept()
	if err != nil {
		<-s.slots
		return nil, err
	}
	c := &stampedConn{Conn: conn, of: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		<-s.slots
		_ = conn.Close()
		return nil, net.ErrClosed
	default:
	}
	s.conns[c] = true
	return c, nil
}

// Close ends the listener and its connections.
func (s *stamped) Close() error {
	var err error
	s.once.Do(func() {
		close(s.done)
		err = s.Listener.Close()
		s.mu.Lock()
		conns := s.conns
		s.conns = map[*stampedConn]bool{}
		s.mu.Unlock()
		for c := range conns {
			_ = c.Close()
		}
	})
	return err
}

type stampedConn struct {
	net.Conn
	of   *stamped
	once sync.Once
}

// RemoteAddr is an appAddr.
func (c *stampedConn) RemoteAddr() net.Addr { return appAddr{c.Conn.RemoteAddr(), c.of.app, c.of.life} }

func (c *stampedConn) Close() error {
	c.once.Do(func() {
		c.of.mu.Lock()
		delete(c.of.conns, c)
		c.of.mu.Unlock()
		<-c.of.slots
	})
	return c.Conn.Close()
}

// appAddr is the address of a peer that is known to be an app.
type appAddr struct {
	net.Addr
	app  event.Name
	life context.Context //nolint:containedctx // of the copy
}
