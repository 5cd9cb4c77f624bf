package activator

// waiter is a request in the queue. Exactly one value is sent on got.
type waiter struct {
	got        chan grant // buffered
	prev, next *waiter
	queued     bool
}

// grant is a slot of ep, or the reason why there will be none.
type grant struct {
	ep  *Endpoint
	err error
}

// queue is first in, first out, and anybody may leave it from the middle.
type queue struct {
	head, tail *waiter
	len        int
}

func (q *queue) push(w *waiter) {
	w.prev, w.queued = q.tail, true
	if q.tail == nil {
		q.head = w
	} else {
		q.tail.next = w
	}
	q.tail = w
	q.len++
}

// remove takes w out; it reports whether w was still waiting.
func (q *queue) remove(w *waiter) bool {
	if !w.queued {
		return false
	}
	if w.prev == nil {
		q.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next, w.queued = nil, nil, false
	q.len--
	return true
}
