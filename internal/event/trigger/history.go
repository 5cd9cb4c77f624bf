package trigger

import (
	"slices"
	"sync"
	"time"
)

// Latch is how long an input stays true after an event of it: OpenFunction's.
const Latch = time.Minute

// History remembers when inputs had events, so that it can say which of them were true when an event came: those that had one
// before it, no longer than Latch ago. Places and times are the bus's. What was true is therefore the same whenever, and however
// often, an event is handled. It may be used by many goroutines.
type History struct {
	mu      sync.Mutex
	marks   map[string][]mark // of an input, in order
	reached uint64
}

type mark struct {
	seq uint64
	at  time.Time
}

// NewHistory is a History that knows of nothing.
func NewHistory() *History { return &History{marks: map[string][]mark{}} }

// Add remembers an event, in order of their places, and which inputs it is of.
func (h *History) Add(seq uint64, at time.Time, inputs []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if seq <= h.reached {
		return
	}
	h.reached = seq
	for _, in := range inputs {
		h.marks[in] = append(h.marks[in], mark{seq, at})
	}
}

// Reached is the place of the last event that was added.
func (h *History) Reached() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reached
}

// At tells which inputs were true when the event at seq came.
func (h *History) At(seq uint64, at time.Time) func(input string) bool {
	return func(input string) bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		marks := h.marks[input]
		i, found := slices.BinarySearchFunc(marks, seq, func(m mark, seq uint64) int {
			switch {
			case m.seq < seq:
				return -1
			case m.seq > seq:
				return 1
			}
			return 0
		})
		if found {
			return true
		}
		return i > 0 && at.Sub(marks[i-1].at) < Latch
	}
}

// Forget drops what no event at or after a time needs to know.
func (h *History) Forget(before time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	limit := before.Add(-Latch)
	for in, marks := range h.marks {
		i := 0
		for i < len(marks) && !marks[i].at.After(limit) {
			i++
		}
		h.marks[in] = slices.Clone(marks[i:])
	}
}

// Len is how many events are remembered.
func (h *History) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, marks := range h.marks {
		n += len(marks)
	}
	return n
}
