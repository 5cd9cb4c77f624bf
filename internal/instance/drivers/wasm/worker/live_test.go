package worker

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// lateConn takes away its deadline only after somebody has set one, or a while.
type lateConn struct {
	net.Conn
	once sync.Once
	set  chan struct{}
}

func (c *lateConn) SetReadDeadline(t time.Time) error {
	defer c.once.Do(func() { close(c.set) })
	return c.Conn.SetReadDeadline(t)
}

func (c *lateConn) SetDeadline(t time.Time) error {
	select {
	case <-c.set:
	case <-time.After(50 * time.Millisecond):
	}
	return c.Conn.SetDeadline(t)
}

// TestLifeOfAnEndingWorker: a driver that says nothing does not keep a worker that ends.
func TestLifeOfAnEndingWorker(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	near, far := net.Pipe()
	defer near.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		(&worker{}).live(ctx, &lateConn{Conn: far, set: make(chan struct{})}, nil)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("it waits for the driver")
	}
}
