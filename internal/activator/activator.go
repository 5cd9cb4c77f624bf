package activator

import (
	"context"
	"net"
	"time"
)

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
	// OnWait is called, never while a lock is held and never blocking for long, when a request has begun to wait because no
	// target has room. waiting is the number of requests now waiting. The runner starts copies on it: one per missing slot.
	OnWait func(waiting int)
	// OnStart is told once per request how long it waited for a slot, zero when it did not.
	OnStart func(waited time.Duration)
}

// Stats is what a revision did since the previous call of Stats, for the scaler.
type Stats struct {
	InFlight       int     // now, inside targets
	Waiting        int     // now, in the queue
	AvgConcurrency float64 // time-weighted mean of InFlight+Waiting since the previous call
	Requests       int     // arrived since the previous call
	LastRequest    time.Time
}
