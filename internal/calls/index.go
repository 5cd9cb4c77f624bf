package calls

import (
	"container/heap"
	"context"
	"time"
)

// entry is what is in memory of a call.
type entry struct {
	id       string
	function Name
	method   string
	path     string
	state    State
	reason   string
	accepted time.Time
	ended    time.Time
	due      time.Time // of what is to be done next: an attempt, or word of the end
	attempts int
	status   int
	notice   bool // word of the end is owed
	key      string
	print    string // of the request, when it has a key

	requestSeq, recordSeq   uint64 // 0 is none
	requestSize, resultSize int
	held                    int64 // of its request, in memory

	lane   *lane
	at     int                     // in the lane's queue; -1 when it is not in one
	busy   bool                    // somebody is changing it
	stop   bool                    // it is to be cancelled by whoever is changing it
	free   chan struct{}           // closed when nobody is changing it any more; made by the first who waits
	cancel context.CancelCauseFunc // of the attempt under way
	done   chan struct{}           // closed at the end; made by the first who waits
}

// summary is what lists show.
func (e *entry) summary() Summary {
	return Summary{ID: e.id, Function: e.function, Method: e.method, Path: e.path, State: e.state, Reason: e.reason, Accepted: e.accepted,
		Ended: e.ended, Due: e.dueToTell(), Attempts: e.attempts, Status: e.status, NoticeOwed: e.notice}
}

func (e *entry) dueToTell() time.Time {
	if e.state == Scheduled || e.state == Retrying {
		return e.due
	}
	return time.Time{}
}

// waiter gives what is closed at the end of the call.
func (e *entry) waiter() <-chan struct{} {
	if e.done == nil {
		e.done = make(chan struct{})
		if e.state.Ended() {
			close(e.done)
		}
	}
	return e.done
}

// leave lets others change the call.
func (e *entry) leave() {
	e.busy = false
	if e.free != nil {
		close(e.free)
		e.free = nil
	}
}

// laneKey tells lanes apart: word of an end must not wait behind the calls of the function, nor they behind it.
type laneKey struct {
	function Name
	notice   bool
}

// lane is what one function has to do. Its entries are ordered by when they are due.
type lane struct {
	key     laneKey
	waiting queue
	running int
	at      int // in the ring
}

// index is the state of all calls, without I/O and without a clock. It is not safe for concurrent use.
type index struct {
	perLane int   // running at once
	most    int   // running at once, in all lanes
	atOnce  int64 // bytes of the requests of those

	calls   map[string]*entry
	keys    map[string]*entry // by function and idempotency key
	lanes   map[laneKey]*lane
	ring    []*lane
	turn    int // in the ring
	running int
	bytes   int64
}

func newIndex(perLane, most int, atOnce int64) *index {
	return &index{perLane: perLane, most: most, atOnce: atOnce, calls: map[string]*entry{}, keys: map[string]*entry{}, lanes: map[laneKey]*lane{}}
}

// add makes a call known.
func (x *index) add(e *entry) {
	e.at = -1
	x.calls[e.id] = e
	if other := x.keys[e.key]; e.key != "" && (other == nil || e.accepted.After(other.accepted)) {
		x.keys[e.key] = e
	}
}

// forget is add undone; e is in no queue.
func (x *index) forget(e *entry) {
	delete(x.calls, e.id)
	if x.keys[e.key] == e {
		delete(x.keys, e.key)
	}
}

// enqueue lets what is next for e begin at its due time.
func (x *index) enqueue(e *entry) {
	k := laneKey{e.function, e.state.Ended()}
	l := x.lanes[k]
	if l == nil {
		l = &lane{key: k, at: len(x.ring)}
		x.lanes[k] = l
		x.ring = append(x.ring, l)
	}
	e.lane = l
	heap.Push(&l.waiting, e)
}

// dequeue takes e out of its queue, if it is in one.
func (x *index) dequeue(e *entry) {
	if e.at < 0 {
		return
	}
	heap.Remove(&e.lane.waiting, e.at)
	x.tidy(e.lane)
	e.lane = nil
}

// next takes the entry that begins now, with a slot of its lane; nil when none can. Lanes take turns.
func (x *index) next(now time.Time) *entry {
	if x.running >= x.most {
		return nil
	}
	for i := range x.ring {
		l := x.ring[(x.turn+i)%len(x.ring)]
		if l.running >= x.perLane || len(l.waiting) == 0 || l.waiting[0].due.After(now) || !x.fits(l.waiting[0]) {
			continue
		}
		x.turn = (l.at + 1) % len(x.ring)
		l.running++
		x.running++
		e := heap.Pop(&l.waiting).(*entry)
		e.held = int64(e.requestSize)
		x.bytes += e.held
		return e
	}
	return nil
}

// fits tells whether the request of e may be in memory beside those under way. One alone always may.
func (x *index) fits(e *entry) bool {
	return x.running == 0 || x.bytes+int64(e.requestSize) <= x.atOnce
}

// release gives the slot of next back.
func (x *index) release(e *entry) {
	e.lane.running--
	x.running--
	x.bytes -= e.held
	x.tidy(e.lane)
	e.lane = nil
}

// earliest is when next should be asked again because of the time; zero when only a release or a new entry can change its answer.
func (x *index) earliest() (t time.Time) {
	if x.running >= x.most {
		return t
	}
	for _, l := range x.ring {
		if l.running < x.perLane && len(l.waiting) > 0 && x.fits(l.waiting[0]) && (t.IsZero() || l.waiting[0].due.Before(t)) {
			t = l.waiting[0].due
		}
	}
	return t
}

// tidy removes a lane that has nothing to do.
func (x *index) tidy(l *lane) {
	if l.running > 0 || len(l.waiting) > 0 {
		return
	}
	delete(x.lanes, l.key)
	last := len(x.ring) - 1
	x.ring[l.at] = x.ring[last]
	x.ring[l.at].at = l.at
	x.ring = x.ring[:last]
	if x.turn >= len(x.ring) {
		x.turn = 0
	}
}

// queue is a heap by due time, then by age.
type queue []*entry

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if !q[i].due.Equal(q[j].due) {
		return q[i].due.Before(q[j].due)
	}
	return q[i].requestSeq < q[j].requestSeq
}
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(v any) {
	e := v.(*entry)
	e.at = len(*q)
	*q = append(*q, e)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	old := *q
	last := len(old) - 1
	e := old[last]
	old[last] = nil
	*q = old[:last]
	e.at = -1
	return e
}
