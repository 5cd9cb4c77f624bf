package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
)

// strainEvery is how often a copy that serves is looked at for limits that it met.
const strainEvery = 5 * time.Second

// watch is what is looked at while a copy serves. Without probes and limits it is nothing: no goroutine, no timer.
type watch struct {
	found  chan finding // nil without probes
	strain <-chan time.Time
	met    instance.Strain // what was told of
	end    func()
}

// finding is a change that a probe saw; err is nil when the copy is well again.
type finding struct {
	live bool // of the liveness probe
	err  error
}

// watch begins to look after a copy. end must be called.
func (r *replica) watch(inst instance.Instance) *watch {
	w := &watch{end: func() {}}
	var stopTick func()
	if _, ok := inst.(instance.Strained); ok && (r.spec.Limits.MemoryBytes > 0 || r.spec.Limits.PIDs > 0) {
		t := time.NewTicker(strainEvery)
		w.strain, w.end, stopTick = t.C, t.Stop, t.Stop
	}
	if r.follow == nil && r.liveness == nil {
		return w
	}
	w.found = make(chan finding)
	ctx, cancel := context.WithCancel(context.Background())
	var asking sync.WaitGroup
	tell := func(live bool) func(error) bool {
		return func(err error) bool {
			select {
			case w.found <- finding{live, err}:
				return true
			case <-ctx.Done():
				return false
			}
		}
	}
	if r.follow != nil {
		asking.Go(func() { r.follow.follow(ctx, inst, tell(false)) })
	}
	if r.liveness != nil {
		asking.Go(func() {
			if pause(ctx, inst, time.Until(r.born.Add(r.liveness.delay))) == nil {
				r.liveness.follow(ctx, inst, tell(true))
			}
		})
	}
	w.end = func() {
		cancel()
		asking.Wait()
		if stopTick != nil {
			stopTick()
		}
	}
	return w
}

// serve looks after a copy that became ready at began, until it has ended.
func (r *replica) serve(ctx context.Context, inst instance.Instance, began time.Time) {
	w := r.watch(inst)
	defer w.end()
	for {
		select {
		case <-inst.Done():
			return
		case <-r.retire:
			w.end()
			r.leave(ctx, inst)
			return
		case <-ctx.Done():
			w.end()
			r.leave(ctx, inst)
			return
		case <-w.strain:
			r.tellStrain(inst, w)
		case f := <-w.found:
			if f.live {
				w.end()
				r.renew(inst, time.Since(began), f.err)
				return
			}
			r.attend(f.err)
		}
	}
}

// attend keeps new requests from a copy while it is not ready.
func (r *replica) attend(err error) {
	id := r.spec.ID
	if err == nil {
		r.act.Resume(id)
		r.log.Info("a copy is ready again", "revision", r.rev.String(), "copy", id)
		r.events <- event{id: id}
		return
	}
	r.act.Suspend(id)
	f := &failure{reason: run.ReasonNotReady, message: fmt.Sprintf("copy %s does not pass its readiness probe and gets no new requests: %v", id, err)}
	r.log.Warn("a copy is not ready any more", "revision", r.rev.String(), "copy", id, "error", err)
	r.events <- event{id: id, unwell: f}
}

// renew ends a copy that does not live any more; its actor starts another one meanwhile.
func (r *replica) renew(inst instance.Instance, lasted time.Duration, err error) {
	r.act.Suspend(r.spec.ID)
	f := &failure{reason: run.ReasonNotLive, message: fmt.Sprintf("copy %s was ended and is replaced, because it does not pass its liveness probe: %v", r.spec.ID, err)}
	f.message += r.lastWords()
	r.say(fmt.Sprintf("this copy does not pass its liveness probe and is ended: %v", err))
	r.events <- event{id: r.spec.ID, ending: f, lasted: lasted}
	inst.Stop(r.graceOf(r.liveness))
	select {
	case <-inst.Done():
	case <-r.kill:
		inst.Stop(0)
		<-inst.Done()
	}
}

// graceOf is how long a copy that failed a probe may take to end.
func (r *replica) graceOf(p *prober) time.Duration {
	if p != nil && p.grace > 0 {
		return p.grace
	}
	return r.rev.Grace
}

// tellStrain tells of limits that a copy met and survived.
func (r *replica) tellStrain(inst instance.Instance, w *watch) {
	now := inst.(instance.Strained).Strain()
	before := w.met
	w.met = now
	if n := now.MemoryKills - before.MemoryKills; n > 0 {
		r.remark(run.ReasonProcessKilled, fmt.Sprintf("the kernel killed %d of the processes of copy %s, which goes on: they needed more memory than its limit of %d MiB; raise resources.limits.memory",
			n, r.spec.ID, r.spec.Limits.MemoryBytes>>20))
	}
	if n := now.ForksRefused - before.ForksRefused; n > 0 {
		r.remark(run.ReasonProcessForbidden, fmt.Sprintf("copy %s could %d times not start a process or thread: its limit is %d; raise resources.limits.pids",
			r.spec.ID, n, r.spec.Limits.PIDs))
	}
}

// remark tells of something that a copy survived.
func (r *replica) remark(reason, message string) {
	r.say(message)
	r.log.Warn("a copy met a limit", "revision", r.rev.String(), "message", message)
	r.events <- event{id: r.spec.ID, note: &failure{reason: reason, message: message}}
}

// say writes a line of the platform's own into the copy's log.
func (r *replica) say(what string) {
	_, _ = r.output.Write([]byte("ofn: " + what + "\n")) // a log that fails says so itself
}
