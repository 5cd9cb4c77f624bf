package gateway

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

// minRoom is free in the write buffer before more is read into it.
const minRoom = 2 << 10

// writeBuffers are lent to connections while they have a request.
var writeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, writeBuffer); return &b }}

// forwardAnswer writes the answer whose head u has read.
func (c *conn) forwardAnswer(u *upstream) error {
	p := &u.resp
	c.x.code = p.code
	chunked := p.length < 0 && c.req.minor == 1
	c.req.close = c.req.close || p.length < 0 && !chunked || c.s.draining.Load() || !c.pump.bodyRead()
	c.out = c.appendResponse(c.out[:0], p, chunked, c.req.close)
	if p.code == http.StatusSwitchingProtocols {
		return c.tunnel(u)
	}
	u.body.begin(&u.in, u.nc, p.length)
	if err := c.copyBody(u, chunked); err != nil {
		return err
	}
	u.usable = !p.close && u.in.len() == 0
	return nil
}

// copyBody writes the head in out and the body of u. What is there is written together; nothing is held back while
// waiting for more.
func (c *conn) copyBody(u *upstream, chunked bool) error {
	b := &u.body
	for {
		if !b.ready() || cap(c.out)-len(c.out) < minRoom+chunkRoom {
			if err := c.show(); err != nil {
				return err
			}
		}
		n, err := c.readInto(b, chunked)
		if n == 0 && err != nil {
			if !errors.Is(err, io.EOF) {
				return badAnswer(err.Error())
			}
			if chunked {
				c.out = appendTrailer(c.out, &b.tail)
			}
			return c.show()
		}
	}
}

// show writes out to the client; from then on the answer cannot be replaced.
func (c *conn) show() error {
	c.x.begun = c.x.begun || len(c.out) > 0
	return c.flush()
}

// readInto appends what is next of b to out.
func (c *conn) readInto(b *body, chunked bool) (int, error) {
	from := len(c.out)
	if !chunked {
		n, err := b.read(c.out[from:cap(c.out)])
		c.out = c.out[:from+n]
		return n, err
	}
	n, err := b.read(c.out[from+8 : cap(c.out)-2])
	if n > 0 {
		c.out = appendChunk(c.out[:from+8+n], from)
	}
	return n, err
}
