package node

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/instance"
	"golang.org/x/sync/semaphore"
)

// replica is the life of one copy: started, made ready, given to the activator, taken back, stopped. Its goroutine is the
// only one that does any of it; the actor asks by cancelling its context (end within the grace) or closing retire (end when idle).
type replica struct {
	rev                       desired
	spec                      instance.Spec
	act                       *activator.Revision
	startup, liveness, follow *prober // nil: none; follow is readiness once it was ready
	ready                     prober
	starts                    *semaphore.Weighted
	metrics                   Metrics
	dapr                      Dapr     // not nil where rev needs it
	sidecars                  Sidecars // the same
	daprd                     string   // the layer of daprd, where rev needs it
	log                       *slog.Logger
	output                    *tail
	retire                    chan struct{}
	kill                      <-chan struct{}
	events                    chan<- event

	inUse    func(instance.Instance, bool) // is told of a copy that is ready, and of its end
	finished bool                          // it completed before it was ready

	asked time.Time // when the actor wanted it
	born  time.Time // when it was executed
}

// event is what a replica tells its actor. With none of the others it says that the copy is ready.
type event struct {
	id     string
	gone   *outcome      // it has ended
	unwell *failure      // it goes on, but gets no requests until it is ready again
	ending *failure      // it was ready and is ended now for this; its successor is wanted at once
	lasted time.Duration // with ending
	note   *failure      // something that it survived
}

// outcome is how a replica ended.
type outcome struct {
	failed    *failure // nil when it was asked to end, or completed
	completed bool     // it ended by itself, its work done
	lasted    time.Duration
}

// run lives the whole life.
func (r *replica) run(ctx context.Context) {
	var beside companion
	if r.rev.Dapr && r.rev.Sidecar == nil {
		beside = companion{dapr: r.dapr, rev: r.rev.Revision, log: r.log}
		r.spec.Services = beside.services()
	}
	out := r.live(ctx)
	beside.end()
	r.output.to.Close()
	r.events <- event{id: r.spec.ID, gone: &out}
}

func (r *replica) live(ctx context.Context) outcome {
	inst, f := r.start(ctx)
	if inst == nil {
		return outcome{failed: f, completed: r.finished}
	}
	began := time.Now()
	r.inUse(inst, true)
	r.act.Add(inst)
	r.events <- event{id: r.spec.ID}
	r.serve(ctx, inst, began)
	r.act.Remove(r.spec.ID)
	r.inUse(inst, false)
	out := outcome{lasted: time.Since(began)}
	exit := inst.Exit()
	r.metrics.Exited(r.rev.String(), cause(exit))
	switch {
	case exit.Requested:
	case r.completes(exit):
		out.completed = true
	default:
		out.failed = r.crash(exit, "")
	}
	return out
}

// start returns a copy that is ready, or why there is none; neither when ctx ended first.
func (r *replica) start(ctx context.Context) (instance.Instance, *failure) {
	if err := r.starts.Acquire(ctx, 1); err != nil {
		return nil, nil
	}
	begun := time.Now()
	r.metrics.Started(r.rev.String())
	limited, cancel := context.WithTimeout(ctx, r.rev.StartTimeout+r.startup.patience()+r.joinPatience())
	defer cancel()
	inst, err := r.execute(limited)
	r.starts.Release(1)
	if err != nil {
		return nil, r.unstarted(ctx, limited, err)
	}
	r.born = time.Now()
	grace := min(r.rev.Grace, time.Second)
	var explain func(context.Context, instance.Instance, error) *failure
	if err = r.begun(limited, inst); err != nil {
		explain, grace = r.unbegun, min(grace, r.graceOf(r.startup))
	} else if err = r.ready.await(limited, inst); err != nil {
		explain = r.unready
	} else if explain, err = r.unjoined, r.join(limited, inst); err == nil {
		r.phases(inst, begun)
		return inst, nil
	}
	var f *failure
	gone := errors.Is(err, errGone)
	if !gone {
		f = explain(ctx, inst, err)
		inst.Stop(grace)
		<-inst.Done()
	}
	exit := inst.Exit()
	r.metrics.Exited(r.rev.String(), cause(exit))
	switch {
	case gone && r.completes(exit):
		r.finished = true
	case gone:
		f = r.crash(exit, " before it was ready")
	}
	return nil, f
}

// completes is whether an end that nobody asked for is the good end of a copy that runs to completion.
func (r *replica) completes(e instance.Exit) bool {
	return r.rev.batched() && e.Code == 0 && e.Signal == "" && !e.OutOfMemory
}

// phases tells how long the parts of a start took.
func (r *replica) phases(inst instance.Instance, begun time.Time) {
	rev, now := r.rev.String(), time.Now()
	r.metrics.Phase(rev, "queue", begun.Sub(r.asked))
	if t, ok := inst.(instance.Timed); ok {
		r.metrics.Phase(rev, "prepare", t.Timing().Prepare)
		r.metrics.Phase(rev, "sandbox", t.Timing().Sandbox)
	}
	r.metrics.Phase(rev, "runtime", now.Sub(r.born))
	r.metrics.Phase(rev, "ready", now.Sub(r.asked))
}

// leave ends a ready copy: no new request, then the wait for those inside, then the process. The wait has no bound but the
// requests' own while only retire was asked for.
func (r *replica) leave(ctx context.Context, inst instance.Instance) {
	draining, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.act.Drain(draining, r.spec.ID) // its only error is that of draining
	}()
	deadline, hurry := time.Time{}, ctx.Done()
	var limit <-chan time.Time
	for open := true; open; {
		select {
		case <-done:
			open = false
		case <-hurry:
			deadline, hurry = time.Now().Add(r.rev.Grace), nil
			t := time.NewTimer(r.rev.Grace)
			defer t.Stop()
			limit = t.C
		case <-limit:
			cancel()
		case <-inst.Done():
			cancel()
			open = false
		case <-r.kill:
			cancel()
			open = false
		}
	}
	<-done
	inst.Stop(r.graceLeft(deadline))
	select {
	case <-inst.Done():
	case <-r.kill:
		inst.Stop(0)
		<-inst.Done()
	}
}

// graceLeft is how long the process may take to end after its requests did: what they left of the grace, a quarter at least.
func (r *replica) graceLeft(deadline time.Time) time.Duration {
	if deadline.IsZero() {
		return r.rev.Grace
	}
	return max(time.Until(deadline), r.rev.Grace/4)
}

// cause is the metric's word for an exit.
func cause(e instance.Exit) string {
	switch {
	case e.OutOfMemory:
		return "out_of_memory"
	case e.Requested:
		return "stopped"
	case e.Signal == "killed":
		return "killed"
	}
	return "crashed"
}
