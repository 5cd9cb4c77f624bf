package main

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"
)

// How often the operator looks at what it has resident, and by what share that must have grown for another release to be worth it.
const (
	settleEvery = 20 * time.Second
	settleGrown = 1.1
)

// settle lets go, until ctx ends, of memory that only the start of the operator needed, or the filling of its caches: what the collector has
// not given back yet, and parts of the program itself. It concerns the process and not one operator in it, and cannot be interrupted;
// on a busy machine it takes seconds, which nobody who stops should have to wait for within the time that an operator has for it.
func settle(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for settled := int64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		before := resident()
		if float64(before) <= settleGrown*float64(settled) {
			continue
		}
		began := time.Now()
		debug.FreeOSMemory()
		if err := unmapProgram(); err != nil {
			log.Debug("what only the start needed stays mapped", "err", err)
		}
		settled = resident()
		log.Debug("memory was let go of", "before", before, "after", settled, "took", time.Since(began))
	}
}
