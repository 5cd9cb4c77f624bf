// Package pods is a driver whose copies are pods of a cluster. It makes and deletes bare pods, because it must be the one who says
// which copy goes: a Deployment that is made smaller ends any of its pods, also one with requests inside.
//
// Copies outlive the process that made them: one that begins takes over the pods that are there, each when a copy of its
// revision is wanted, and deletes after a while what nobody wanted.
package pods

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/internal/instance"
)

// LabelRevision names on a pod the revision that it is a copy of.
const LabelRevision = "openfunction.io/serving"

// Options make a Driver. All but Warm and Unwanted are required.
type Options struct {
	// Client writes pods; what becomes of them is told by Seen and Gone.
	Client client.Client
	// Template finds what pods of a revision are made from; nil when there is no such revision (any more).
	Template func(ctx context.Context, namespace, revision string) (*corev1.PodTemplate, error)
	// Container is the name of the function's container.
	Container string
	Log       *slog.Logger
	// Warm gives copies without making pods; nil has none.
	Warm Warm
	// Unwanted is how long a pod that was found may wait until a copy of its revision is wanted: 2 min.
	Unwanted time.Duration
}

// Warm keeps pods that can become a copy of any revision.
type Warm interface {
	// Take makes one of them a copy; nil when there is none for this revision now. claim is called before the pod can be seen as
	// the revision's; from then on it is the caller's, whatever the error.
	Take(ctx context.Context, t *corev1.PodTemplate, s instance.Spec, claim func(name string)) (*corev1.Pod, error)
}

// Driver is an instance.Driver. Make it with New, tell it of pods with Seen and Gone, and end it with Close.
type Driver struct {
	opt     Options
	ctx     context.Context //nolint:containedctx // of what outlives the calls that began it; Close cancels it
	cancel  context.CancelFunc
	working sync.WaitGroup

	mu     sync.Mutex
	left   bool // Leave or Close was called
	closed bool
	copies map[types.NamespacedName]*Copy
}

var _ instance.Driver = (*Driver)(nil)

// New makes a driver that knows of no pod.
func New(o Options) *Driver {
	if o.Unwanted <= 0 {
		o.Unwanted = 2 * time.Minute
	}
	d := &Driver{opt: o, copies: map[types.NamespacedName]*Copy{}}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// Seen tells of a pod as it is now, that has LabelRevision.
func (d *Driver) Seen(p *corev1.Pod) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.copies[client.ObjectKeyFromObject(p)]
	if c == nil {
		if !p.DeletionTimestamp.IsZero() || d.closed {
			return
		}
		c = d.add(client.ObjectKeyFromObject(p), p.Labels[LabelRevision])
		c.found = time.Now()
	}
	c.seen(p)
}

// Gone tells that a pod is no more.
func (d *Driver) Gone(namespace, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.copies[types.NamespacedName{Namespace: namespace, Name: name}]; c != nil {
		c.gone()
	}
}

// add makes an entry. It needs d.mu.
func (d *Driver) add(key types.NamespacedName, revision string) *Copy {
	c := &Copy{driver: d, key: key, revision: revision, changed: make(chan struct{}), done: make(chan struct{}), away: make(chan struct{})}
	d.copies[key] = c
	return c
}

// Start implements instance.Driver. A pod that is there and nobody has goes before a warm one, and that before a new one. It returns when
// the copy has an address.
func (d *Driver) Start(ctx context.Context, s instance.Spec) (instance.Instance, error) {
	began := time.Now()
	t, err := d.opt.Template(ctx, s.Namespace, s.Revision)
	if err != nil {
		return nil, fmt.Errorf("finding what copies of %s are made from: %w", s.Revision, err)
	}
	if t == nil {
		return nil, fmt.Errorf("revision %s/%s is no more", s.Namespace, s.Revision)
	}
	c, err := d.found(s)
	if c == nil && err == nil && d.opt.Warm != nil {
		c, err = d.warm(ctx, t, s)
	}
	if c == nil && err == nil {
		c, err = d.create(ctx, t, s)
	}
	if err != nil {
		return nil, err
	}
	if err := c.await(ctx); err != nil {
		c.Stop(0)
		return nil, err
	}
	c.took = time.Since(began)
	return c, nil
}

// found takes over a pod of the revision that nobody has.
func (d *Driver) found(s instance.Spec) (*Copy, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, instance.ErrClosed
	}
	for _, c := range d.copies {
		if c.taken || c.key.Namespace != s.Namespace || c.revision != s.Revision {
			continue
		}
		if _, _, over := ended(c.pod, d.opt.Container); !over {
			c.take(s)
			return c, nil
		}
	}
	return nil, nil
}

// warm makes a pod that waits a copy. One that fails is not worth an error: a new pod will do.
func (d *Driver) warm(ctx context.Context, t *corev1.PodTemplate, s instance.Spec) (*Copy, error) {
	var c *Copy
	p, err := d.opt.Warm.Take(ctx, t, s, func(name string) {
		d.mu.Lock()
		defer d.mu.Unlock()
		c = d.add(types.NamespacedName{Namespace: s.Namespace, Name: name}, s.Revision)
		c.take(s)
	})
	if err != nil {
		d.opt.Log.Warn("a warm pod could not become a copy", "revision", s.Namespace+"/"+s.Revision, "err", err)
		if c != nil {
			c.Stop(0)
		}
		return nil, ctx.Err()
	}
	if p == nil {
		return nil, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c.seen(p)
	return c, nil
}

// create makes a pod.
func (d *Driver) create(ctx context.Context, t *corev1.PodTemplate, s instance.Spec) (*Copy, error) {
	p := podOf(t, s.ID)
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil, instance.ErrClosed
	}
	c := d.add(client.ObjectKeyFromObject(p), s.Revision) // before the pod, so that Seen finds it
	c.take(s)
	d.mu.Unlock()
	if err := d.opt.Client.Create(ctx, p); err != nil {
		c.Stop(0) // a pod may have come of it all the same
		return nil, refused(err)
	}
	return c, nil
}

// Clean implements instance.Driver. There is nothing to do: pods that are found are taken over.
func (d *Driver) Clean(context.Context) error { return nil }

// Sweep deletes pods that nobody wants, until ctx ends: the first after all revisions had the time to take over theirs.
func (d *Driver) Sweep(ctx context.Context) {
	t := time.NewTicker(d.opt.Unwanted)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			d.sweep(now)
		case <-ctx.Done():
			return
		}
	}
}

func (d *Driver) sweep(now time.Time) {
	d.mu.Lock()
	var old []*Copy
	for _, c := range d.copies {
		if !c.taken && now.Sub(c.found) >= d.opt.Unwanted {
			c.taken = true
			old = append(old, c)
		}
	}
	d.mu.Unlock()
	for _, c := range old {
		d.opt.Log.Info("deleting a pod that is not needed", "pod", c.key.String())
		c.Stop(0)
	}
}

// Leave lets every copy go on without this process: from now on a Stop ends nothing but the wait for it.
func (d *Driver) Leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = true
	for _, c := range d.copies {
		if c.stopping {
			c.finish(instance.Exit{Requested: true})
		}
	}
}

// Close implements instance.Driver in part: what was asked for is given up, and the pods go on.
func (d *Driver) Close() error {
	d.Leave()
	d.mu.Lock()
	d.closed = true
	for _, c := range d.copies {
		c.finish(instance.Exit{Requested: true})
	}
	d.mu.Unlock()
	d.cancel()
	d.working.Wait()
	return nil
}

// Pods are the names of the pods that are known of a revision.
func (d *Driver) Pods(namespace, revision string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for key, c := range d.copies {
		if key.Namespace == namespace && c.revision == revision && !c.ended {
			out = append(out, key.Name)
		}
	}
	slices.Sort(out)
	return out
}

// Restrictions implements instance.Restricted.
func (d *Driver) Restrictions() instance.Restrictions { return instance.Restrictions{NoExec: true} }

// errNoUsage is what copies say of what they use.
var errNoUsage = errors.New("what a pod uses is known to its node only")
