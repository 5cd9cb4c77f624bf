package wasm

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/wasm/wire"
)

const askTimeout = 5 * time.Second

// Instance is one running copy. It implements instance.Instance and instance.Timed.
type Instance struct {
	driver    *Driver
	id        string
	process   *process
	log       io.Writer
	early     bool // connections wait until it listens
	life      net.Conn
	from      *bufio.Reader // of life
	asked     time.Time
	timing    instance.Timing
	idle      time.Duration // how long its worker stays afterwards
	requested atomic.Bool
	done      chan struct{}
	exit      instance.Exit // written before done is closed

	mu    sync.Mutex
	first net.Conn // made together with the copy, for the first who dials; nil when it is taken
}

var (
	_ instance.Instance = (*Instance)(nil)
	_ instance.Timed    = (*Instance)(nil)
)

// start has the copy made in its worker. It returns when that is so, or, when the copy is sure to be made, as soon as it is asked for.
func (i *Instance) start(ctx context.Context, s wire.Start) error {
	stop := context.AfterFunc(ctx, func() { _ = i.life.SetDeadline(time.Unix(1, 0)) })
	err := i.ask(ctx, s)
	for made := s.Sure; err == nil && !made; {
		made, err = i.hear(ctx)
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = i.life.Close()
		i.untaken()
	}
	return err
}

// ask sends what the copy is to be.
func (i *Instance) ask(ctx context.Context, s wire.Start) error {
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if len(body) > wire.MaxFrame {
		return &Error{reasonTooLarge, fmt.Sprintf("the files of the function have %d bytes as they are told to its worker; at most %d are possible", len(body), wire.MaxFrame)}
	}
	return i.process.explain(ctx, wire.WriteFrame(i.life, wire.FrameStart, body))
}

// hear takes in what a worker says before the copy is made.
func (i *Instance) hear(ctx context.Context) (made bool, err error) {
	kind, body, err := wire.ReadFrame(i.from)
	switch {
	case err != nil:
		return false, i.process.explain(ctx, err)
	case kind == wire.FrameStarted:
		return true, nil
	case kind == wire.FrameLog:
		_, _ = i.log.Write(body)
		return false, nil
	case kind == wire.FrameFailed:
		return false, failed(body)
	}
	return false, fmt.Errorf("the worker said %q when a copy was to be made", kind)
}

// failed is the error that a worker told.
func failed(body []byte) error {
	var f wire.Failure
	if err := json.Unmarshal(body, &f); err != nil {
		return fmt.Errorf("reading the worker's answer: %w", err)
	}
	if f.Reason != "" {
		return &Error{f.Reason, f.Message}
	}
	return errors.New(f.Message)
}

// live is the owner of a copy from its start to its end.
func (i *Instance) live() {
	defer i.driver.running.Done() // after done: whoever closed the driver sees that all have ended
	defer close(i.done)
	defer i.driver.forget(i.id)
	i.exit = i.follow()
	_ = i.life.Close()
	i.untaken()
	i.process.leave(i.idle)
}

// follow passes on what the copy logs and returns how it ended. When its worker did, so did the copy, of the same cause.
func (i *Instance) follow() (e instance.Exit) {
	e = instance.Exit{Code: -1, Signal: "killed"}
	defer func() { e.Requested, e.At = i.requested.Load(), time.Now() }()
	for {
		kind, body, err := wire.ReadFrame(i.from)
		switch {
		case err != nil:
			if ended, ok := errors.AsType[endedError](i.process.explain(context.Background(), err)); ok {
				e.OutOfMemory = ended.exit.OutOfMemory
				i.say("%v, and this copy with it", ended)
			}
			return e
		case kind == wire.FrameLog:
			_, _ = i.log.Write(body) // its trouble does not end the copy
		case kind == wire.FrameFailed:
			i.say("the copy could not be made: %v", failed(body))
			return e
		case kind == wire.FrameExit:
			var told wire.Exit
			if err := json.Unmarshal(body, &told); err == nil {
				e.Code, e.Signal, e.OutOfMemory = told.Code, told.Signal, told.OutOfMemory
			}
			return e
		}
	}
}

// say writes a line of the platform's own into the copy's log.
func (i *Instance) say(format string, args ...any) {
	_, _ = fmt.Fprintf(i.log, format+"\n", args...)
}

// take gives the first connection to the first who asks.
func (i *Instance) take() net.Conn {
	i.mu.Lock()
	defer i.mu.Unlock()
	c := i.first
	i.first = nil
	return c
}

// untaken closes the first connection when nobody took it.
func (i *Instance) untaken() {
	if c := i.take(); c != nil {
		_ = c.Close()
	}
}

// ID implements instance.Instance.
func (i *Instance) ID() string { return i.id }

// Done implements instance.Instance.
func (i *Instance) Done() <-chan struct{} { return i.done }

// Exit implements instance.Instance.
func (i *Instance) Exit() instance.Exit { return i.exit }

// Timing implements instance.Timed: what it took to find a worker that has the module, and to make the copy in it.
func (i *Instance) Timing() instance.Timing { return i.timing }

// Dial implements instance.Instance.
func (i *Instance) Dial(ctx context.Context) (net.Conn, error) {
	select {
	case <-i.done:
		return nil, fmt.Errorf("instance %s has ended: %w", i.id, net.ErrClosed)
	default:
	}
	if c := i.take(); c != nil {
		if !broken(c) {
			return c, nil
		}
		_ = c.Close() // with the worker, whose end is not known yet
	}
	c, err := i.process.dial(ctx, i.id, i.early)
	if err != nil {
		return nil, fmt.Errorf("connecting to instance %s: %w", i.id, err)
	}
	return c, nil
}

// Stop implements instance.Instance. A module cannot be told to end: one that handles requests finishes those that it has, one
// that listens ends at once.
func (i *Instance) Stop(grace time.Duration) {
	i.requested.Store(true)
	select {
	case <-i.done:
		return
	default:
	}
	grace = max(0, grace)
	_ = i.life.SetWriteDeadline(time.Now().Add(askTimeout))
	if err := wire.WriteFrame(i.life, wire.FrameStop, binary.BigEndian.AppendUint64(nil, uint64(grace))); err != nil {
		_ = i.life.Close() // which ends the copy as well
	}
}

// Usage implements instance.Instance: the memory of its instances, and the time that they ran.
func (i *Instance) Usage() (instance.Usage, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	resp, err := i.process.do(ctx, http.MethodGet, wire.PathCopies+i.id, nil, nil)
	if err != nil {
		return instance.Usage{}, fmt.Errorf("reading what instance %s uses: %w", i.id, err)
	}
	defer resp.Body.Close()
	var u wire.Usage
	if err := json.NewDecoder(resp.Body).Decode(&u); err != nil {
		return instance.Usage{}, fmt.Errorf("reading what instance %s uses: %w", i.id, err)
	}
	return instance.Usage{MemoryBytes: u.Memory, CPU: u.CPU, PIDs: 1}, nil
}
