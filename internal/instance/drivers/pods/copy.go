package pods

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/internal/instance"
)

// Copy is a pod; once it is taken, an instance.Instance.
type Copy struct {
	driver   *Driver
	key      types.NamespacedName
	revision string
	took     time.Duration // set before the instance is given out

	// Guarded by driver.mu.
	id       string
	port     int
	log      io.Writer
	taken    bool
	found    time.Time // when it was, by a driver that had not made it
	pod      *corev1.Pod
	changed  chan struct{} // closed and made anew when pod changes
	stopping bool
	ended    bool
	exit     instance.Exit
	done     chan struct{}
	away     chan struct{} // closed when there is no pod
}

var (
	_ instance.Instance   = (*Copy)(nil)
	_ instance.PortDialer = (*Copy)(nil)
	_ instance.Timed      = (*Copy)(nil)
)

// take makes it an instance. It needs driver.mu.
func (c *Copy) take(s instance.Spec) {
	c.taken, c.id, c.port, c.log = true, s.ID, s.Listen.Port, s.Log
}

// seen takes in the pod as it is now. It needs driver.mu.
func (c *Copy) seen(p *corev1.Pod) {
	if c.ended {
		return
	}
	c.pod = p
	close(c.changed)
	c.changed = make(chan struct{})
	if !c.taken {
		return // its end is looked at when a copy is wanted
	}
	exit, words, over := ended(p, c.driver.opt.Container)
	if !over {
		return
	}
	if words != "" && c.log != nil {
		_, _ = io.WriteString(c.log, words) // a log that fails says so itself
	}
	deleting := !p.DeletionTimestamp.IsZero()
	if deleting && c.stopping {
		return // it is over when the pod is gone
	}
	exit.Requested = exit.Requested || c.stopping
	c.finish(exit)
	if !deleting {
		c.remove(0)
	}
}

// gone takes in that there is no pod. It needs driver.mu.
func (c *Copy) gone() {
	c.finish(instance.Exit{Requested: true})
	close(c.away)
	delete(c.driver.copies, c.key)
}

// finish ends the copy for those who have it. It needs driver.mu.
func (c *Copy) finish(e instance.Exit) {
	if c.ended {
		return
	}
	e.At = time.Now()
	c.ended, c.exit = true, e
	close(c.done)
	close(c.changed)
}

// await returns when the pod has an address, or has ended: how is in its Exit.
func (c *Copy) await(ctx context.Context) error {
	for {
		c.driver.mu.Lock()
		p, changed, over, exit := c.pod, c.changed, c.ended, c.exit
		c.driver.mu.Unlock()
		switch {
		case over && exit.Requested:
			return fmt.Errorf("pod %s was deleted before it had an address", c.key.Name)
		case over, p != nil && p.Status.PodIP != "":
			return exit.Cause
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for pod %s%s: %w", c.key.Name, sayings(p), ctx.Err())
		}
	}
}

// ID implements instance.Instance.
func (c *Copy) ID() string { return c.id }

// Dial implements instance.Instance.
func (c *Copy) Dial(ctx context.Context) (net.Conn, error) { return c.DialPort(ctx, c.port) }

// DialPort implements instance.PortDialer.
func (c *Copy) DialPort(ctx context.Context, port int) (net.Conn, error) {
	c.driver.mu.Lock()
	address := c.pod.Status.PodIP
	c.driver.mu.Unlock()
	if address == "" { // it ended before it had one; without, it would be this machine that is called
		return nil, fmt.Errorf("pod %s has no address", c.key.Name)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
}

// Done implements instance.Instance.
func (c *Copy) Done() <-chan struct{} { return c.done }

// Exit implements instance.Instance.
func (c *Copy) Exit() instance.Exit {
	c.driver.mu.Lock()
	defer c.driver.mu.Unlock()
	return c.exit
}

// Usage implements instance.Instance.
func (c *Copy) Usage() (instance.Usage, error) { return instance.Usage{}, errNoUsage }

// Timing implements instance.Timed.
func (c *Copy) Timing() instance.Timing { return instance.Timing{Sandbox: c.took} }

// Stop implements instance.Instance: it deletes the pod.
func (c *Copy) Stop(grace time.Duration) {
	c.driver.mu.Lock()
	defer c.driver.mu.Unlock()
	switch {
	case c.ended:
	case c.driver.left:
		c.finish(instance.Exit{Requested: true})
	default:
		c.stopping = true
		c.remove(grace)
	}
}

// Deleting is tried again after a while, longer each time, for as long as the driver is there and the pod is not gone.
const (
	firstAgain = 100 * time.Millisecond
	lastAgain  = 30 * time.Second
)

// remove has the pod deleted. It needs driver.mu.
func (c *Copy) remove(grace time.Duration) {
	d := c.driver
	if d.closed {
		return
	}
	d.working.Go(func() {
		b := backoff.NewExponentialBackOff()
		b.InitialInterval, b.MaxInterval = firstAgain, lastAgain
		_, err := backoff.Retry(d.ctx, func() (struct{}, error) { return struct{}{}, c.delete(grace) }, backoff.WithBackOff(b), backoff.WithMaxElapsedTime(0))
		if err != nil {
			d.opt.Log.Debug("whether a pod is gone is not known", "pod", c.key.String(), "err", err)
		}
	})
}

// delete asks for the end of the pod and waits for it, a little longer than it may take.
func (c *Copy) delete(grace time.Duration) error {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: c.key.Namespace, Name: c.key.Name}}
	seconds := int64(max(grace, time.Second) / time.Second) // 0 would take it from the API server while it may run
	err := c.driver.opt.Client.Delete(c.driver.ctx, p, client.GracePeriodSeconds(seconds))
	if apierrors.IsNotFound(err) {
		c.driver.Gone(c.key.Namespace, c.key.Name)
		return nil
	} else if err != nil {
		return err
	}
	t := time.NewTimer(grace + lastAgain)
	defer t.Stop()
	select {
	case <-c.away:
		return nil
	case <-c.driver.ctx.Done():
		return c.driver.ctx.Err()
	case <-t.C:
		return errStillThere
	}
}

var errStillThere = errors.New("it is still there")
