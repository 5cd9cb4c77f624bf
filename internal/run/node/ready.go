package node

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
)

// A copy that is not ready is asked again after a pause that grows from the first to the last. A command costs a process
// each time.
const (
	firstPause   = 200 * time.Microsecond
	lastPause    = 20 * time.Millisecond
	commandPause = 250 * time.Millisecond
)

// What a probe does not say is as Kubernetes has it.
const (
	probePeriod   = 10 * time.Second
	probeTimeout  = time.Second
	probeFailures = 3
)

// errGone is what await returns for a copy that ended before it was ready.
var errGone = errors.New("the process ended before it was ready")

type dialer func(ctx context.Context) (net.Conn, error)

// prober puts one question to a copy until it is content, or for as long as the copy lives.
type prober struct {
	ask     question // nil: always content
	delay   time.Duration
	period  time.Duration
	timeout time.Duration // of one question
	good    int           // answers in a row that make a copy well
	bad     int           // answers in a row that make it unwell
	pause   time.Duration // the longest one before it is well
	grace   time.Duration // 0 is the revision's
}

// proberOf is a probe of the user with what it does not say; nil without one.
func proberOf(p *run.Probe, rev run.Revision) *prober {
	if p == nil {
		return nil
	}
	out := &prober{ask: questionOf(p, rev), delay: p.InitialDelay, period: p.Period, timeout: p.Timeout,
		good: max(1, p.SuccessThreshold), bad: p.FailureThreshold, pause: lastPause, grace: p.Grace}
	orElse(&out.period, probePeriod)
	orElse(&out.timeout, probeTimeout)
	orElse(&out.bad, probeFailures)
	if len(p.Exec) > 0 {
		out.pause = commandPause
	}
	return out
}

// patience is how long a copy may take to become well.
func (p *prober) patience() time.Duration {
	if p == nil {
		return 0
	}
	return p.delay + time.Duration(p.bad)*p.period
}

// readinessOf chooses how a copy shows that it is ready. A copy that was given its socket can be reached before it runs, so
// that the first one of a new revision must also answer: that it was executed proves nothing.
func readinessOf(rev run.Revision, activation, proven bool) prober {
	r := prober{ask: over(connects), timeout: probeTimeout, good: 1, pause: lastPause}
	said := rev.Container.Probe
	if said != nil {
		r = *proberOf(said, rev)
	}
	if said != nil && !connecting(said, rev) {
		return r
	}
	switch {
	case activation && proven:
		r.ask = nil
	case activation && rev.H2C:
		r.ask = over(speaks2)
	case activation:
		r.ask = over(speaks)
	}
	return r
}

// connecting is whether a probe only wants a connection to the serving port.
func connecting(p *run.Probe, rev run.Revision) bool {
	return len(p.Exec) == 0 && !p.GRPC && p.HTTPPath == "" && (p.Port == 0 || p.Port == rev.Port)
}

// await returns when the copy is well, with errGone when it ended, or with the last failure when ctx is over.
func (p *prober) await(ctx context.Context, inst instance.Instance) error {
	if p == nil || p.ask == nil {
		return nil
	}
	if err := pause(ctx, inst, p.delay); err != nil {
		return err
	}
	wait, good := min(firstPause, p.pause), 0
	var last error
	for {
		err := p.once(ctx, inst)
		switch {
		case err == nil:
			if good++; good >= p.good {
				return nil
			}
		case last != nil && ctx.Err() != nil: // it was cut off; the answer before says more
			err = last
		default:
			good = 0
		}
		last = err
		if gone := pause(ctx, inst, wait); gone != nil {
			if errors.Is(gone, errGone) || err == nil {
				return gone
			}
			return err
		}
		wait = min(2*wait, p.pause)
	}
}

// once asks once.
func (p *prober) once(ctx context.Context, inst instance.Instance) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	return p.ask(ctx, inst)
}

// follow asks a copy that is well once a period, until ctx or the copy ends, and tells each change: nil when it is well
// again, the last answer when it is unwell. A false of tell ends it.
func (p *prober) follow(ctx context.Context, inst instance.Instance, tell func(error) bool) {
	well, streak := true, 0
	for pause(ctx, inst, p.period) == nil {
		err := p.once(ctx, inst)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errNotAsked) {
			continue // as a kubelet does: it must not be the copy that suffers
		}
		if (err == nil) == well {
			streak = 0
			continue
		}
		streak++
		if err != nil && streak < p.bad || err == nil && streak < p.good {
			continue
		}
		well, streak = !well, 0
		if !tell(err) {
			return
		}
	}
}

// pause waits, unless the copy or ctx ends.
func pause(ctx context.Context, inst instance.Instance, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-inst.Done():
		return errGone
	case <-ctx.Done():
		return ctx.Err()
	}
}
