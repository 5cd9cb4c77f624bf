//go:build unix

package gateway

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// sock looks at a socket without taking anything from it. It is used by one goroutine.
type sock struct {
	raw   syscall.RawConn
	look  func(fd uintptr)
	n     int
	err   error
	byte1 [1]byte
}

// newSock prepares for c, or for what c wraps. A connection that is no socket is always taken to be there.
func newSock(c net.Conn) *sock {
	s := &sock{}
	for {
		if sc, ok := c.(syscall.Conn); ok {
			if raw, err := sc.SyscallConn(); err == nil {
				s.raw = raw
			}
			break
		}
		w, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = w.NetConn()
	}
	s.look = func(fd uintptr) {
		s.n, _, s.err = syscall.Recvfrom(int(fd), s.byte1[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	}
	return s
}

// peek reports what a read would do now.
func (s *sock) peek() (n int, wouldBlock bool) {
	if s.raw == nil {
		return 0, true
	}
	if err := s.raw.Control(s.look); err != nil {
		return 0, false
	}
	return s.n, s.err == syscall.EAGAIN || s.err == syscall.EINTR
}

// await looks again and again until there is something to read, and gives up when limit has elapsed or another one waits.
func (s *sock) await(limit time.Duration, waiting *atomic.Int32) bool {
	if s.raw == nil {
		return false
	}
	found := false
	err := s.raw.Control(func(fd uintptr) {
		for begun := time.Now(); ; {
			s.look(fd)
			if s.err != syscall.EAGAIN && s.err != syscall.EINTR {
				found = true
				return
			}
			if time.Since(begun) > limit || waiting.Load() > 1 {
				return
			}
		}
	})
	return found && err == nil
}

// gone reports whether the other side has closed its end and everything it sent was read.
func (s *sock) gone() bool {
	n, wouldBlock := s.peek()
	return n <= 0 && !wouldBlock
}

// quiet reports whether the connection is open and there is nothing to read.
func (s *sock) quiet() bool {
	_, wouldBlock := s.peek()
	return wouldBlock
}
