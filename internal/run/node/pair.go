package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/instance"
)

// whole is all that an instance can be.
type whole interface {
	instance.Instance
	instance.PortDialer
	instance.Executor
	instance.Listening
	instance.Strained
	instance.Timed
}

// pair is a copy of a function with the daprd in its network, as one instance. It is the function's copy in all but its life: when
// one of the two ends, so does the other, because a function without its daprd, or with one that knows none of its
// subscriptions, streams and actors, is no copy any more; a new pair begins anew, with the waits of all crashes between.
type pair struct {
	whole
	r       *replica
	res     Resources
	log     *chorus
	local   *local
	done    chan struct{}
	exit    instance.Exit // written before done is closed
	running sync.WaitGroup

	mu      sync.Mutex
	daprd   instance.Instance // nil: not yet
	stopped bool              // it was asked to end
	over    bool              // the function's copy has ended
	lost    *instance.Exit    // how daprd ended, when it was the first
}

// What the end of one is given after that of the other.
const afterOther = time.Second

func newPair(r *replica, res Resources) *pair {
	return &pair{r: r, res: res, log: &chorus{to: r.spec.Log}, done: make(chan struct{})}
}

// start starts the function's copy.
func (p *pair) start(ctx context.Context, s instance.Spec) error {
	p.local = newLocal(p.res.Local, s.Listen.Port, p.log.voice("ofn"))
	s.Log, s.Services = p.log, p.local.services()
	inst, err := p.r.rev.driver.Start(ctx, s)
	if err != nil {
		p.local.end()
		return err
	}
	w, ok := inst.(whole)
	if !ok {
		inst.Stop(0)
		<-inst.Done()
		p.local.end()
		return errors.New("copies of this runtime class cannot have a daprd beside them")
	}
	p.whole = w
	go p.live() // ends with the copy; see Done
	return nil
}

// launch starts daprd beside the copy.
func (p *pair) launch(ctx context.Context, protocol string) error {
	s := daprdSpec(p.r, p.res, protocol)
	voice := p.log.voice("daprd")
	s.Log = voice
	daprd, err := p.r.rev.driver.(instance.Sharer).StartBeside(ctx, s, p.whole)
	if err != nil {
		select {
		case <-p.whole.Done():
			return errGone
		default:
			return fmt.Errorf("starting daprd beside the copy: %w", err)
		}
	}
	p.mu.Lock()
	p.daprd = daprd
	over := p.over
	if !over {
		p.running.Go(func() { p.attend(daprd, voice) })
	}
	p.mu.Unlock()
	if over {
		daprd.Stop(0)
		<-daprd.Done()
		return errGone
	}
	return nil
}

func (p *pair) launched() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.daprd != nil
}

// attend waits for the end of daprd, and ends the function's copy when that was not to be.
func (p *pair) attend(daprd instance.Instance, voice *voice) {
	<-daprd.Done()
	voice.flush()
	exit := daprd.Exit()
	p.mu.Lock()
	first := !p.stopped && !p.over
	if first {
		p.lost = &exit
	}
	p.mu.Unlock()
	if !first {
		return
	}
	why := fmt.Sprintf("exit code %d", exit.Code)
	switch {
	case exit.OutOfMemory:
		why = "it needed more memory than its limit: raise it with the annotation dapr.io/sidecar-memory-limit"
	case exit.Signal != "":
		why = "signal " + exit.Signal
	}
	_, _ = io.WriteString(p.log.voice("ofn"), "daprd has ended ("+why+"), and this copy with it\n") // a log that fails has told so itself
	p.whole.Stop(afterOther)
}

// live ends the pair when the function's copy has ended.
func (p *pair) live() {
	<-p.whole.Done()
	p.mu.Lock()
	p.over = true
	daprd := p.daprd
	p.mu.Unlock()
	if daprd != nil {
		daprd.Stop(afterOther)
		<-daprd.Done()
	}
	p.running.Wait()
	p.local.end()
	p.exit = p.whole.Exit()
	if p.lost != nil {
		p.exit.Requested, p.exit.OutOfMemory, p.exit.Signal, p.exit.Code = false, false, "", max(1, p.lost.Code)
	}
	close(p.done)
}

// Stop implements instance.Instance. Daprd is the first to go: it takes no more events, those inside the function are finished, and
// no event comes to a function that is ending.
func (p *pair) Stop(grace time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	again := p.stopped
	p.stopped = true
	if p.daprd == nil || p.over || grace <= 0 || again {
		if p.daprd != nil {
			p.daprd.Stop(min(grace, afterOther))
		}
		p.whole.Stop(grace)
		return
	}
	daprd, deadline := p.daprd, time.Now().Add(grace)
	daprd.Stop(min(grace/2, longestFarewell+afterOther))
	p.running.Go(func() {
		<-daprd.Done()
		p.whole.Stop(max(time.Until(deadline), time.Millisecond))
	})
}

// Done implements instance.Instance.
func (p *pair) Done() <-chan struct{} { return p.done }

// Exit implements instance.Instance.
func (p *pair) Exit() instance.Exit { return p.exit }
