package node

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// image is the unpacked image of a revision, made when the revision is applied and kept, so that a cold start does nothing
// about images.
type image struct {
	root    Root
	daprd   string // the layer of daprd, where the revision wants one
	plan    plan
	have    bool
	busy    bool
	old     []func() // releases of images that stale copies may still use
	cancel  context.CancelFunc
	done    chan prepared
	said    atomic.Pointer[string] // how far the preparation is
	current int                    // counts changes of the image, so that what was begun for an earlier one is dropped
}

// prepared is the outcome of a preparation.
type prepared struct {
	root    Root
	daprd   string
	err     error
	current int
}

// outdate makes another preparation necessary.
func (i *image) outdate() {
	if i.have && i.root.Release != nil {
		i.old = append(i.old, i.root.Release)
	}
	i.root, i.daprd, i.plan, i.have = Root{}, "", plan{}, false
	i.current++
	if i.cancel != nil {
		i.cancel()
	}
}

// release gives everything back. No copy may be left.
func (i *image) release() {
	i.outdate()
	for _, f := range i.old {
		f()
	}
	i.old = nil
}

// prepare begins to make the image ready unless it is, or is under way, or waits after a failure.
func (l *loop) prepare() {
	i := &l.image
	if i.have || i.busy || !l.retryAt.IsZero() || l.gaveUp() && l.meter.waiting == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	i.busy, i.cancel = true, cancel
	l.say("preparing the image")
	go func(want desired, current int) { // ends with its send, which the loop waits for
		p := l.node.unpack(ctx, want, l.say)
		p.current = current
		i.done <- p
	}(l.want, i.current)
}

// say sets how far the preparation is. It may be called from any goroutine.
func (l *loop) say(message string) {
	l.image.said.Store(&message)
	l.poke()
}

// unpack makes ready what copies of a revision are made of.
func (n *Node) unpack(ctx context.Context, want desired, say func(string)) (p prepared) {
	if p.err = n.prepares.Acquire(ctx, 1); p.err != nil {
		return p
	}
	p.root, p.err = n.opt.Images.Root(ctx, want.Image, want.PullSecret)
	n.prepares.Release(1)
	switch {
	case p.err != nil:
		p.err = &unprepared{"ImagePullFailed", fmt.Errorf("preparing image %s: %w", want.Image, p.err)}
	case want.Sidecar != nil: // it may take minutes, and takes no other's place meanwhile
		if p.daprd, p.err = n.opt.Sidecars.Program(ctx, say); p.err != nil {
			p.err = &unprepared{"SidecarFailed", fmt.Errorf("preparing the daprd that runs beside copies: %w", p.err)}
		}
	}
	return p
}

// unprepared is why something could not be made ready. An error within may know a better reason.
type unprepared struct {
	reason string
	error
}

func (u *unprepared) Unwrap() error { return u.error }

// unpacked takes in the outcome of a preparation.
func (l *loop) unpacked(p prepared) {
	i := &l.image
	i.cancel()
	i.busy, i.cancel = false, nil
	outdated := l.ending || p.current != i.current
	var f *failure
	if p.err != nil {
		f = &failure{reason: reasonOf(p.err, "PrepareFailed"), message: p.err.Error(), final: true}
		if u, ok := errors.AsType[*unprepared](p.err); ok {
			f.reason = reasonOf(p.err, u.reason)
		}
	} else if i.plan, p.err = planFor(l.want.Revision, p.root); p.err != nil {
		f = &failure{reason: "InvalidContainer", message: p.err.Error(), final: true}
	}
	switch {
	case outdated || f != nil:
		if p.root.Release != nil {
			p.root.Release()
		}
		if !outdated {
			l.failed(f, 0)
		}
	default:
		i.root, i.daprd, i.have = p.root, p.daprd, true
		l.failing = nil
		if l.want.policy.Initial == 0 {
			l.proven = true
		}
	}
}
