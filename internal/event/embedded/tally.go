package embedded

import (
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/event/deliver"
)

// tally counts attempts and dead letters where they belong, besides what the platform's metrics do.
type tally struct {
	engine *Engine
	next   deliver.Metrics
}

func (y *tally) task(ref event.Ref) *task {
	y.engine.mu.Lock()
	defer y.engine.mu.Unlock()
	return y.engine.tasks[ref]
}

// Attempt counts failures of sources; triggers count their own.
func (y *tally) Attempt(from event.Ref, sink, outcome string, took time.Duration, err error) {
	if err != nil && from.Kind == event.KindSource {
		if t := y.task(from); t != nil {
			t.count.failed(err)
		}
	}
	if y.next != nil {
		y.next.Attempt(from, sink, outcome, took, err)
	}
}

// DeadLetter counts what a source gave up.
func (y *tally) DeadLetter(from event.Ref) {
	if from.Kind == event.KindSource {
		if t := y.task(from); t != nil {
			t.count.dead()
		}
	}
	if y.next != nil {
		y.next.DeadLetter(from)
	}
}

// newTrace begins a trace where an event comes in without one: W3C traceparent, sampled.
func newTrace() string {
	var id [24]byte
	_, _ = rand.Read(id[:]) // never fails
	return "00-" + hex.EncodeToString(id[:16]) + "-" + hex.EncodeToString(id[16:]) + "-01"
}
