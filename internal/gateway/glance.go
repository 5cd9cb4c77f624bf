package gateway

import (
	"runtime"
	"sync/atomic"
	"time"
)

const (
	// glanceFor is how long an answer is looked for before the gateway sleeps until it comes. A function that does little answers
	// within it; to be woken takes the kernel about as long.
	glanceFor = 50 * time.Microsecond
	// glanceAgain is after how many exchanges with a copy that was slower it is tried again.
	glanceAgain = 64
)

// glance looks for the answer of a quick copy while nothing else waits: what it takes of a processor is then nobody's, and the
// answer need not wake anybody. With more than one exchange under way, and on a machine with one processor, it does nothing.
type glance struct{ waiting atomic.Int32 }

// before is called when a request was sent and nothing of its answer was read.
func (l *glance) before(u *upstream) {
	if l.waiting.Add(1) == 1 && u.patience == 0 && runtime.NumCPU() > 1 {
		if !u.sock.await(glanceFor, &l.waiting) {
			u.patience = glanceAgain
		}
	} else if u.patience > 0 {
		u.patience--
	}
	l.waiting.Add(-1)
}
