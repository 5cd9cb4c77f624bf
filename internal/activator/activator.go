package activator

import (
	"context"
	"errors"
	"net"
	"time"
)

// What Do returns when a request got no slot. ErrFailed is matched by every *FailedError.
var (
	ErrQueueFull = errors.New("too many requests are waiting for this revision")
	ErrTimeout   = errors.New("no copy of the revision had room in time")
	ErrClosed    = errors.New("the revision was removed")
	ErrFailed    = errors.New("the revision cannot start")
	ErrOverload  = errors.New("the platform has too many requests under way from this namespace")
)

// FailedError carries the reason given to Fail.
type FailedError struct{ Reason error }

// Error is the reason, in words for the caller of the function.
func (e *FailedError) Error() string { return ErrFailed.Error() + ": " + e.Reason.Error() }

// Is matches ErrFailed.
func (e *FailedError) Is(target error) bool { return target == ErrFailed }

// Unwrap gives the reason.
func (e *FailedError) Unwrap() error { return e.Reason }

// Target is one running copy as the activator sees it; instance.Instance satisfies it.
type Target interface {
	ID() string
	Dial(ctx context.Context) (net.Conn, error)
}

// Options steer one revision. They may be replaced at any time with Update.
type Options struct {
	Namespace   string // for fairness
	Name        string // revision
	Function    string
	Concurrency int           // hard limit of requests inside one target; 0 is unlimited
	QueueDepth  int           // requests that may wait; 0 is the default of 10000 unlimited, 10 times Concurrency otherwise (at least 100)
	Timeout     time.Duration // of one request including its wait; 0 is none
	H2C         bool          // speak HTTP/2 cleartext to targets
	// Budget is shared by all revisions of the gateway and keeps one namespace from taking everything. Nil is no limit.
	// It is fixed by New; Update ignores it.
	Budget *Budget
	// OnWait is called, never while a lock is held and never blocking for long, when a request has begun to wait because no
	// target has room. waiting is the number of requests now waiting. The runner starts copies on it: one per missing slot.
	OnWait func(waiting int)
	// OnStart is told once per request how long it waited for a slot, zero when it did not.
	OnStart func(waited time.Duration)
}

// depth is the bound of the queue.
func (o *Options) depth() int {
	switch {
	case o.QueueDepth > 0:
		return o.QueueDepth
	case o.Concurrency <= 0:
		return 10000
	default:
		return max(100, 10*o.Concurrency)
	}
}

// Stats is what a revision did since the previous call of Stats, for the scaler.
type Stats struct {
	InFlight       int     // now, inside targets
	Waiting        int     // now, in the queue
	AvgConcurrency float64 // time-weighted mean of InFlight+Waiting since the previous call
	Requests       int     // arrived since the previous call
	LastRequest    time.Time
}
