package watchdog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/openfunction/ofn/framework/shim/host"
)

// answers are what a connection is told that begins with a question to the watchdog. Probes come on connections of their own; on
// others such a path is the program's, as every other.
var answers = []struct{ ask, say string }{
	{"GET " + healthPath + " ", "OK\n"}, {"GET " + readyPath + " ", "OK\n"}, {"HEAD " + healthPath + " ", ""}, {"GET /_ofn/health ", "ok\n"}, {"GET /_ofn/ready ", "ok\n"},
}

// relay connects each connection with one to the program, without a look at what goes over it: any protocol, and next to no time.
// At the end the program itself is asked to end, which lets its calls end as if nobody stood before it.
func (s *server) relay(ctx context.Context, l net.Listener, failed <-chan error, grace time.Duration) error {
	r := &relay{upstream: s.settings.Upstream.Host, open: map[net.Conn]struct{}{}}
	accepted := make(chan error, 1)
	go func() { accepted <- r.accept(l) }()
	var err error
	select {
	case err = <-failed:
	case err = <-accepted:
		accepted <- nil
	case <-ctx.Done():
	}
	_ = l.Close() // what it fails with nobody can mend
	if !s.process.Stop(grace) && err == nil {
		err = fmt.Errorf("the program still ran after the grace of %v and was killed", grace)
	}
	r.close()
	<-accepted
	r.conns.Wait()
	return err
}

// relay is all connections of one server.
type relay struct {
	upstream string
	conns    sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
}

func (r *relay) accept(l net.Listener) error {
	for wait := time.Duration(0); ; {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED):
			wait = min(max(2*wait, pollFirst), pollMost)
			time.Sleep(wait) // until a connection ends: nothing tells when
			continue
		case err != nil:
			return fmt.Errorf("accepting connections: %w", err)
		}
		wait = 0
		if r.add(c) {
			go r.serve(c)
		}
	}
}

// add notes an open connection, which remove forgets.
func (r *relay) add(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		_ = c.Close()
		return false
	}
	r.open[c] = struct{}{}
	r.conns.Add(1)
	return true
}

func (r *relay) remove(c net.Conn) {
	_ = c.Close()
	r.mu.Lock()
	delete(r.open, c)
	r.mu.Unlock()
	r.conns.Done()
}

// close ends all connections.
func (r *relay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for c := range r.open {
		_ = c.Close()
	}
}

// serve relays one connection until both directions have ended.
func (r *relay) serve(in net.Conn) {
	defer r.remove(in)
	first := make([]byte, 4<<10)
	n, err := in.Read(first)
	if n == 0 || err != nil && !errors.Is(err, io.EOF) {
		return
	}
	for _, a := range answers {
		if bytes.HasPrefix(first[:n], []byte(a.ask)) {
			_, _ = fmt.Fprintf(in, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(a.say), a.say)
			return
		}
	}
	out, err := net.Dial("tcp", r.upstream)
	if err != nil {
		return // the caller sees an end without an answer, as of a server that has crashed
	}
	if !r.add(out) {
		return
	}
	defer r.remove(out)
	if _, err := out.Write(first[:n]); err != nil {
		return
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		pass(in, out)
	}()
	pass(out, in)
	<-back
}

// pass copies one direction to its end and says so to the other side.
func pass(to, from net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		_ = to.Close()
		_ = from.Close()
	}
}

var _ host.Contract = (*server)(nil)
