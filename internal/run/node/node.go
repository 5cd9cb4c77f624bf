// Package node runs revisions on this machine: one actor for each revision starts, watches and ends its copies, as the
// activator's waiting requests and the scaler ask for.
package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/scale"
	"golang.org/x/sync/semaphore"
)

// Images makes images ready to run.
type Images interface {
	// Root pulls and unpacks an image, both only once; its errors may say why with a method Reason() string, a CamelCase word.
	Root(ctx context.Context, image string, auth *run.Credentials) (Root, error)
}

// Root is an unpacked image. Its layers stay where they are until Release is called.
type Root struct {
	Layers  []string // directories, lowest first
	Digest  string
	Config  Config
	Release func() // nil when there is nothing to give back
	// Activation is whether the program takes a listening socket as file descriptor 3.
	Activation bool
}

// Config is what an image says about its process.
type Config struct {
	Entrypoint, Cmd, Env []string
	WorkingDir, User     string
	ExposedPorts         []int
}

// Logs keeps the output of copies; copylog.Store is one.
type Logs interface {
	// Sink takes the output of one copy. Its Write does not block for long.
	Sink(rev run.Key, function, copy string) io.WriteCloser
	// Forget removes what was kept of a revision.
	Forget(rev run.Key, function string)
}

// Metrics is told what happens; telemetry.Metrics is one. rev is "namespace/name".
type Metrics interface {
	// Started is a start of a copy, successful or not.
	Started(rev string)
	// Phase is how long one phase of a start took: queue (waiting for other starts), prepare, sandbox, runtime (from execution
	// until it can be reached) and ready (all of them).
	Phase(rev, phase string, d time.Duration)
	// Exited is the end of a copy: stopped, crashed, out_of_memory or killed.
	Exited(rev, cause string)
	// Forget is the end of a revision.
	Forget(rev string)
}

// Dapr serves Dapr's runtime API to copies. Who connects to the listeners is a copy of that function.
type Dapr interface {
	// Serve serves until ctx ends, closes the listeners then, and returns nil.
	Serve(ctx context.Context, namespace, function string, grpc, http net.Listener) error
}

// Options make a Node. Drivers and Images are required.
type Options struct {
	Drivers map[string]instance.Driver // by runtime class; "" is the default one
	Images  Images
	Logs    Logs    // nil discards: they are kept elsewhere
	Metrics Metrics // nil counts nothing
	Dapr    Dapr    // nil: revisions that need it are refused
	// Sidecars is what runs beside copies that ask for it; nil: revisions that do are refused.
	Sidecars Sidecars
	Log      *slog.Logger
	Budget   *activator.Budget // shared by all revisions; nil is no limit
	// Triggers opens what revisions are scaled by beside requests; nil refuses revisions that have triggers.
	Triggers Triggers
	// Keep is whether no copy is ended now only because it is not needed, since no other could be made when it is; nil never is.
	Keep func() bool

	Timeout      time.Duration // of a request, where the revision says nothing: 300 s
	StartTimeout time.Duration // 30 s
	Grace        time.Duration // 30 s
	Starts       int           // starts at the same time: 4 for each core
	Prepares     int           // images prepared at the same time: 3
}

// Node is a run.Runner. Make it with New, end it with Close.
type Node struct {
	opt      Options
	starts   *semaphore.Weighted
	prepares *semaphore.Weighted
	kill     chan struct{} // closed when nothing may be waited for any more

	mu       sync.Mutex
	closed   bool
	actors   map[run.Key]*actor
	watchers map[*func(run.Key)]struct{}
	running  sync.WaitGroup // actors, deleted ones included
}

var _ run.Runner = (*Node)(nil)

// ErrClosed is returned by Apply after Close.
var ErrClosed = errors.New("the runner is closed")

// New makes a runner without revisions.
func New(o Options) (*Node, error) {
	if o.Images == nil || o.Drivers[""] == nil {
		return nil, errors.New("making a runner: it needs images and a driver of the default runtime class")
	}
	if o.Logs == nil {
		o.Logs = noLogs{}
	}
	if o.Metrics == nil {
		o.Metrics = noMetrics{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Keep == nil {
		o.Keep = func() bool { return false }
	}
	orElse(&o.Timeout, 300*time.Second)
	orElse(&o.StartTimeout, 30*time.Second)
	orElse(&o.Grace, 30*time.Second)
	orElse(&o.Starts, 4*runtime.NumCPU())
	orElse(&o.Prepares, 3)
	return &Node{
		opt:      o,
		starts:   semaphore.NewWeighted(int64(o.Starts)),
		prepares: semaphore.NewWeighted(int64(o.Prepares)),
		kill:     make(chan struct{}),
		actors:   map[run.Key]*actor{},
		watchers: map[*func(run.Key)]struct{}{},
	}, nil
}

// orElse sets what is not set.
func orElse[T int | time.Duration](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

// Apply implements run.Runner. The error says what of the revision cannot be, before anything was changed.
func (n *Node) Apply(_ context.Context, r run.Revision) error {
	d, err := n.desire(r)
	if err != nil {
		return fmt.Errorf("revision %s: %w", r.Key, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ErrClosed
	}
	if a := n.actors[r.Key]; a != nil {
		a.apply(d)
		return nil
	}
	a := newActor(n, d)
	n.actors[r.Key] = a
	n.running.Go(a.run)
	return nil
}

// desired is a revision with what was worked out of it.
type desired struct {
	run.Revision
	policy scale.Policy
	driver instance.Driver
	lag    *lagPolicy // nil without triggers
}

// desire checks a revision and fills in the platform's defaults.
func (n *Node) desire(r run.Revision) (desired, error) {
	p, err := scale.PolicyFrom(r.Annotations, r.MinScale, r.MaxScale, 0)
	if err != nil {
		return desired{}, err
	}
	driver := n.opt.Drivers[r.RuntimeClass]
	if driver == nil {
		known := slices.DeleteFunc(slices.Sorted(maps.Keys(n.opt.Drivers)), func(s string) bool { return s == "" })
		return desired{}, fmt.Errorf("runtime class %q is not known on this machine; known are the default one (leave it empty) and: %s",
			r.RuntimeClass, strings.Join(known, ", "))
	}
	if r.Port < 0 || r.Port > 65535 {
		return desired{}, fmt.Errorf("port %d is not a TCP port: choose one from 1 to 65535", r.Port)
	}
	if err := allowed(r, driver); err != nil {
		return desired{}, err
	}
	if err := n.checkDapr(r, driver); err != nil {
		return desired{}, err
	}
	orElse(&r.Timeout, n.opt.Timeout)
	orElse(&r.StartTimeout, n.opt.StartTimeout)
	orElse(&r.Grace, n.opt.Grace)
	lag, err := n.lagPolicyOf(r)
	if err != nil {
		return desired{}, err
	}
	return desired{r, p, driver, lag}, nil
}

// Delete implements run.Runner. It does not wait: requests inside copies may finish within the revision's grace, new ones are
// refused at once, and Status knows the key no more.
func (n *Node) Delete(_ context.Context, k run.Key) error {
	n.mu.Lock()
	a := n.actors[k]
	delete(n.actors, k)
	n.mu.Unlock()
	if a != nil {
		a.end(true)
		n.notify(k)
	}
	return nil
}

// Status implements run.Runner.
func (n *Node) Status(_ context.Context, k run.Key) (run.Status, bool) {
	if a := n.actor(k); a != nil {
		return a.report(), true
	}
	return run.Status{}, false
}

// Revision is where requests for a revision go; nil when it was never applied or is deleted. It stays the same until Delete.
func (n *Node) Revision(k run.Key) *activator.Revision {
	if a := n.actor(k); a != nil {
		return a.act
	}
	return nil
}

// Keys are the revisions there are, in no order.
func (n *Node) Keys() []run.Key {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Keys(n.actors))
}

func (n *Node) actor(k run.Key) *actor {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.actors[k]
}

// Watch implements run.Runner. It returns at once; changed must not block.
func (n *Node) Watch(ctx context.Context, changed func(run.Key)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	w := &changed
	n.watchers[w] = struct{}{}
	context.AfterFunc(ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.watchers, w)
	})
}

// notify tells the watchers that the status of k changed.
func (n *Node) notify(k run.Key) {
	n.mu.Lock()
	all := slices.Collect(maps.Keys(n.watchers))
	n.mu.Unlock()
	for _, w := range all {
		(*w)(k)
	}
}

// Close ends every copy, each within the grace of its revision, and returns when nothing runs any more. When ctx ends first, the
// rest is killed and its error returned.
func (n *Node) Close(ctx context.Context) error {
	n.mu.Lock()
	first := !n.closed
	n.closed = true
	for _, a := range n.actors {
		a.end(false)
	}
	n.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.running.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	if first {
		close(n.kill)
	}
	<-done
	return fmt.Errorf("ending all copies: killed what was left: %w", ctx.Err())
}

type noLogs struct{}

func (noLogs) Sink(run.Key, string, string) io.WriteCloser { return noSink{} }
func (noLogs) Forget(run.Key, string)                      {}

type noSink struct{}

func (noSink) Write(p []byte) (int, error) { return len(p), nil }
func (noSink) Close() error                { return nil }

type noMetrics struct{}

func (noMetrics) Started(string)                      {}
func (noMetrics) Phase(string, string, time.Duration) {}
func (noMetrics) Exited(string, string)               {}
func (noMetrics) Forget(string)                       {}
