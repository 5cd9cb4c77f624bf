package wasm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/instance"
)

const (
	// workerUser is who a worker is inside its sandbox.
	workerUser = 65532
	// workerPIDs bounds the threads of a worker.
	workerPIDs = 1024
	// workerOverhead is what a worker needs beyond the copy that has it to itself, in bytes.
	workerOverhead = 192 << 20
)

// workers are the worker processes that run copies.
type workers struct {
	opt     Options
	layer   string // directory with the program
	program *program

	mu      sync.Mutex
	closed  bool
	live    map[string]*birth // by key
	running sync.WaitGroup    // watchers
}

// birth is a worker that runs or is being started.
type birth struct {
	done chan struct{} // closed when it runs, or cannot be started
	gone chan struct{} // closed when it has ended and another can be started
	p    *process
	err  error
}

// enlist returns the worker of a key, started when there is none, with one copy more. A key with a prefix of its own is never shared.
func (w *workers) enlist(ctx context.Context, key string, l instance.Limits) (*process, error) {
	for {
		b, err := w.find(key, l)
		if err != nil {
			return nil, err
		}
		select {
		case <-b.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if b.err != nil {
			return nil, b.err
		}
		select {
		case <-b.p.in.Done():
		default:
			if b.p.join() {
				return b.p, nil
			}
		}
		select { // it ends, or is about to
		case <-b.gone:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// has is whether the worker of a key runs and knows a module.
func (w *workers) has(key, digest string) bool {
	w.mu.Lock()
	b := w.live[key]
	w.mu.Unlock()
	if b == nil {
		return false
	}
	select {
	case <-b.done:
		return b.err == nil && b.p.has(digest)
	default:
		return false
	}
}

// find returns the birth of a key's worker and begins it when there is none.
func (w *workers) find(key string, l instance.Limits) (*birth, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, instance.ErrClosed
	}
	if b := w.live[key]; b != nil {
		return b, nil
	}
	b := &birth{done: make(chan struct{}), gone: make(chan struct{})}
	w.live[key] = b
	w.running.Go(func() { w.bear(key, l, b) })
	return b, nil
}

// bear starts a worker and stays until it ends.
func (w *workers) bear(key string, l instance.Limits, b *birth) {
	in, err := w.start(context.Background(), "wasm", l)
	if err != nil {
		b.err = err
	} else {
		b.p = newProcess(in, key)
	}
	if err == nil {
		w.mu.Lock()
		closed := w.closed
		w.mu.Unlock()
		if closed {
			in.Stop(0)
		}
		close(b.done)
		<-in.Done()
		b.p.cradles.close()
		b.p.client.CloseIdleConnections()
		if e := in.Exit(); !e.Requested {
			w.opt.Log.Error("a worker of WebAssembly functions ended with all copies in it", "of", key, "code", e.Code, "signal", e.Signal, "out_of_memory", e.OutOfMemory)
		}
	}
	w.mu.Lock()
	delete(w.live, key)
	w.mu.Unlock()
	close(b.gone)
	if err != nil {
		close(b.done)
	}
}

// start starts one worker process.
func (w *workers) start(ctx context.Context, name string, l instance.Limits) (instance.Instance, error) {
	if err := w.program.install(w.layer); err != nil {
		return nil, fmt.Errorf("preparing the worker process: %w", err)
	}
	if w.opt.UnlimitedWorkers {
		l = instance.Limits{}
	}
	in, err := w.opt.Host.Start(ctx, instance.Spec{
		ID:     name + "-" + strings.ToLower(rand.Text()[:12]),
		Layers: []string{w.layer},
		Process: instance.Process{
			Args: append([]string{"/" + programName}, w.opt.Args...), Env: []string{"PATH=/", "HOME=/tmp", "TMPDIR=/tmp"},
			UID: workerUser, GID: workerUser, ReadOnlyRoot: true,
		},
		Listen: instance.Listen{Port: 8080, Activation: true},
		Limits: l,
		Log:    logLines{w.opt.Log},
	})
	if err != nil {
		return nil, fmt.Errorf("starting a worker process: %w", err)
	}
	return in, nil
}

// join counts one copy more; false when the worker is about to end.
func (p *process) join() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.copies < 0 {
		return false
	}
	p.copies++
	if p.idle != nil {
		p.idle.Stop()
		p.idle = nil
	}
	return true
}

// leave counts one copy less, and ends a worker that has had none for a while.
func (p *process) leave(after time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.copies--; p.copies > 0 {
		return
	}
	p.idle = time.AfterFunc(after, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.copies == 0 {
			p.copies = -1
			p.in.Stop(0)
		}
	})
}

// compile has a module compiled in a process of its own, so that the trouble it makes is nobody else's.
func (w *workers) compile(ctx context.Context, code []byte) (m compiled, err error) {
	in, err := w.start(ctx, "wasmc", instance.Limits{MemoryBytes: w.opt.CompileMemory, PIDs: workerPIDs})
	if err != nil {
		return compiled{}, err
	}
	p := newProcess(in, "")
	defer func() {
		p.client.CloseIdleConnections()
		in.Stop(0)
		<-in.Done()
	}()
	m, err = p.compile(ctx, code)
	var ended endedError
	if errors.As(err, &ended) && ended.exit.OutOfMemory {
		err = &Error{reasonTooLarge, fmt.Sprintf("compiling the module takes more than %d MiB of memory: make it smaller", w.opt.CompileMemory>>20)}
	}
	return m, err
}

// close ends all.
func (w *workers) close() {
	w.mu.Lock()
	w.closed = true
	var all []*birth
	for _, b := range w.live {
		all = append(all, b)
	}
	w.mu.Unlock()
	for _, b := range all {
		<-b.done
		if b.p != nil {
			b.p.in.Stop(0)
		}
	}
	w.running.Wait()
}
