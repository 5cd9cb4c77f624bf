//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// streamBuffer is the longest line that is passed on in one piece.
	streamBuffer = 32 << 10
	// afterlife bounds how long output is awaited once everything that could write is dead.
	afterlife = time.Second
)

// stream carries the output of a copy to a writer.
type stream struct {
	r    *os.File
	w    int // the child's end; -1 once closed here
	done chan struct{}
}

// newStream makes a pipe that belongs to a user of the host, who may then open /dev/stdout again.
func newStream(h *host, uid, gid uint32) (*stream, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	w, err := ownFD(fds[1], nil)
	if err != nil {
		_ = unix.Close(fds[0])
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	if !h.rootless {
		_ = unix.Fchown(w, int(h.outside(uid)), int(h.outside(gid)))
	}
	_ = unix.SetNonblock(fds[0], true)
	return &stream{r: os.NewFile(uintptr(fds[0]), "output"), w: w, done: make(chan struct{})}, nil
}

// closeWriter closes the platform's copy of the child's end.
func (s *stream) closeWriter() {
	if s.w >= 0 {
		_ = unix.Close(s.w)
		s.w = -1
	}
}

// copyTo passes whole lines on until nothing can write any more. It must run in a goroutine of its own.
func (s *stream) copyTo(w io.Writer) {
	defer close(s.done)
	defer s.r.Close()
	buf := make([]byte, streamBuffer)
	n := 0
	for {
		m, err := s.r.Read(buf[n:])
		n += m
		end := bytes.LastIndexByte(buf[:n], '\n') + 1
		if err != nil || end == 0 && n == len(buf) {
			end = n
		}
		if end > 0 {
			_, _ = w.Write(buf[:end]) // the log's trouble must not block or end the copy
			n = copy(buf, buf[end:n])
		}
		if err != nil {
			return
		}
	}
}

// finish waits until all output was passed on, after everything that could write has ended.
func (s *stream) finish() {
	_ = s.r.SetReadDeadline(time.Now().Add(afterlife))
	<-s.done
}

// abandon gives up a stream that was never read.
func (s *stream) abandon() {
	s.closeWriter()
	_ = s.r.Close()
}
