package node

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/scale"
)

// asker opens the triggers. One that cannot be opened is one that always fails.
func (l *loop) asker() *asker {
	a := &asker{interval: l.backlog.lag.Policy().Polling, following: &l.backlog.following, out: l.backlog.polled, done: make(chan struct{})}
	for i, t := range l.want.Lag.Triggers {
		w := run.Watch{Key: l.key, Trigger: t, Index: i, Job: l.want.batched(), Composite: l.want.Lag.Modifiers != nil, Polling: a.interval, Copies: l.usage}
		poll, end, err := l.node.opt.Triggers.Open(w)
		if err != nil {
			poll = func(context.Context) scale.Reading { return scale.Reading{Trigger: w.Title(), Err: err} }
			end = func() {}
		}
		a.asked = append(a.asked, asked{poll: poll, end: end, cached: t.UseCachedMetrics})
	}
	return a
}

// asker asks triggers, all at once, at each polling interval, and those that may be asked in between whenever the number of copies is
// due to follow.
type asker struct {
	asked     []asked
	interval  time.Duration
	following *atomic.Bool
	out       chan<- polled
	done      chan struct{}

	last   []scale.Reading
	lastAt time.Time
}

type asked struct {
	poll   func(context.Context) scale.Reading
	end    func()
	cached bool
}

// Answers may take as long as the interval, but neither much less nor much more time than these.
const (
	leastPatience = 5 * time.Second
	mostPatience  = 30 * time.Second
	// recent is how old answers may be to serve for both purposes.
	recent = time.Second
)

// run asks until ctx ends.
func (a *asker) run(ctx context.Context) {
	defer close(a.done)
	defer func() {
		for _, t := range a.asked {
			t.end()
		}
	}()
	poll, sync := time.NewTimer(0), time.NewTicker(scale.LagSync)
	defer poll.Stop()
	defer sync.Stop()
	next, due := time.Now(), false // when the next poll is, and whether the number of copies is to follow with it
	for {
		p := polled{}
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
			next = time.Now().Add(a.interval)
			poll.Reset(a.interval)
			a.ask(ctx, false)
			p.poll, p.sync, due = true, due && a.following.Load(), false
		case now := <-sync.C:
			if due = next.Sub(now) < recent; due || !a.following.Load() {
				continue
			}
			if p.sync = true; time.Since(a.lastAt) > recent {
				a.ask(ctx, true)
			}
		}
		p.readings = a.last
		select {
		case a.out <- p:
		case <-ctx.Done():
			return
		}
	}
}

// ask asks all triggers, or those only that may be asked between polls.
func (a *asker) ask(ctx context.Context, between bool) {
	ctx, cancel := context.WithTimeout(ctx, min(max(a.interval, leastPatience), mostPatience))
	defer cancel()
	now := make([]scale.Reading, len(a.asked))
	var asking sync.WaitGroup
	for i, t := range a.asked {
		if between && t.cached && a.last != nil {
			now[i] = a.last[i]
			continue
		}
		asking.Go(func() { now[i] = t.poll(ctx) })
	}
	asking.Wait()
	a.last, a.lastAt = now, time.Now()
}

// inUse keeps what copies use at hand.
func (a *actor) inUse(inst instance.Instance, yes bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if yes {
		a.ready[inst.ID()] = inst
	} else {
		delete(a.ready, inst.ID())
	}
}

// usage is what the ready copies use. Those that cannot tell are left out.
func (a *actor) usage() []run.CopyUsage {
	a.mu.Lock()
	all := make([]instance.Instance, 0, len(a.ready))
	for _, inst := range a.ready {
		all = append(all, inst)
	}
	limits := a.want.Container
	a.mu.Unlock()
	var out []run.CopyUsage
	for _, inst := range all {
		if u, err := inst.Usage(); err == nil {
			out = append(out, run.CopyUsage{ID: inst.ID(), CPU: u.CPU, MemoryBytes: u.MemoryBytes, CPUMillis: limits.CPU, MemoryLimit: limits.Memory})
		}
	}
	return out
}
