package activator

import (
	"sync"
	"sync/atomic"
)

// Budget bounds the requests under way in the whole gateway, waiting and running, and divides it between namespaces: a
// namespace may hold at most four times what is still free. One busy namespace alone thus reaches four fifths of the
// limit, two reach four ninths each, and there is always room for the first requests of a quiet one. Nothing already
// admitted is ever thrown out.
type Budget struct {
	limit int64
	total atomic.Int64

	mu     sync.Mutex
	shares map[string]*share
}

// share is what one namespace holds.
type share struct {
	held atomic.Int64
	refs int // revisions of the namespace, under Budget.mu
	name string
}

// greed is how many times the free room one namespace may hold.
const greed = 4

// NewBudget makes a budget of limit requests; a limit of zero or less is none at all.
func NewBudget(limit int) *Budget {
	return &Budget{limit: int64(limit), shares: map[string]*share{}}
}

// InUse is the number of requests admitted now.
func (b *Budget) InUse() int { return int(b.total.Load()) }

// join counts one more revision of the namespace.
func (b *Budget) join(namespace string) *share {
	if b == nil || b.limit <= 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.shares[namespace]
	if s == nil {
		s = &share{name: namespace}
		b.shares[namespace] = s
	}
	s.refs++
	return s
}

// leave undoes join.
func (b *Budget) leave(s *share) {
	if s == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.refs--; s.refs == 0 {
		delete(b.shares, s.name)
	}
}

// admit takes one place for the namespace, or none.
func (b *Budget) admit(s *share) bool {
	if s == nil {
		return true
	}
	total, held := b.total.Add(1), s.held.Add(1)
	if total <= b.limit && held <= max(1, greed*(b.limit-total+1)) {
		return true
	}
	b.giveBack(s)
	return false
}

// giveBack undoes admit.
func (b *Budget) giveBack(s *share) {
	if s != nil {
		s.held.Add(-1)
		b.total.Add(-1)
	}
}
