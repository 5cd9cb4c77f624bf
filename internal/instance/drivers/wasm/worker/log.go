package worker

import (
	"fmt"
	"sync"
	"time"
)

// copyLog passes what a copy writes on to the driver, as much as is allowed in each second.
type copyLog struct {
	limit int64

	mu      sync.Mutex
	out     func([]byte) // takes what is not too much
	ended   bool
	second  time.Time
	written int64
	dropped int64
}

func newCopyLog(out func([]byte), limit int64) *copyLog { return &copyLog{out: out, limit: limit} }

// end refuses more.
func (l *copyLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tellDropped()
	l.ended = true
}

// Write implements io.Writer. It never fails: the log's trouble is not the function's.
func (l *copyLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return len(p), nil
	}
	if now := time.Now(); now.Sub(l.second) >= time.Second {
		l.tellDropped()
		l.second, l.written = now, 0
	}
	if l.limit > 0 && l.written+int64(len(p)) > l.limit {
		l.dropped += int64(len(p))
		return len(p), nil
	}
	l.written += int64(len(p))
	l.out(p)
	return len(p), nil
}

func (l *copyLog) tellDropped() {
	if l.dropped > 0 {
		l.out(fmt.Appendf(nil, "[%d bytes of output were dropped: more than %d in a second]\n", l.dropped, l.limit))
		l.dropped = 0
	}
}

// line writes a line of the platform's own.
func (l *copyLog) line(format string, args ...any) {
	_, _ = l.Write(fmt.Appendf(nil, format+"\n", args...))
}
