package deliver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
)

// errOpen is of attempts that were not made.
var errOpen = errors.New("the sink did not answer lately: it is left alone for a moment")

const (
	tripAfter   = 16              // attempts one after the other without an answer
	leaveAlone  = 2 * time.Second // then one attempt is let through
	maxCircuits = 4096
)

// circuits keep a sink that is down from being called by everybody who has an event for it. An attempt that is not made counts as
// one that failed: events age and end by their policy as if it had been made. Only what no function said counts as down:
// no answer at all, and what gateways answer for it.
type circuits struct {
	mu     sync.Mutex
	bySink map[string]*gobreaker.TwoStepCircuitBreaker[struct{}]
}

func (c *circuits) of(sink string) *gobreaker.TwoStepCircuitBreaker[struct{}] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.bySink[sink]; b != nil {
		return b
	}
	if c.bySink == nil || len(c.bySink) >= maxCircuits {
		c.bySink = map[string]*gobreaker.TwoStepCircuitBreaker[struct{}]{} // what is down trips anew
	}
	b := gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: sink, MaxRequests: 1, Timeout: leaveAlone,
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= tripAfter },
	})
	c.bySink[sink] = b
	return b
}

func (d *Deliverer) guarded(ctx context.Context, sink string, try func() Result) Result {
	done, err := d.circuits.of(sink).Allow()
	if err != nil {
		return Result{Err: fmt.Errorf("%s: %w", sink, errOpen), Retry: true}
	}
	r := try()
	switch {
	case ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		done(nil) // the caller ended it: nothing is known of the sink
	case down(r):
		done(r.Err)
	default:
		done(nil)
	}
	return r
}

func down(r Result) bool {
	switch r.Code {
	case 0:
		return r.Err != nil && r.Retry
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
