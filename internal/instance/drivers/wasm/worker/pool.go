package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/instance/drivers/wasm/guest"
)

const (
	// mostInstances is how many requests one copy handles at the same time. More wait.
	mostInstances = 128
	// restTime is how long an instance beyond the first rests before it is given back.
	restTime = 30 * time.Second
)

// pool has the instances of a copy: each handles one request at a time. Of a command it only counts them.
type pool struct {
	changed chan struct{} // there may be room for one that waits; holds one

	mu     sync.Mutex
	idle   []resting // the last used last
	total  int
	lent   bool // one is looked at for an instant, and comes back
	closed bool
}

type resting struct {
	*guest.Instance
	since time.Time
}

func newPool() *pool { return &pool{changed: make(chan struct{}, 1)} }

// take returns an instance, made by create when none rests and there may be another. It waits when there may not, until ctx ends.
func (p *pool) take(ctx context.Context, create func(context.Context) (*guest.Instance, error)) (*guest.Instance, error) {
	for {
		i, fresh, alone := p.try()
		if fresh {
			var err error
			i, err = create(ctx)
			switch {
			case err == nil:
				p.signal() // the next one that waits may make another
			case !errors.Is(err, guest.ErrNoRoom) || alone:
				p.drop()
				return nil, err
			default: // there is no more room than before, which need not be told, least of all to this one
				p.mu.Lock()
				p.total--
				p.mu.Unlock()
			}
		}
		if i != nil {
			return i, nil
		}
		select {
		case <-p.changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// try takes one that rests, or says that one may be made, and whether there is no other. While one is lent none is made: it is back before
// another would be there.
func (p *pool) try() (i *guest.Instance, fresh, alone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		i = p.idle[n-1].Instance
		p.idle = p.idle[:n-1]
		p.signal() // the next one that waits may find another, or make one
		return i, false, false
	}
	if p.lent || p.total >= mostInstances {
		return nil, false, false
	}
	p.total++
	return nil, true, p.total == 1
}

// look lends one that rests to f; false when none does. Requests wait for it meanwhile.
func (p *pool) look(f func(*guest.Instance)) bool {
	p.mu.Lock()
	n := len(p.idle)
	if n == 0 || p.lent {
		p.mu.Unlock()
		return false
	}
	i := p.idle[n-1].Instance
	p.idle = p.idle[:n-1]
	p.lent = true
	p.mu.Unlock()
	f(i)
	p.mu.Lock()
	p.lent = false
	kept := p.rest(i)
	p.mu.Unlock()
	if !kept {
		p.end(i)
	}
	return true
}

// enter waits until there may be another instance, which the caller makes and ends.
func (p *pool) enter(ctx context.Context) error {
	for {
		p.mu.Lock()
		if p.total < mostInstances {
			p.total++
			p.signal() // there may be room for the next one that waits, too
			p.mu.Unlock()
			return nil
		}
		p.mu.Unlock()
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
}

// wait returns when one ended.
func (p *pool) wait(ctx context.Context) error {
	select {
	case <-p.changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// alone is whether the caller's is the only instance.
func (p *pool) alone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total <= 1
}

// put takes one back to rest, or ends it when it is of no use any more.
func (p *pool) put(i *guest.Instance, good bool) {
	p.mu.Lock()
	kept := good && p.rest(i)
	p.mu.Unlock()
	if !kept {
		p.end(i)
	}
}

// rest is false when the pool is closed. The caller holds mu.
func (p *pool) rest(i *guest.Instance) bool {
	if p.closed {
		return false
	}
	p.idle = append(p.idle, resting{i, time.Now()})
	p.signal()
	return true
}

func (p *pool) end(i *guest.Instance) {
	i.Close()
	p.drop()
}

// drop counts one less.
func (p *pool) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total--
	p.signal()
}

func (p *pool) signal() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// tidy ends what rested for long, but the first.
func (p *pool) tidy() {
	p.mu.Lock()
	var old []resting
	for len(p.idle) > 1 && time.Since(p.idle[0].since) > restTime {
		old = append(old, p.idle[0])
		p.idle = p.idle[1:]
		p.total--
	}
	p.mu.Unlock()
	for _, i := range old {
		i.Close()
	}
}

// close ends all that rest, and those that come back. A nil pool has none.
func (p *pool) close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.closed = true
	all := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, i := range all {
		i.Close()
	}
}
