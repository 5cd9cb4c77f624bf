package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/node"
)

// behaviour is what a fake copy does.
type behaviour struct {
	startErr   error
	startTakes time.Duration
	listens    time.Duration // after the start; negative is never
	lives      time.Duration // after the start; 0 is until it is stopped
	exit       instance.Exit // with lives
	output     string
	deaf       bool                    // it goes on until it is killed
	serve      func(net.Conn)          // nil closes the connection
	where      []string                // where it says it listens
	spec       func(s instance.Spec)   // is shown what was started
	sick       *atomic.Bool            // while it is set nothing is accepted and no command succeeds
	strain     func() instance.Strain  // nil: none
	early      func() (net.Conn, bool) // a connection before it listens, as an activation socket has
}

// fakeDriver makes copies that behave as told.
type fakeDriver struct {
	behave func(n int) behaviour // n counts starts from 1

	mu      sync.Mutex
	started int
	most    int // copies at the same time
	at      []time.Time
	live    map[string]*fakeCopy
}

func (d *fakeDriver) Start(ctx context.Context, s instance.Spec) (instance.Instance, error) {
	d.mu.Lock()
	d.started++
	b := behaviour{}
	if d.behave != nil {
		b = d.behave(d.started)
	}
	d.at = append(d.at, time.Now())
	d.mu.Unlock()
	if b.spec != nil {
		b.spec(s)
	}
	select {
	case <-time.After(b.startTakes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if b.startErr != nil {
		return nil, b.startErr
	}
	c := &fakeCopy{behaviour: b, id: s.ID, born: time.Now(), done: make(chan struct{}), driver: d}
	io.WriteString(s.Log, b.output)
	d.mu.Lock()
	if d.live == nil {
		d.live = map[string]*fakeCopy{}
	}
	d.live[s.ID] = c
	d.most = max(d.most, len(d.live))
	d.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.lives > 0 {
		c.timer = time.AfterFunc(b.lives, func() { c.end(b.exit) })
	}
	return c, nil
}

func (d *fakeDriver) Clean(context.Context) error { return nil }
func (d *fakeDriver) Close() error                { return nil }

func (d *fakeDriver) counts() (started, live, most int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.started, len(d.live), d.most
}

// any is one living copy.
func (d *fakeDriver) any() *fakeCopy {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.live {
		return c
	}
	return nil
}

// fakeCopy is one copy.
type fakeCopy struct {
	behaviour
	id     string
	born   time.Time
	driver *fakeDriver
	timer  *time.Timer

	mu      sync.Mutex
	stopped bool
	how     instance.Exit
	ended   bool
	done    chan struct{}
}

func (c *fakeCopy) ID() string            { return c.id }
func (c *fakeCopy) Done() <-chan struct{} { return c.done }

func (c *fakeCopy) Dial(context.Context) (net.Conn, error) {
	select {
	case <-c.done:
		return nil, errors.New("connection refused: it ended")
	default:
	}
	if c.listens < 0 || time.Since(c.born) < c.listens || c.sick != nil && c.sick.Load() {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	if c.serve != nil {
		go c.serve(there)
	} else {
		there.Close()
	}
	return here, nil
}

func (c *fakeCopy) Exit() instance.Exit {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.how
}

func (c *fakeCopy) Stop(grace time.Duration) {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	switch {
	case !c.deaf:
		c.end(instance.Exit{Signal: "terminated"})
	case grace == 0:
		c.end(instance.Exit{Code: -1, Signal: "killed"})
	default:
		time.AfterFunc(grace, func() { c.end(instance.Exit{Code: -1, Signal: "killed"}) })
	}
}

func (c *fakeCopy) DialPort(ctx context.Context, port int) (net.Conn, error) {
	if port != 9000 {
		return nil, fmt.Errorf("port %d: connection refused", port)
	}
	return c.Dial(ctx)
}

func (c *fakeCopy) Exec(_ context.Context, args []string, out io.Writer) (instance.Exit, error) {
	fmt.Fprintln(out, "asked", args[0])
	if args[0] == "impossible" {
		return instance.Exit{}, errors.New("no memory for another process")
	}
	if c.sick != nil && c.sick.Load() {
		return instance.Exit{Code: 9}, nil
	}
	return instance.Exit{}, nil
}

func (c *fakeCopy) Strain() instance.Strain {
	if c.strain == nil {
		return instance.Strain{}
	}
	return c.strain()
}

func (c *fakeCopy) Usage() (instance.Usage, error) { return instance.Usage{}, nil }
func (c *fakeCopy) Listening() ([]string, error)   { return c.where, nil }

func (c *fakeCopy) end(e instance.Exit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.ended = true
	e.Requested = c.stopped
	c.how = e
	if c.timer != nil {
		c.timer.Stop()
	}
	c.driver.mu.Lock()
	delete(c.driver.live, c.id)
	c.driver.mu.Unlock()
	close(c.done)
}

// fakeImages has every image, unless told otherwise.
type fakeImages struct {
	mu       sync.Mutex
	root     node.Root
	err      error
	asked    int
	released int
}

func (f *fakeImages) Root(_ context.Context, image string, _ *run.Credentials) (node.Root, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.err != nil {
		return node.Root{}, f.err
	}
	r := f.root
	r.Digest = "sha256:" + image
	if r.Config.Entrypoint == nil {
		r.Config.Entrypoint = []string{"/app"}
	}
	r.Release = func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.released++
	}
	return r, nil
}

// counts is how often an image was asked for and given back.
func (f *fakeImages) counts() (asked, released int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked, f.released
}

func (f *fakeImages) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// world is a node with fakes.
type world struct {
	t      *testing.T
	node   *node.Node
	driver *fakeDriver
	images *fakeImages
	keep   atomic.Bool // no copy is ended because it is not needed
}

func newWorld(t *testing.T, behave func(n int) behaviour) *world {
	t.Helper()
	w := &world{t: t, driver: &fakeDriver{behave: behave}, images: &fakeImages{}}
	n, err := node.New(node.Options{Drivers: map[string]instance.Driver{"": w.driver, "wasm": w.driver}, Images: w.images, Starts: 1000, Keep: w.keep.Load})
	if err != nil {
		t.Fatal(err)
	}
	w.node = n
	return w
}

// close ends the node; what is left then is a defect.
func (w *world) close() {
	w.t.Helper()
	if err := w.node.Close(context.Background()); err != nil {
		w.t.Error(err)
	}
	if _, live, _ := w.driver.counts(); live != 0 {
		w.t.Errorf("%d copies are left", live)
	}
}

const g = "autoscaling.knative.dev/"

var key = run.Key{Namespace: "ns", Name: "fn-1"}

// revision is one with pairs of annotations.
func revision(annotations ...string) run.Revision {
	r := run.Revision{Key: key, Function: "fn", Image: "img", Reachable: true, Annotations: map[string]string{}}
	for i := 0; i < len(annotations); i += 2 {
		r.Annotations[g+annotations[i]] = annotations[i+1]
	}
	return r
}

func (w *world) apply(r run.Revision) {
	w.t.Helper()
	if err := w.node.Apply(context.Background(), r); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) status() run.Status {
	w.t.Helper()
	s, ok := w.node.Status(context.Background(), key)
	if !ok {
		w.t.Fatal("the revision is not known")
	}
	return s
}

// expect checks the status, when nothing is under way.
func (w *world) expect(phase run.Phase, ready int, says ...string) {
	w.t.Helper()
	synctest.Wait()
	s := w.status()
	if s.Phase != phase || s.Ready != ready {
		w.t.Errorf("got %+v, want phase %s with %d ready", s, phase, ready)
	}
	for _, x := range says {
		if !strings.Contains(s.Reason+": "+s.Message, x) {
			w.t.Errorf("%s: %s\ndoes not say %q", s.Reason, s.Message, x)
		}
	}
}

// request holds a slot for some time.
func (w *world) request(takes time.Duration) error {
	r := w.node.Revision(key)
	if r == nil {
		return fmt.Errorf("no revision %s", key)
	}
	return do(r, takes)
}
