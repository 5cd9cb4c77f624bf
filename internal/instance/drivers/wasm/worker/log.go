package worker

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// maxEarly is how much is kept of what a copy logs before its start is answered.
const maxEarly = 64 << 10

// copyLog passes what a copy writes on to the driver, as much as is allowed in each second.
type copyLog struct {
	limit int64

	mu      sync.Mutex
	out     http.ResponseWriter
	flush   *http.ResponseController
	early   []byte
	open    bool
	ended   bool
	second  time.Time
	written int64
	dropped int64
}

func newCopyLog(out http.ResponseWriter, limit int64) *copyLog {
	return &copyLog{out: out, limit: limit, flush: http.NewResponseController(out)}
}

// begin sends what was written so far.
func (l *copyLog) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = true
	_, _ = l.out.Write(l.early)
	_ = l.flush.Flush()
	l.early = nil
}

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
	l.put(p)
	return len(p), nil
}

func (l *copyLog) tellDropped() {
	if l.dropped > 0 {
		l.put(fmt.Appendf(nil, "[%d bytes of output were dropped: more than %d in a second]\n", l.dropped, l.limit))
		l.dropped = 0
	}
}

func (l *copyLog) put(p []byte) {
	if !l.open {
		l.early = append(l.early, p[:min(len(p), maxEarly-min(maxEarly, len(l.early)))]...)
		return
	}
	_, _ = l.out.Write(p)
	_ = l.flush.Flush()
}

// line writes a line of the platform's own.
func (l *copyLog) line(format string, args ...any) {
	_, _ = l.Write(fmt.Appendf(nil, format+"\n", args...))
}
