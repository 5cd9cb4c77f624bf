package gateway

import (
	"io"
	"net"
	"time"
)

// halfOpen is how long one direction of a tunnel may go on after the other has ended.
const halfOpen = 30 * time.Second

// tunnel forwards bytes both ways after the copy has agreed to another protocol. It returns when both directions ended.
func (c *conn) tunnel(u *upstream) error {
	c.req.close = true
	c.watch.Store(0)
	c.set(alarmPhase, 0) // a timeout is for requests; this is a conversation now
	if err := c.show(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		oneWay(u.nc, c.nc, &c.in)
	}()
	oneWay(c.nc, u.nc, &u.in)
	<-done
	return nil
}

// oneWay copies what is buffered and all that follows, and hands the end on. Whatever ends it, the other direction has
// only a while to end too.
func oneWay(dst, src net.Conn, buffered *buffer) {
	_, err := dst.Write(buffered.bytes())
	buffered.skip(buffered.len())
	if err == nil {
		_, err = io.Copy(dst, src)
	}
	limit := time.Now()
	if err == nil && closeWrite(dst) == nil {
		limit = limit.Add(halfOpen)
	}
	dst.SetReadDeadline(limit)
	src.SetWriteDeadline(limit)
}
