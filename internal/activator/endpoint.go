package activator

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	maxIdle     = 256              // connections kept per target
	idleTimeout = 60 * time.Second // after which Stats closes them
)

// Endpoint is a target inside the callback of Do, with its idle connections. It must not be used after the callback returned.
type Endpoint struct {
	target Target

	// Guarded by Revision.mu.
	inFlight int
	suspect  time.Time // until then nothing is sent here: the last dial or exchange failed
	failures int       // in a row
	draining bool
	drained  chan struct{} // closed when draining and empty

	mu     sync.Mutex
	closed bool
	idle   []idleConn
	aux    io.Closer
}

type idleConn struct {
	conn  io.Closer
	since time.Time
}

// ID is the target's.
func (e *Endpoint) ID() string { return e.target.ID() }

// Dial makes a new connection to the target. The caller owns it and may give it to Keep.
func (e *Endpoint) Dial(ctx context.Context) (net.Conn, error) {
	c, err := e.target.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting to copy %s: %w", e.ID(), err)
	}
	return c, nil
}

// Take gives an idle connection, the one used last, or nil when there is none.
func (e *Endpoint) Take() io.Closer {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(e.idle) - 1
	if n < 0 {
		return nil
	}
	c := e.idle[n].conn
	e.idle[n] = idleConn{}
	e.idle = e.idle[:n]
	return c
}

// Keep takes back a connection that is ready for another request. When the target is gone or has enough of them it is closed.
func (e *Endpoint) Keep(c io.Closer, now time.Time) {
	e.mu.Lock()
	if !e.closed && len(e.idle) < maxIdle {
		e.idle = append(e.idle, idleConn{c, now})
		e.mu.Unlock()
		return
	}
	e.mu.Unlock()
	c.Close()
}

// Aux gives what the caller keeps with the target, made by build the first time; it is closed with the target.
func (e *Endpoint) Aux(build func() io.Closer) io.Closer {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.aux == nil {
		e.aux = build()
	}
	return e.aux
}

// prune closes connections idle since before.
func (e *Endpoint) prune(before time.Time) {
	e.mu.Lock()
	n := 0
	for n < len(e.idle) && e.idle[n].since.Before(before) {
		n++
	}
	old := append([]idleConn(nil), e.idle[:n]...)
	rest := copy(e.idle, e.idle[n:])
	clear(e.idle[rest:])
	e.idle = e.idle[:rest]
	e.mu.Unlock()
	for _, c := range old {
		c.conn.Close()
	}
}

// shut closes every idle connection, now and from now on.
func (e *Endpoint) shut() {
	e.mu.Lock()
	e.closed = true
	idle, aux := e.idle, e.aux
	e.idle = nil
	e.mu.Unlock()
	for _, c := range idle {
		c.conn.Close()
	}
	if aux != nil {
		aux.Close()
	}
}
