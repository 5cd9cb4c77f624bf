package gateway

import (
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// pumpGrace is how long a pump that has read the whole body may take to hand the end to a copy that answered already.
const pumpGrace = 20 * time.Millisecond

// pump moves a request body that did not come with its head, beside the goroutine that waits for the answer.
type pump struct {
	body     body
	running  bool // of the connection's goroutine
	done     chan struct{}
	err      error       // after done
	read     atomic.Bool // the body was read to its end
	stopping atomic.Bool
}

// bodyRead reports whether nothing of the request is left on the connection.
func (p *pump) bodyRead() bool { return !p.running || p.read.Load() }

// startPump begins to move the body; from now on the head of the request may be overwritten.
func (c *conn) startPump(u *upstream) {
	c.x.streamed = true
	c.watch.Store(0) // the pump sees itself when the client goes
	p := &c.pump
	p.running, p.err = true, nil
	p.read.Store(false)
	p.stopping.Store(false)
	p.body.begin(&c.in, c.nc, c.req.length)
	go func() {
		p.err = c.runPump(u, c.req.length == chunkedLength)
		p.done <- struct{}{}
	}()
}

// stopPump ends the pump and reports whether it had handed over the whole body.
func (c *conn) stopPump(u *upstream) bool {
	p := &c.pump
	if !p.running {
		return true
	}
	p.running = false
	if p.read.Load() {
		select {
		case <-p.done:
			return p.err == nil
		case <-time.After(pumpGrace):
		}
	} else {
		p.stopping.Store(true)
		c.req.close, c.linger = true, true
		c.nc.SetReadDeadline(past)
	}
	u.nc.SetWriteDeadline(past)
	<-p.done
	return false
}

func (c *conn) runPump(u *upstream, chunked bool) error {
	pooled := writeBuffers.Get().(*[]byte)
	defer writeBuffers.Put(pooled)
	buf, p := *pooled, &c.pump
	for {
		n, err := c.readBody(buf, chunked)
		switch {
		case errors.Is(err, io.EOF):
			c.bodyEnded()
			if chunked {
				_, err = u.nc.Write(appendTrailer(buf[:0], &p.body.tail))
				return err
			}
			return nil
		case err != nil:
			return c.bodyFailed(err)
		}
		if !chunked && p.body.left == 0 {
			c.bodyEnded()
		}
		out := buf[:n]
		if chunked {
			out = appendChunk(buf[:8+n], 0)
		}
		if _, err := u.nc.Write(out); err != nil {
			return err
		}
	}
}

// readBody reads the next part of the body into buf, behind the room for a chunk's length.
func (c *conn) readBody(buf []byte, chunked bool) (int, error) {
	to := buf[:cap(buf)]
	if chunked {
		to = buf[8 : cap(buf)-2]
	}
	c.set(alarmRead, c.s.g.opt.StallTimeout)
	n, err := c.pump.body.read(to)
	c.set(alarmRead, 0)
	if n > 0 {
		return n, nil
	}
	return 0, err
}

func (c *conn) bodyEnded() {
	c.pump.read.Store(true)
	c.watch.Store(c.s.clock.in(0))
}

// bodyFailed ends the exchange, unless it is over.
func (c *conn) bodyFailed(err error) error {
	if c.pump.stopping.Load() {
		return err
	}
	var p *problem
	if errors.As(err, &p) {
		c.kill(p)
	} else {
		c.kill(errClientGone)
	}
	return err
}
