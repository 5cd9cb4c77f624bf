package lambda

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/openfunction/ofn/framework/shim/host"
)

// worker is one program with a runtime API of its own.
type worker struct {
	contract *Contract
	command  host.Command
	server   *http.Server
	asked    chan struct{} // closed when the program has asked for its first event

	closing chan struct{} // closed when the worker is to end
	ended   chan struct{} // closed when it has

	mu      sync.Mutex
	process *host.Process
	running map[string]*invocation
	polled  bool   // by the process that runs now
	unable  string // what that process told of its start
}

// newWorker serves the API on a port of loopback and starts the program.
func newWorker(c *Contract) (*worker, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serving the runtime API: %w", err)
	}
	vars := c.variables()
	vars["AWS_LAMBDA_RUNTIME_API"] = l.Addr().String()
	w := &worker{
		contract: c, command: host.Command{Args: c.command.Args, Env: c.env.Child(vars)}, asked: make(chan struct{}),
		closing: make(chan struct{}), ended: make(chan struct{}), running: map[string]*invocation{},
	}
	w.server = &http.Server{Handler: w.api(), ReadHeaderTimeout: time.Minute}
	if w.process, err = host.Start(w.command); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	go w.live(l)
	return w, nil
}

// live serves the API and starts the program again when it has ended, as long as it asks for events.
func (w *worker) live(l net.Listener) {
	defer close(w.ended)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = w.server.Serve(l) // ends with Close, and with the shim otherwise
	}()
	for w.again() {
	}
	_ = w.server.Close()
	<-served
}

// again waits for the end of the program and starts it anew. It is false when it is not to be started again.
func (w *worker) again() bool {
	select {
	case <-w.process.Done():
	case <-w.closing:
		return false
	}
	err := w.lost()
	select {
	case <-w.closing:
		return false
	default:
	}
	if err == nil {
		w.contract.failures.Log.Warn("the program ended and is started again", "program", w.process.Name(), "how", w.process.Ending())
		var p *host.Process
		if p, err = host.Start(w.command); err == nil {
			w.mu.Lock()
			w.process = p
			w.mu.Unlock()
			return true
		}
	}
	w.contract.failed <- err
	return false
}

// lost fails the calls of a program that ended. Its error is set when the program never asked for an event.
func (w *worker) lost() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	how := &exited{w.process.Ending()}
	for id, inv := range w.running {
		inv.settle(outcome{err: how})
		delete(w.running, id)
	}
	asked := w.polled
	w.polled = false
	switch {
	case asked:
		return nil
	case w.unable != "":
		return fmt.Errorf("%s could not start: %s", w.process.Name(), w.unable)
	}
	return fmt.Errorf("%s %s before it asked for an event", w.process.Name(), w.process.Ending())
}

// stop ends the program and the API.
func (w *worker) stop(grace time.Duration) {
	close(w.closing)
	<-w.ended
	w.mu.Lock()
	p := w.process
	w.mu.Unlock()
	p.Stop(grace)
	_ = w.lost()
}

// restart kills a program that is beyond its time.
func (w *worker) restart() {
	w.mu.Lock()
	p := w.process
	w.mu.Unlock()
	p.Kill()
}

// ask notes that the program asks for an event, and returns it.
func (w *worker) ask() *host.Process {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.polled = true
	select {
	case <-w.asked:
	default:
		close(w.asked)
	}
	return w.process
}

// take waits for an event of the function and makes it the worker's, for the process that asked.
func (w *worker) take(ctx context.Context, p *host.Process) (*invocation, bool) {
	select {
	case inv := <-w.contract.events:
		w.mu.Lock()
		defer w.mu.Unlock()
		select {
		case <-p.Done(): // lost has been here, or waits for the lock
			inv.settle(outcome{err: &exited{p.Ending()}})
			return nil, false
		default:
		}
		inv.worker.Store(w)
		w.running[inv.id] = inv
		return inv, true
	case <-ctx.Done():
	case <-w.closing:
	}
	return nil, false
}

// give ends the worker's concern with an invocation; nil when there is none of that id.
func (w *worker) give(id string) *invocation {
	w.mu.Lock()
	defer w.mu.Unlock()
	inv := w.running[id]
	delete(w.running, id)
	return inv
}
