package source

import (
	"context"
	"sync"

	"github.com/openfunction/ofn/internal/event/cloudevent"
)

// Window emits several events of one stream at once and acknowledges them in the order of the stream: for brokers that keep a
// place rather than single acknowledgements. Events of one partition key are emitted one after the other.
type Window struct {
	ctx   context.Context
	emit  Emit
	slots chan struct{}
	queue chan *passing
	done  sync.WaitGroup

	mu   sync.Mutex
	last map[string]chan struct{} // by key: closed when the newest event of it was emitted
	err  error
}

type passing struct {
	key     string
	emitted chan struct{}
	err     error
	ack     func()
}

// NewWindow lets at most n events be under way. Close must be called.
func NewWindow(ctx context.Context, n int, emit Emit) *Window {
	w := &Window{ctx: ctx, emit: emit, slots: make(chan struct{}, n), queue: make(chan *passing, n), last: map[string]chan struct{}{}}
	w.done.Add(1)
	go w.acknowledge()
	return w
}

// Add waits for room and emits e; ack is called when e and all that were added before it are safe. The error says that the window
// has ended: e was not taken. One goroutine at a time may add.
func (w *Window) Add(e cloudevent.Event, ack func()) error {
	select {
	case w.slots <- struct{}{}:
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	}
	if err := w.failed(); err != nil {
		<-w.slots
		return err
	}
	p := &passing{key: e.Extension(cloudevent.PartitionKey), emitted: make(chan struct{}), ack: ack}
	before := w.follow(p)
	w.queue <- p
	go func() { // ends with its emit; acknowledge waits for it
		defer close(p.emitted)
		if before != nil {
			<-before
		}
		if p.err = w.failed(); p.err == nil {
			p.err = w.emit(w.ctx, e)
		}
		if p.err != nil {
			w.fail(p.err)
		}
	}()
	return nil
}

func (w *Window) follow(p *passing) chan struct{} {
	if p.key == "" {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.last[p.key]
	w.last[p.key] = p.emitted
	return before
}

func (w *Window) acknowledge() {
	defer w.done.Done()
	broken := false
	for p := range w.queue {
		<-p.emitted
		if p.key != "" {
			w.mu.Lock()
			if w.last[p.key] == p.emitted {
				delete(w.last, p.key)
			}
			w.mu.Unlock()
		}
		if broken = broken || p.err != nil; !broken {
			p.ack()
		}
		<-w.slots
	}
}

func (w *Window) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *Window) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

// Close waits for what is under way, and returns the first error of an emit.
func (w *Window) Close() error {
	close(w.queue)
	w.done.Wait()
	return w.failed()
}
