package cluster

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/internal/event"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/podstatus"
)

// How pods are asked: how often, how many at once, and how long one may take.
const (
	askEvery  = 15 * time.Second
	askAtOnce = 16
	askWait   = 3 * time.Second
)

// status is what is said of something: the cluster knows whether its pods are ready, and they know why not.
func (e *Engine) status(ref event.Ref, stands run.Status) event.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out event.Status
	if p := e.parts[ref]; p != nil {
		out = p.sum()
	} else {
		out.Lag = -1
	}
	switch trouble := out; {
	case stands.Ready > 0 && stands.Ready >= stands.Desired, stands.Desired == 0 && stands.Phase == run.Ready, stands.Reason == podstatus.ReasonScaledToZero:
		out.Ready, out.Reason, out.Message = true, "Ready", ""
		if stands.Desired == 0 {
			out.Message = "it has no copies until there is something to do"
		}
	case stands.Phase == run.Failed:
		out.Ready, out.Reason, out.Message = false, stands.Reason, stands.Message
	case trouble.Reason != "" && !trouble.Ready:
	case stands.Ready > 0:
		out.Ready, out.Reason, out.Message = true, "Ready", stands.Message
	default:
		out.Ready, out.Reason, out.Message = false, "Starting", starting(stands)
	}
	return out
}

func starting(s run.Status) string {
	if s.Message != "" {
		return s.Reason + ": " + s.Message
	}
	return "its pod is being started"
}

// sum is what the pods of a part say together; the first trouble counts.
func (p *part) sum() event.Status {
	out := event.Status{Ready: len(p.asked) > 0, Since: p.status.Since, Lag: -1}
	for _, r := range p.asked {
		s := r.Status
		out.Handled += s.Handled
		out.Failed += s.Failed
		out.DeadLetters += s.DeadLetters
		out.PerSecond += s.PerSecond
		out.Lag = max(out.Lag, s.Lag)
		if s.LastEvent.After(out.LastEvent) {
			out.LastEvent = s.LastEvent
		}
		if s.LastError != "" {
			out.LastError = s.LastError
		}
		if !s.Ready && out.Message == "" {
			out.Ready, out.Reason, out.Message = false, s.Reason, s.Message
		}
	}
	return out
}

// asking asks the pods of everything, now and then, and those of what changed at once, until ctx ends.
func (e *Engine) asking(ctx context.Context) {
	if e.o.Ask == nil {
		return
	}
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		var refs []event.Ref
		select {
		case <-ctx.Done():
			return
		case ref := <-e.kick:
			refs = append(refs, ref)
		case <-tick.C:
			refs = e.refs()
		}
		e.askAll(ctx, refs)
	}
}

func (e *Engine) askAll(ctx context.Context, refs []event.Ref) {
	var asking sync.WaitGroup
	room := make(chan struct{}, askAtOnce)
	for _, ref := range refs {
		if ref.Kind == event.KindBus {
			continue
		}
		room <- struct{}{}
		asking.Go(func() {
			defer func() { <-room }()
			if e.ask(ctx, ref) {
				e.watch.notify(ref)
			}
		})
	}
	asking.Wait()
}

// ask asks the pods of one part; it returns whether something is to be told at once.
func (e *Engine) ask(ctx context.Context, ref event.Ref) (news bool) {
	var pods corev1.PodList
	if err := e.o.Objects.List(ctx, &pods, client.MatchingLabels{LabelEvents: identity(ref)}); err != nil {
		return false // the cache answers once it has synced
	}
	said := map[string]Report{}
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.Status.PodIP == "" || p.Status.Phase != corev1.PodRunning || !p.DeletionTimestamp.IsZero() {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, askWait)
		reports, err := e.o.Ask(ctx, net.JoinHostPort(p.Status.PodIP, strconv.Itoa(PortMetrics)))
		cancel()
		if err != nil {
			e.o.Log.Debug("an event handler did not answer", "pod", p.Namespace+"/"+p.Name, "err", err)
			continue
		}
		for _, r := range reports {
			if r.Ref == ref {
				r.Status.LastEvent = r.Status.LastEvent.UTC()
				said[p.Name] = r
			}
		}
	}
	return e.hear(ref, said)
}

// hear keeps what pods said. What they count is looked at by those who ask for the status now and then.
func (e *Engine) hear(ref event.Ref, said map[string]Report) (news bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.parts[ref]
	if p == nil {
		return false
	}
	before := p.sum()
	p.asked = said
	now := p.sum()
	p.status.Handled, p.status.Failed, p.status.DeadLetters, p.status.PerSecond = now.Handled, now.Failed, now.DeadLetters, now.PerSecond
	p.status.Lag, p.status.LastEvent, p.status.LastError = now.Lag, now.LastEvent, now.LastError
	return before.Ready != now.Ready || before.Reason != now.Reason || before.Message != now.Message
}

// remains is what a bus may still keep for a trigger that is gone.
type remains struct {
	id      string
	trigger event.Trigger
	on      event.Bus
	tries   int
}

// What is left of triggers is looked for: after a deletion, until it is done or was tried often enough; on every bus, now and then.
const (
	tidyEvery  = 20 * time.Second
	sweepEvery = time.Hour
	tidyTries  = 30
	tidyWait   = 30 * time.Second
)

// tidying removes what buses keep for triggers that are gone, until ctx ends.
func (e *Engine) tidying(ctx context.Context) {
	if e.o.Tidier == nil {
		return
	}
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	next := time.Now().Add(tidyEvery)
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			e.forget(ctx)
			if !now.Before(next) {
				e.sweep(ctx)
				next = now.Add(sweepEvery)
			}
		}
	}
}

// forget has buses forget triggers whose pods have ended.
func (e *Engine) forget(ctx context.Context) {
	e.mu.Lock()
	left := e.left
	e.left = nil
	e.mu.Unlock()
	var again []*remains
	for _, r := range left {
		var pods corev1.PodList
		err := e.o.Objects.List(ctx, &pods, client.MatchingLabels{LabelEvents: r.id})
		if err == nil && len(pods.Items) > 0 {
			again = append(again, r)
			continue
		}
		if e.alive(r) {
			continue
		}
		if err == nil {
			on, cancel := context.WithTimeout(ctx, tidyWait)
			err = e.o.Tidier.Forget(on, r.on, r.trigger)
			cancel()
		}
		if r.tries++; err != nil && r.tries < tidyTries {
			again = append(again, r)
		} else if err != nil {
			e.o.Log.Warn("a bus still keeps events for a trigger that was deleted", "trigger", r.trigger.String(), "bus", r.on.String(), "err", err)
		}
	}
	e.mu.Lock()
	e.left = append(e.left, again...)
	e.mu.Unlock()
}

// alive is whether a trigger was made again.
func (e *Engine) alive(r *remains) bool {
	_, known := e.Status(event.Ref{Kind: event.KindTrigger, Name: r.trigger.Name})
	return known
}

// sweep looks at all buses of the platform's own.
func (e *Engine) sweep(ctx context.Context) {
	e.mu.Lock()
	var own []event.Bus
	for _, r := range e.buses {
		if r.own {
			own = append(own, r.bus)
		}
	}
	e.mu.Unlock()
	for _, b := range own {
		on, cancel := context.WithTimeout(ctx, tidyWait)
		err := e.o.Tidier.Sweep(on, b, func(name event.Name) (bool, error) { return e.gone(on, name) })
		cancel()
		if err != nil && ctx.Err() == nil {
			e.o.Log.Warn("what a bus keeps for triggers that are gone could not be looked for", "bus", b.String(), "err", fmt.Errorf("it is tried again: %w", err))
		}
	}
}
