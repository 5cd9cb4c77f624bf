package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	h2Conns   = 4
	h2Streams = 8 // under way on each connection
)

// h2client is an HTTP/2 connection that does as little work as possible, so that the server's share shows.
type h2client struct {
	nc     net.Conn
	w      *bufio.Writer
	f      *http2.Framer
	head   []byte // of every request, without use of the dynamic table
	next   uint32
	unread uint32 // bytes of answers that the server was not told of
}

func connectH2(c contender) (*h2client, error) {
	nc, err := net.DialTimeout(c.network, c.addr, time.Second)
	if err != nil {
		return nil, err
	}
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "hello.default.example"}, {":path", "/"}} {
		if err := enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1], Sensitive: f[0] == ":authority"}); err != nil {
			return nil, err
		}
	}
	if err := nc.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	w := bufio.NewWriter(nc)
	cl := &h2client{nc: nc, w: w, f: http2.NewFramer(w, bufio.NewReader(nc)), head: head.Bytes(), next: 1}
	cl.f.SetReuseFrames()
	_, err = io.WriteString(w, http2.ClientPreface)
	return cl, errors.Join(err, cl.f.WriteSettings(), w.Flush())
}

// send begins a request; flush tells whether no other follows at once.
func (c *h2client) send(flush bool) error {
	err := c.f.WriteHeaders(http2.HeadersFrameParam{StreamID: c.next, BlockFragment: c.head, EndStream: true, EndHeaders: true})
	c.next += 2
	if err == nil && flush {
		err = c.w.Flush()
	}
	return err
}

// receive waits for the end of an answer.
func (c *h2client) receive() error {
	for {
		frame, err := c.f.ReadFrame()
		if err != nil {
			return err
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				err = errors.Join(c.f.WriteSettingsAck(), c.w.Flush())
			}
		case *http2.PingFrame:
			err = errors.Join(c.f.WritePing(true, frame.Data), c.w.Flush())
		case *http2.DataFrame:
			if c.unread += frame.Length; c.unread > 1<<14 {
				err = errors.Join(c.f.WriteWindowUpdate(0, c.unread))
				c.unread = 0
			}
			if err == nil && frame.StreamEnded() {
				return nil
			}
		case *http2.HeadersFrame:
			if b := frame.HeaderBlockFragment(); len(b) == 0 || b[0] != 0x88 { // :status 200
				return fmt.Errorf("not answered with 200")
			}
			if frame.StreamEnded() {
				return nil
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return fmt.Errorf("answered with %s", frame.Header())
		}
		if err != nil {
			return err
		}
	}
}

// loopH2 keeps streams under way until the end, and tells each how long it took when there is one only.
func loopH2(c contender, streams int, end time.Time, took func(time.Duration)) (n int, err error) {
	cl, err := connectH2(c)
	if err != nil {
		return 0, err
	}
	defer cl.nc.Close()
	for i := range streams {
		if err := cl.send(i == streams-1); err != nil {
			return 0, err
		}
	}
	for {
		before := time.Now()
		if before.After(end) {
			return n, nil
		}
		if err := cl.receive(); err != nil {
			return n, err
		}
		n++
		if took != nil {
			took(time.Since(before))
		}
		if err := cl.send(true); err != nil {
			return n, err
		}
	}
}

// throughputH2 is in requests per second.
func throughputH2(c contender, d time.Duration) (float64, error) {
	var wg sync.WaitGroup
	var counts [h2Conns]int
	var errs [h2Conns]error
	begin := time.Now()
	for i := range h2Conns {
		wg.Go(func() { counts[i], errs[i] = loopH2(c, h2Streams, begin.Add(d), nil) })
	}
	wg.Wait()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return float64(sum) / time.Since(begin).Seconds(), errors.Join(errs[:]...)
}
