package guest

import (
	"fmt"
	"sync/atomic"
)

// Budget is the memory that the instances of one copy may have together.
type Budget struct {
	limit uint64
	used  atomic.Uint64
}

// addressable is what a 32-bit memory can have at most.
const addressable = 1 << 32

// NewBudget makes a budget of limit bytes; 0 is as much as can be addressed.
func NewBudget(limit int64) *Budget {
	if limit <= 0 || limit > addressable {
		limit = addressable
	}
	return &Budget{limit: uint64(limit)}
}

// Used is what is taken, in bytes.
func (b *Budget) Used() int64 { return int64(b.used.Load()) }

// Limit is what there is, in bytes.
func (b *Budget) Limit() int64 { return int64(b.limit) }

func (b *Budget) take(n uint64) bool {
	for {
		used := b.used.Load()
		if used+n > b.limit {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

func (b *Budget) give(n uint64) { b.used.Add(^(n - 1)) }

// TooLargeError says that a module needs more memory than it may have.
type TooLargeError struct{ Needs, Limit int64 }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the module needs %d KiB of memory to begin with, which is more than its limit of %d KiB: raise resources.limits.memory", e.Needs>>10, e.Limit>>10)
}
