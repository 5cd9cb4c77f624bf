package worker

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/instance/drivers/wasm/wire"
)

// errDriverGone is the cause of the end of copies whose driver is.
var errDriverGone = errors.New("the driver is gone")

// life is the connection over which the driver had a copy made. It lasts as long as the copy, and brings what the driver wants of it.
type life struct {
	conn     net.Conn
	in       *bufio.Reader
	stopping chan time.Duration // the grace; holds the shortest asked for
}

// live makes a copy, serves its first connection, if there is one, and stays until it has ended.
func (w *worker) live(worker context.Context, conn, first net.Conn) {
	l := &life{conn: conn, in: bufio.NewReader(conn), stopping: make(chan time.Duration, 1)}
	defer conn.Close()
	_ = conn.SetDeadline(time.Time{}) // before the end of the worker sets one; start sees what it fails with
	defer context.AfterFunc(worker, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	var early *copyConn
	if first != nil {
		early = newCopyConn(first)
		if !w.toCopy.give(early) {
			_ = first.Close()
			return
		}
	}
	s, err := l.start()
	if err != nil {
		closeEarly(early)
		return // there is nobody to tell
	}
	ctx, cancel := context.WithCancelCause(worker)
	defer cancel(nil)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer conn.Close()
	reading.Go(func() { cancel(l.read()) })
	log := newCopyLog(l.log, s.Log)
	c, err := w.newCopy(ctx, s, log)
	if err != nil {
		closeEarly(early)
		log.end()
		l.tell(wire.FrameFailed, failure(err))
		return
	}
	if early != nil {
		c.begin(early)
	}
	if !s.Sure {
		l.tell(wire.FrameStarted, nil)
	}
	exit := c.live(ctx, l.stopping)
	w.forget(c)
	log.end()
	l.tell(wire.FrameExit, exit)
	if worker.Err() == nil {
		c.prepare()
	}
}

func closeEarly(c *copyConn) {
	if c != nil {
		_ = c.Close()
	}
}

// start reads what copy to make, as soon as the driver wants one.
func (l *life) start() (s wire.Start, err error) {
	kind, body, err := wire.ReadFrame(l.in)
	if err != nil {
		return s, err
	}
	if kind != wire.FrameStart {
		return s, fmt.Errorf("a life begins with a frame %q", kind)
	}
	return s, json.Unmarshal(body, &s)
}

// read takes in what the driver wants until it is gone.
func (l *life) read() error {
	for {
		kind, body, err := wire.ReadFrame(l.in)
		if err != nil {
			return errDriverGone
		}
		if kind == wire.FrameStop && len(body) == 8 {
			l.stop(time.Duration(binary.BigEndian.Uint64(body)))
		}
	}
}

// stop asks for the end. A second call can only shorten the grace.
func (l *life) stop(grace time.Duration) {
	for {
		select {
		case l.stopping <- grace:
			return
		default:
		}
		select {
		case earlier := <-l.stopping:
			grace = min(grace, earlier)
		default:
		}
	}
}

// log passes on what the copy wrote.
func (l *life) log(p []byte) {
	for part := range slices.Chunk(p, wire.MaxLog) {
		_ = wire.WriteFrame(l.conn, wire.FrameLog, part)
	}
}

// tell tells the driver something; one that is gone needs not know it.
func (l *life) tell(k wire.Kind, what any) {
	var body []byte
	if what != nil {
		body, _ = json.Marshal(what)
	}
	_ = wire.WriteFrame(l.conn, k, body)
}
