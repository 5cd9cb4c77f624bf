package gateway

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// callPump moves the body of a request of net/http to a copy, beside the goroutine that waits for the answer.
type callPump struct {
	body     *watchedBody
	done     chan error
	stopping atomic.Bool
	lost     atomic.Bool // the client's body broke off
}

func (p *callPump) start(c *call, u *upstream) {
	done, chunked := make(chan error, 1), c.chunked()
	p.body, p.done = c.body, done
	go func() {
		err := p.run(u, chunked, c.r)
		if err != nil && p.lost.Load() {
			u.nc.SetDeadline(past) // there is nobody to answer
		}
		done <- err
	}()
}

// run is the pump's goroutine. It fails when the copy takes no more, or the client breaks off.
func (p *callPump) run(u *upstream, chunked bool, r *http.Request) error {
	pooled := writeBuffers.Get().(*[]byte)
	defer writeBuffers.Put(pooled)
	buf := (*pooled)[:cap(*pooled)]
	to := buf
	if chunked {
		to = buf[8 : len(buf)-2]
	}
	for {
		n, err := p.body.Read(to)
		if n > 0 {
			out := to[:n]
			if chunked {
				out = appendChunk(buf[:8+n], 0)
			}
			if _, err := u.nc.Write(out); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && chunked:
			_, err = u.nc.Write(appendTrailerOf(buf[:0], r))
			return err
		case errors.Is(err, io.EOF):
			return nil
		default:
			p.lost.Store(!p.stopping.Load())
			return err
		}
	}
}

// appendTrailerOf ends a body in chunks with the trailer that has come after r's.
func appendTrailerOf(out []byte, r *http.Request) []byte {
	out = append(out, "0\r\n"...)
	for name, values := range r.Trailer {
		for _, v := range values {
			out = appendField(out, name, v)
		}
	}
	return append(out, "\r\n"...)
}

// stop ends the pump and reports whether it had handed over the whole body.
func (p *callPump) stop(u *upstream) bool {
	if p.done == nil {
		return true
	}
	done := p.done
	p.done = nil
	select {
	case err := <-done:
		return err == nil
	default:
	}
	if p.body.ended.Load() {
		select {
		case err := <-done:
			return err == nil
		case <-time.After(pumpGrace):
		}
	}
	p.stopping.Store(true)
	if p.body.unfinished() {
		_ = p.body.breakOff() // fails where the connection has ended
	}
	u.nc.SetWriteDeadline(past)
	<-done
	return false
}
