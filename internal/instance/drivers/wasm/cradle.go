package wasm

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/instance/drivers/wasm/wire"
)

// restock is how long after a start its cradle is replaced: not while the function that started has its first request.
const restock = 10 * time.Millisecond

// cradle is what a copy begins with, made before anybody asks for one: the connection of its life, which the worker reads, and its
// first connection, which the worker has the other end of.
type cradle struct {
	life  net.Conn
	from  *bufio.Reader
	first net.Conn // nil where it cannot be passed on
}

// newCradle makes one.
func (p *process) newCradle(ctx context.Context) (*cradle, error) {
	life, err := p.in.Dial(ctx)
	if err != nil {
		return nil, p.explain(ctx, err)
	}
	c := &cradle{life: life, from: bufio.NewReader(life)}
	if err := c.greet(); err != nil {
		c.close()
		return nil, p.explain(ctx, err)
	}
	return c, nil
}

// greet says what the connection is for, and passes the other end of the first one on.
func (c *cradle) greet() error {
	hello, err := wire.Preamble("", wire.Live)
	if err != nil {
		return err
	}
	to, able := c.life.(*net.UnixConn)
	if !able {
		_, err := c.life.Write(hello)
		return err
	}
	near, far, err := wire.Pair()
	if err != nil {
		return err
	}
	c.first = near
	return errors.Join(wire.Send(to, hello, far), far.Close())
}

// broken is whether the worker's end of a connection that nothing was sent on is closed. One that was made for later is looked at before it
// is given away, because who gets it takes it for new.
func broken(c net.Conn) bool {
	s, able := c.(syscall.Conn)
	if !able {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return true
	}
	var b [1]byte
	var said error
	err = raw.Read(func(fd uintptr) bool {
		_, _, said = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return true
	})
	return err != nil || !errors.Is(said, unix.EAGAIN)
}

// close gives it back.
func (c *cradle) close() {
	_ = c.life.Close()
	if c.first != nil {
		_ = c.first.Close()
	}
}

// cradles has the one of a worker that nobody has used yet. Starts that come together make their own.
type cradles struct {
	mu     sync.Mutex
	ready  *cradle
	timer  *time.Timer // restocks
	closed bool
	making sync.WaitGroup
}

// cradle takes the one that is ready, or makes one.
func (p *process) cradle(ctx context.Context) (*cradle, error) {
	if c := p.cradles.take(p.restock); c != nil {
		return c, nil
	}
	return p.newCradle(ctx)
}

// take returns what is ready, if it is, and has it replaced soon.
func (cs *cradles) take(restocking func()) *cradle {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := cs.ready
	cs.ready = nil
	switch {
	case cs.closed:
	case cs.timer == nil:
		cs.timer = time.AfterFunc(restock, restocking)
	default:
		cs.timer.Reset(restock)
	}
	return c
}

// restock makes another. When that fails, the next start finds out why.
func (p *process) restock() {
	cs := &p.cradles
	cs.mu.Lock()
	if cs.closed || cs.ready != nil {
		cs.mu.Unlock()
		return
	}
	cs.making.Add(1)
	cs.mu.Unlock()
	defer cs.making.Done()
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	if c, err := p.newCradle(ctx); err == nil {
		cs.put(c)
	}
}

// put keeps one.
func (cs *cradles) put(c *cradle) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.closed || cs.ready != nil {
		c.close()
		return
	}
	cs.ready = c
}

// close gives all back and waits for what is being made.
func (cs *cradles) close() {
	cs.mu.Lock()
	cs.closed = true
	if cs.timer != nil {
		cs.timer.Stop()
	}
	if cs.ready != nil {
		cs.ready.close()
		cs.ready = nil
	}
	cs.mu.Unlock()
	cs.making.Wait()
}
