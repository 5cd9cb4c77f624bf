package node

import (
	"context"
	"fmt"

	"github.com/openfunction/ofn/internal/run"
)

// image is the unpacked image of a revision, made when the revision is applied and kept, so that a cold start does nothing
// about images.
type image struct {
	root    Root
	plan    plan
	have    bool
	busy    bool
	old     []func() // releases of images that stale copies may still use
	cancel  context.CancelFunc
	done    chan prepared
	current int // counts changes of the image, so that what was begun for an earlier one is dropped
}

// prepared is the outcome of a preparation.
type prepared struct {
	root    Root
	err     error
	current int
}

// outdate makes another preparation necessary.
func (i *image) outdate() {
	if i.have && i.root.Release != nil {
		i.old = append(i.old, i.root.Release)
	}
	i.root, i.plan, i.have = Root{}, plan{}, false
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
	go func(n *Node, name string, auth *run.Credentials, current int) { // ends with its send, which the loop waits for
		p := prepared{current: current}
		if p.err = n.prepares.Acquire(ctx, 1); p.err == nil {
			p.root, p.err = n.opt.Images.Root(ctx, name, auth)
			n.prepares.Release(1)
		}
		i.done <- p
	}(l.node, l.want.Image, l.want.PullSecret, i.current)
}

// unpacked takes in the outcome of a preparation.
func (l *loop) unpacked(p prepared) {
	i := &l.image
	i.cancel()
	i.busy, i.cancel = false, nil
	outdated := l.ending || p.current != i.current
	var f *failure
	if p.err != nil {
		f = &failure{reason: reasonOf(p.err, "ImagePullFailed"), message: fmt.Sprintf("preparing image %s: %v", l.want.Image, p.err), final: true}
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
		i.root, i.have = p.root, true
		l.failing = nil
		if l.want.policy.Initial == 0 {
			l.proven = true
		}
	}
}
