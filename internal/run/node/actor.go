package node

import (
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
)

// actor owns one revision. Others put in what is wanted and read the status; its goroutine, run, does everything else, and looks
// at everything anew each time it is woken.
type actor struct {
	node *Node
	key  run.Key
	act  *activator.Revision
	wake chan struct{} // holds one: more would say nothing new
	full atomic.Bool   // no copy can be added now, so that waiting requests need not wake anybody

	mu     sync.Mutex
	want   desired
	fresh  bool // want is not yet taken over
	ending bool
	forget bool // the revision is deleted, not only stopped
	status run.Status
	ready  map[string]instance.Instance // copies that are ready, for what they use
	later  *time.Timer                  // tells the watchers of new numbers; nil while they know
}

// numbersDelay is how long a change of numbers alone waits for others before it is told. Those whom it is told write it down, which
// would take a start's processor time away.
const numbersDelay = 250 * time.Millisecond

func newActor(n *Node, d desired) *actor {
	a := &actor{node: n, key: d.Key, wake: make(chan struct{}, 1), want: d, fresh: true, ready: map[string]instance.Instance{}}
	a.status = run.Status{Phase: run.Starting, Reason: "Starting"}
	if d.Proven {
		a.status = run.Status{Phase: run.Ready}
	}
	a.act = activator.New(a.options(d))
	return a
}

// options are the activator's part of what is wanted.
func (a *actor) options(d desired) activator.Options {
	return activator.Options{
		Namespace: d.Namespace, Name: d.Name, Function: d.Function,
		Concurrency: d.policy.Concurrency, Timeout: d.Timeout, H2C: d.H2C, Budget: a.node.opt.Budget,
		OnWait: a.waiting,
	}
}

// waiting is called for each request that begins to wait.
func (a *actor) waiting(int) {
	if !a.full.Load() {
		a.poke()
	}
}

// poke wakes the goroutine.
func (a *actor) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// apply puts in what is wanted.
func (a *actor) apply(d desired) {
	a.mu.Lock()
	if reflect.DeepEqual(a.want.Revision, d.Revision) {
		a.mu.Unlock()
		return
	}
	a.want, a.fresh = d, true
	a.mu.Unlock()
	a.poke()
}

// end asks for the end of all copies, and of the actor with the last of them.
func (a *actor) end(forget bool) {
	a.mu.Lock()
	a.ending, a.forget = true, a.forget || forget
	a.mu.Unlock()
	a.poke()
}

// taken returns what is wanted, once after each change, and whether the end is.
func (a *actor) taken() (d desired, fresh, ending bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fresh, a.fresh = a.fresh, false
	return a.want, fresh, a.ending
}

// report is the status now.
func (a *actor) report() run.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status
}

// publish sets the status and sees to it that the watchers are told when it is another: at once, or soon when only numbers changed.
func (a *actor) publish(s run.Status) {
	a.mu.Lock()
	changed, urgent := a.status != s, !sameButNumbers(a.status, s)
	a.status = s
	switch {
	case !changed || a.forget:
		urgent = false
	case urgent:
		a.hush()
	case a.later == nil:
		a.later = time.AfterFunc(numbersDelay, a.tellNumbers)
	}
	a.mu.Unlock()
	if urgent {
		a.node.notify(a.key)
	}
}

func sameButNumbers(a, b run.Status) bool {
	b.Desired, b.Ready, b.Starting, b.Backlog = a.Desired, a.Ready, a.Starting, a.Backlog
	return a == b
}

func (a *actor) tellNumbers() {
	a.mu.Lock()
	due := a.later != nil
	a.later = nil
	a.mu.Unlock()
	if due {
		a.node.notify(a.key)
	}
}

// hush takes back what was to be told later. It needs a.mu.
func (a *actor) hush() {
	if a.later != nil {
		a.later.Stop()
		a.later = nil
	}
}

// run is the actor's goroutine.
func (a *actor) run() {
	l := newLoop(a)
	l.run()
	a.act.Close()
	a.mu.Lock()
	forget := a.forget
	a.hush()
	a.mu.Unlock()
	if forget && a.node.actor(a.key) == nil { // not applied anew meanwhile
		a.node.opt.Logs.Forget(a.key, l.want.Function)
		a.node.opt.Metrics.Forget(a.key.String())
	}
}
