package wasm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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
	early     bool           // connections wait until it listens
	answer    *http.Response // to the start: what the copy logs, then how it ended
	end       context.CancelCauseFunc
	asked     time.Time
	timing    instance.Timing
	idle      time.Duration // how long its worker stays afterwards
	requested atomic.Bool
	done      chan struct{}
	exit      instance.Exit // written before done is closed
}

var (
	_ instance.Instance = (*Instance)(nil)
	_ instance.Timed    = (*Instance)(nil)
)

// live is the owner of a copy from its start to its end.
func (i *Instance) live() {
	defer close(i.done)
	defer i.driver.release(i.id)
	_, err := io.Copy(patient{i.log}, i.answer.Body)
	err = errors.Join(err, i.answer.Body.Close())
	i.exit = i.ended(err)
	i.end(nil)
	i.process.leave(i.idle)
}

// ended reads how the copy ended. When its worker did, so did the copy, of the same cause.
func (i *Instance) ended(err error) instance.Exit {
	e := instance.Exit{Code: -1, Signal: "killed", Requested: i.requested.Load(), At: time.Now()}
	var told wire.Exit
	if err == nil && json.Unmarshal([]byte(i.answer.Trailer.Get(wire.TrailerExit)), &told) == nil {
		e.Code, e.Signal, e.OutOfMemory = told.Code, told.Signal, told.OutOfMemory
		return e
	}
	var ended endedError
	if errors.As(i.process.explain(context.Background(), err), &ended) {
		e.OutOfMemory = ended.exit.OutOfMemory
		_, _ = fmt.Fprintf(i.log, "%v, and this copy with it\n", ended)
	}
	return e
}

// patient is a log whose trouble does not end a copy.
type patient struct{ io.Writer }

func (p patient) Write(b []byte) (int, error) {
	_, _ = p.Writer.Write(b)
	return len(b), nil
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
	go func() { // bounded by askTimeout
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		defer cancel()
		resp, err := i.process.do(ctx, http.MethodDelete, wire.PathCopies+i.id+"?grace="+max(0, grace).String(), nil, nil)
		if err != nil {
			i.end(err) // which ends the copy as well
			return
		}
		_ = resp.Body.Close()
	}()
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
