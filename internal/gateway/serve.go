package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// server is what belongs to one listener.
type server struct {
	g        *Gateway
	wg       sync.WaitGroup // connections
	clock    coarseClock
	draining atomic.Bool
	handed   atomic.Int64 // connections that net/http has
	http     *httpSide

	mu    sync.Mutex
	conns map[*conn]struct{}
	wake  chan struct{} // a first connection came; buffered
}

// Serve accepts connections on l until ctx ends. Then it stops listening, lets requests under way end, for DrainTimeout
// at most, and returns nil once every goroutine it started has ended. An error means that l cannot accept any more.
func (g *Gateway) Serve(ctx context.Context, l net.Listener) error {
	s := &server{g: g, conns: map[*conn]struct{}{}, wake: make(chan struct{}, 1)}
	s.clock.start = time.Now()
	s.http = newHTTPSide(s, l.Addr())
	stopSweep := make(chan struct{})
	var helpers sync.WaitGroup
	helpers.Go(func() { s.sweepUntil(stopSweep) })
	helpers.Go(s.http.serve)
	unhook := context.AfterFunc(ctx, func() { l.Close() })
	err := s.accept(ctx, l)
	unhook()
	l.Close()
	s.drain()
	close(stopSweep)
	helpers.Wait()
	return err
}

// accept runs until l is closed.
func (s *server) accept(ctx context.Context, l net.Listener) error {
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err == nil {
			pause = 0
			s.welcome(nc)
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accepting connections on %s: %w", l.Addr(), err)
		}
		// Out of file descriptors, or a client that was gone at once: others may still be served.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.g.opt.Log.Warn("cannot accept a connection", "listener", l.Addr().String(), "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// welcome starts the goroutine of a new connection.
func (s *server) welcome(nc net.Conn) {
	c := newConn(s, nc)
	s.mu.Lock()
	if len(s.conns)+int(s.handed.Load()) >= s.g.opt.MaxConnections {
		s.mu.Unlock()
		nc.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		_, _ = nc.Write([]byte("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
		nc.Close()
		s.g.opt.Metrics.Refused("connections", 503)
		return
	}
	if len(s.conns) == 0 {
		s.clock.advance() // nobody kept it while there was nobody
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	s.g.opt.Metrics.Connections(1)
	s.wg.Go(c.run)
}

// farewell forgets a connection.
func (s *server) farewell(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

// drain ends idle connections, waits for the others and then breaks them.
func (s *server) drain() {
	s.draining.Store(true)
	s.each(func(c *conn) {
		if c.state.CompareAndSwap(stateIdle, stateOver) {
			c.kill(errStopping)
		}
	})
	var under sync.WaitGroup
	under.Go(s.wg.Wait)
	under.Go(func() { s.http.shutdown(s.g.opt.DrainTimeout) })
	ended := make(chan struct{})
	go func() { under.Wait(); close(ended) }()
	late := time.NewTimer(s.g.opt.DrainTimeout)
	defer late.Stop()
	select {
	case <-ended:
	case <-late.C:
		s.each(func(c *conn) { c.kill(errStopping) })
		<-ended
	}
}

// each calls fn with every connection.
func (s *server) each(fn func(*conn)) {
	s.mu.Lock()
	all := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		fn(c)
	}
}
