package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
	"golang.org/x/sync/semaphore"
)

// replica is the life of one copy: started, made ready, given to the activator, taken back, stopped. Its goroutine is the
// only one that does any of it; the actor asks by cancelling its context (end within the grace) or closing retire (end when idle).
type replica struct {
	rev     desired
	spec    instance.Spec
	act     *activator.Revision
	ready   readiness
	starts  *semaphore.Weighted
	metrics Metrics
	output  *tail
	retire  chan struct{}
	kill    <-chan struct{}
	events  chan<- event

	asked time.Time // when the actor wanted it
}

// event is what a replica tells its actor: that it is ready, or that it is gone.
type event struct {
	id   string
	gone *outcome // nil: ready
}

// outcome is how a replica ended.
type outcome struct {
	failed *failure // nil when it was asked to end
	lasted time.Duration
}

// failure is why a revision, or one of its copies, does not run.
type failure struct {
	reason  string // CamelCase
	message string
	final   bool // another attempt right away would fail the same way
	served  bool // the copy was ready before
}

// Error is the message, for the caller of the function.
func (f *failure) Error() string { return f.message }

// run lives the whole life.
func (r *replica) run(ctx context.Context) {
	out := r.live(ctx)
	r.output.to.Close()
	r.events <- event{r.spec.ID, &out}
}

func (r *replica) live(ctx context.Context) outcome {
	inst, f := r.start(ctx)
	if inst == nil {
		return outcome{failed: f}
	}
	began := time.Now()
	r.act.Add(inst)
	r.events <- event{id: r.spec.ID}
	select {
	case <-inst.Done():
	case <-r.retire:
		r.leave(ctx, inst)
	case <-ctx.Done():
		r.leave(ctx, inst)
	}
	r.act.Remove(r.spec.ID)
	out := outcome{lasted: time.Since(began)}
	exit := inst.Exit()
	r.metrics.Exited(r.rev.String(), cause(exit))
	if !exit.Requested {
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
	limited, cancel := context.WithTimeout(ctx, r.rev.StartTimeout)
	defer cancel()
	inst, err := r.rev.driver.Start(limited, r.spec)
	r.starts.Release(1)
	if err != nil {
		return nil, r.unstarted(ctx, limited, err)
	}
	executed := time.Now()
	err = r.ready.await(limited, inst)
	if err == nil {
		r.phases(inst, begun, executed)
		return inst, nil
	}
	var f *failure
	gone := errors.Is(err, errGone)
	if !gone {
		f = r.unready(ctx, inst, err)
		inst.Stop(min(r.rev.Grace, time.Second))
		<-inst.Done()
	}
	exit := inst.Exit()
	r.metrics.Exited(r.rev.String(), cause(exit))
	if gone {
		f = r.crash(exit, " before it was ready")
	}
	return nil, f
}

// phases tells how long the parts of a start took.
func (r *replica) phases(inst instance.Instance, begun, executed time.Time) {
	rev, now := r.rev.String(), time.Now()
	r.metrics.Phase(rev, "queue", begun.Sub(r.asked))
	if t, ok := inst.(instance.Timed); ok {
		r.metrics.Phase(rev, "prepare", t.Timing().Prepare)
		r.metrics.Phase(rev, "sandbox", t.Timing().Sandbox)
	}
	r.metrics.Phase(rev, "runtime", now.Sub(executed))
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

// unstarted explains an error of the driver; nil when the start was called off.
func (r *replica) unstarted(ctx, limited context.Context, err error) *failure {
	switch {
	case ctx.Err() != nil:
		return nil
	case limited.Err() != nil:
		return &failure{reason: run.ReasonStartTimeout, message: fmt.Sprintf("the copy was not executed within %v: %v", r.rev.StartTimeout, err), final: true}
	}
	f := &failure{reason: reasonOf(err, "StartFailed"), message: fmt.Sprintf("starting a copy: %v", err), final: final(err)}
	if errors.Is(err, instance.ErrUnenforceable) {
		f.reason, f.final = "Unenforceable", true
	}
	return f
}

// reasoned errors name their reason in one word; what they say is not going to change by itself.
type reasoned interface {
	error
	Reason() string
}

func reasonOf(err error, otherwise string) string {
	if r, ok := errors.AsType[reasoned](err); ok {
		return r.Reason()
	}
	return otherwise
}

func final(err error) bool {
	_, ok := errors.AsType[reasoned](err)
	return ok
}

// listening is implemented by instances that can tell where their processes listen, such as "127.0.0.1:3000".
type listening interface{ Listening() ([]string, error) }

// unready explains a copy that runs and did not become ready in time; nil when the start was called off.
func (r *replica) unready(ctx context.Context, inst instance.Instance, err error) *failure {
	if ctx.Err() != nil {
		return nil
	}
	f := &failure{reason: run.ReasonNotReady, message: fmt.Sprintf("the copy was not ready after %v: %v", r.rev.StartTimeout, err), final: true}
	if r.rev.Container.Probe == nil && !r.spec.Listen.Activation {
		f.reason = run.ReasonNotListening
		f.message = fmt.Sprintf("nothing listens on port %d after %v", r.spec.Listen.Port, r.rev.StartTimeout)
		if l, ok := inst.(listening); ok {
			if where, err := l.Listening(); err == nil && len(where) > 0 {
				f.message += "; the process listens on " + strings.Join(where, ", ")
			} else if err == nil {
				f.message += "; the process listens nowhere"
			}
		}
		f.message += ": make it listen on the port in the environment variable PORT, or set the port of the function"
	}
	f.message += r.lastWords()
	return f
}

// crash explains an exit nobody asked for.
func (r *replica) crash(e instance.Exit, when string) *failure {
	f := &failure{reason: "ContainerCrashed"}
	switch {
	case e.OutOfMemory:
		f.reason = "OutOfMemory"
		f.message = fmt.Sprintf("the copy was killed%s: it needed more memory than its limit of %d MiB; raise resources.limits.memory", when, r.spec.Limits.MemoryBytes>>20)
	case e.Signal != "":
		f.message = fmt.Sprintf("the process was ended%s by signal %q", when, e.Signal)
	default:
		f.message = fmt.Sprintf("the process exited%s with code %d", when, e.Code)
	}
	f.message += r.lastWords()
	return f
}

// lastWords is the end of the copy's log, for a message.
func (r *replica) lastWords() string {
	if s := r.output.lines(); s != "" {
		return "; its last output:\n" + s
	}
	return "; it wrote nothing"
}

// asContainer is what of a revision makes its copies; two that are equal here may share copies.
func asContainer(r run.Revision) run.Revision {
	return run.Revision{Key: r.Key, Function: r.Function, Image: r.Image, Container: r.Container, RuntimeClass: r.RuntimeClass, Port: r.Port}
}
