package jetstream

import (
	"slices"
	"time"
)

// lane is the events of one key, in order.
type lane struct {
	waiting []*item   // in order
	away    []uint64  // sequences that the server keeps for a while, to deliver again; in order. What follows one waits for it
	until   time.Time // when those should have come
	busy    bool      // one is with a handler
}

// add keeps the lane in order: what comes again came before the others.
func (l *lane) add(it *item) {
	l.back(it.seq)
	at, _ := slices.BinarySearchFunc(l.waiting, it.seq, func(w *item, seq uint64) int {
		switch {
		case w.seq < seq:
			return -1
		case w.seq > seq:
			return 1
		}
		return 0
	})
	l.waiting = slices.Insert(l.waiting, at, it)
}

// leave notes that an event will come again, by a time.
func (l *lane) leave(seq uint64, by time.Time) {
	if at, found := slices.BinarySearch(l.away, seq); !found {
		l.away = slices.Insert(l.away, at, seq)
	}
	if by.After(l.until) {
		l.until = by
	}
}

// back notes that an event is away no more, and tells whether it was.
func (l *lane) back(seq uint64) bool {
	at, found := slices.BinarySearch(l.away, seq)
	if found {
		l.away = slices.Delete(l.away, at, at+1)
	}
	return found
}

// next takes the event whose turn it is, if there is one.
func (l *lane) next() *item {
	if l.busy || len(l.waiting) == 0 || len(l.away) > 0 && l.away[0] < l.waiting[0].seq {
		return nil
	}
	it := l.waiting[0]
	l.waiting, l.busy = l.waiting[1:], true
	return it
}

func (l *lane) empty() bool { return !l.busy && len(l.waiting) == 0 && len(l.away) == 0 }

// recent remembers the last events that were done, and when each came: a stream that was made anew counts from 1 again.
type recent struct {
	set  map[uint64]time.Time
	ring []uint64
	next int
}

func newRecent() recent {
	const remembered = 4096
	return recent{set: map[uint64]time.Time{}, ring: make([]uint64, remembered)}
}

func (r *recent) has(seq uint64, came time.Time) bool {
	at, ok := r.set[seq]
	return ok && at.Equal(came)
}

func (r *recent) add(seq uint64, came time.Time) {
	delete(r.set, r.ring[r.next])
	r.ring[r.next] = seq
	r.set[seq] = came
	r.next = (r.next + 1) % len(r.ring)
}
