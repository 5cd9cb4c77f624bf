package guest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	streamBuffer = 64 << 10
	// lastWrite bounds how long what an instance wrote before it closed a connection may take to go out.
	lastWrite = 5 * time.Second
)

// stream is a connection that can be asked whether it is ready. One goroutine reads ahead of the instance, another writes
// behind it, each by one buffer at most.
type stream struct {
	conn    net.Conn
	changed chan struct{} // of the instance

	mu      sync.Mutex
	wake    *sync.Cond // for the two goroutines
	in      []byte     // read and not yet taken
	inErr   error
	out     []byte // to be written
	outErr  error
	writing bool // the writer has a part
	ended   bool // no more is read
	half    bool // the writing side is to be closed
	done    bool // all is to be closed once out is empty
}

func newStream(c net.Conn, changed chan struct{}, owner *sync.WaitGroup) *stream {
	s := &stream{conn: c, changed: changed}
	s.wake = sync.NewCond(&s.mu)
	owner.Go(s.readAhead)
	owner.Go(s.writeBehind)
	return s
}

// readAhead is the goroutine that reads.
func (s *stream) readAhead() {
	buf := make([]byte, streamBuffer/4)
	for {
		n, err := s.conn.Read(buf)
		s.mu.Lock()
		s.in = append(s.in[:0], buf[:n]...)
		s.inErr = err
		signal(s.changed)
		for len(s.in) > 0 && !s.done && !s.ended {
			s.wake.Wait()
		}
		stop := err != nil || s.done || s.ended
		s.mu.Unlock()
		if stop {
			return
		}
	}
}

// writeBehind is the goroutine that writes; it closes the connection at the end.
func (s *stream) writeBehind() {
	defer s.conn.Close()
	var part []byte
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.out) == 0 && !s.done && !s.half {
			s.wake.Wait()
		}
		switch {
		case len(s.out) > 0:
			part, s.out, s.writing = s.out, part[:0], true
			s.mu.Unlock()
			_, err := s.conn.Write(part)
			s.mu.Lock()
			s.writing = false
			if err != nil {
				s.outErr, s.out = err, nil
			}
			signal(s.changed)
		case s.done:
			return
		default:
			s.half = false
			s.outErr = io.ErrClosedPipe
			if c, ok := s.conn.(interface{ CloseWrite() error }); ok {
				_ = c.CloseWrite()
			}
		}
	}
}

func (s *stream) readable() (bool, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.in) > 0 || s.inErr != nil || s.ended, len(s.in)
}

func (s *stream) writable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.out) < streamBuffer || s.outErr != nil
}

// read takes what is there. At the end it returns nothing and success.
func (s *stream) read(p []byte, peek bool) (int, errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.in) > 0 {
		n := copy(p, s.in)
		if !peek {
			s.in = s.in[:copy(s.in, s.in[n:])]
			if len(s.in) == 0 {
				s.wake.Broadcast()
			}
		}
		return n, success
	}
	switch {
	case s.ended || errors.Is(s.inErr, io.EOF):
		return 0, success
	case s.inErr != nil:
		return 0, errnoOf(s.inErr)
	}
	return 0, errAgain
}

// write takes as much as there is room for.
func (s *stream) write(p []byte) (int, errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outErr != nil {
		return 0, errnoOf(s.outErr)
	}
	n := min(len(p), streamBuffer-len(s.out))
	if n <= 0 && len(p) > 0 {
		return 0, errAgain
	}
	s.out = append(s.out, p[:n]...)
	s.wake.Broadcast()
	return n, success
}

// shutdown ends reading, writing or both.
func (s *stream) shutdown(read, write bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if read {
		s.ended = true
		s.in = s.in[:0]
	}
	if write {
		s.half = true
	}
	s.wake.Broadcast()
}

// finish closes the connection as soon as all is written.
func (s *stream) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = true
	_ = s.conn.SetWriteDeadline(time.Now().Add(lastWrite))
	_ = s.conn.SetReadDeadline(time.Unix(1, 0)) // ends the reader
	s.wake.Broadcast()
}

// wait returns when try no longer says that it would have to wait, or ctx ends.
func (s *sockets) wait(ctx context.Context, try func() (int, errno)) (int, errno) {
	for {
		n, err := try()
		if err != errAgain {
			return n, err
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			return 0, errIntr
		}
	}
}

func errnoOf(err error) errno {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return errRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return errHost
	case errors.Is(err, syscall.ECONNRESET):
		return errReset
	case errors.Is(err, io.ErrClosedPipe), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return errPipe
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errAborted
	}
	return errIO
}
