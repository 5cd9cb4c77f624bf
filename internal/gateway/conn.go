package gateway

import (
	"context"
	"errors"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// phase says what alarmPhase means.
type phase int32

const (
	phaseIdle phase = iota
	phaseHead
	phaseRequest
)

// The states of a connection, for the drain.
const (
	stateIdle int32 = iota // no byte of a request was seen
	stateBusy
	stateOver
)

const (
	readBuffer  = 4 << 10
	writeBuffer = 32 << 10
	keptBuffer  = 16 << 10 // of an idle connection, at most
)

// past is a deadline that ends every wait.
var past = time.Unix(1, 0)

// conn is one HTTP/1.1 client connection. Its goroutine is run's; while a request body streams there is a second one, the
// pump, which then is the only reader of the connection. kill may be called by anyone.
type conn struct {
	s      *server
	nc     net.Conn
	sock   *sock // of the sweeper
	in     buffer
	req    request
	out    []byte // what is to be written; pooled
	ctx    context.Context
	cancel context.CancelCauseFunc
	peer   peer
	first  bool // no request was read yet
	abort  bool // the client must see that the answer is not complete
	linger bool // the client may still be sending

	x    exchange
	pump pump

	alarm [alarms]atomic.Int64
	watch atomic.Int64 // since when the client was not looked at; 0 is never look
	phase atomic.Int32
	state atomic.Int32

	mu     sync.Mutex
	up     net.Conn // the copy's connection under way
	killed error
	handed bool // nc belongs to net/http now
}

func newConn(s *server, nc net.Conn) *conn {
	c := &conn{s: s, nc: nc, sock: newSock(nc), first: true, peer: newPeer(nc)}
	c.in.b = make([]byte, readBuffer)
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.pump.done = make(chan struct{}, 1)
	return c
}

// run serves requests until the connection ends or is handed over.
func (c *conn) run() {
	defer c.end()
	for c.next() {
	}
}

// end gives everything back. A defect that shows in one connection must not end the others, so it is stopped here.
func (c *conn) end() {
	if v := recover(); v != nil {
		c.s.g.opt.Log.Error("serving a connection failed", "panic", v, "stack", string(debug.Stack()))
		c.abort = true
	}
	c.cancel(context.Canceled)
	if !c.handed {
		c.close()
	}
	c.s.farewell(c)
	if !c.handed {
		c.s.g.opt.Metrics.Connections(-1)
	}
}

// next serves one request; false ends the connection.
func (c *conn) next() bool {
	c.abort, c.linger = false, false
	err := c.readHead()
	if err == nil && c.first && string(c.req.in(c.req.start)) == "PRI * HTTP/2.0" {
		c.handOver()
		return false
	}
	c.first = false
	if err == nil {
		err = c.req.interpret()
	}
	if err != nil {
		c.reject(err)
		return false
	}
	return c.serveRequest()
}

// reject tells the client what is wrong with what it sent, unless it sent nothing.
func (c *conn) reject(err error) {
	var p *problem
	if c.in.len() == 0 || !errors.As(err, &p) {
		return
	}
	c.req.close, c.linger = true, true
	c.s.g.opt.Metrics.Refused(p.reason, p.code)
	c.answer(p)
}

// readHead waits for a request and reads its head, which stays in the buffer.
func (c *conn) readHead() error {
	q := &c.req
	q.reset()
	c.phase.Store(int32(phaseIdle))
	c.set(alarmPhase, c.s.g.opt.IdleTimeout)
	if c.in.len() == 0 {
		if len(c.in.b) > keptBuffer {
			c.in.b = make([]byte, readBuffer)
		}
		c.state.Store(stateIdle)
		if c.s.draining.Load() {
			return errStopping
		}
		err := c.in.fill(c.nc, c.s.g.opt.MaxHeaderBytes)
		if !c.state.CompareAndSwap(stateIdle, stateBusy) {
			return errStopping
		}
		if err != nil {
			return err
		}
	}
	for waited := false; ; {
		done, err := q.more(c.in.bytes())
		if done || err != nil {
			return err
		}
		if !waited {
			c.phase.Store(int32(phaseHead))
			c.set(alarmPhase, c.s.g.opt.HeaderTimeout)
			waited = true
		}
		if err := c.in.fill(c.nc, c.s.g.opt.MaxHeaderBytes); err != nil {
			return c.headError(err)
		}
	}
}

// headError says why a head did not become complete.
func (c *conn) headError(err error) error {
	switch {
	case errors.Is(err, errBufferFull) && c.req.start.to == 0:
		return errTargetTooLong
	case errors.Is(err, errBufferFull):
		return errHeadTooLarge
	case c.cause() != nil:
		return c.cause()
	}
	return unexpected(err)
}

// kill interrupts whatever the connection waits for. It is final: what is under way fails with the cause, and no other
// request is served.
func (c *conn) kill(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed != nil || c.handed {
		return
	}
	c.killed = cause
	c.cancel(cause)
	c.nc.SetReadDeadline(past)
	if cause == errSlowReader || cause == errClientGone {
		c.nc.SetWriteDeadline(past)
	} else {
		c.nc.SetWriteDeadline(time.Now().Add(5 * time.Second)) // to be told why
	}
	if c.up != nil {
		c.up.SetDeadline(past)
	}
}

// attach makes up the connection that kill interrupts as well. It fails with the cause after a kill.
func (c *conn) attach(up net.Conn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed == nil {
		c.up = up
	}
	return c.killed
}

// detach undoes attach. It reports whether the connection was left alone.
func (c *conn) detach() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up = nil
	return c.killed == nil
}

// cause is why the connection was killed, nil when it was not.
func (c *conn) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.killed
}

// close ends the connection so that the client can read all that was written, or sees that something is missing.
func (c *conn) close() {
	defer c.nc.Close()
	if c.abort {
		if t, ok := c.nc.(*net.TCPConn); ok {
			t.SetLinger(0)
		}
		return
	}
	if c.linger && c.cause() != errClientGone {
		lingeringClose(c.nc)
	}
}

// flush writes what is in out.
func (c *conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	c.set(alarmWrite, c.s.g.opt.StallTimeout)
	_, err := c.nc.Write(c.out)
	c.out = c.out[:0]
	if !c.set(alarmWrite, 0) && err == nil {
		err = errSlowReader
	}
	return err
}
