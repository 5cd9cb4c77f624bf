package wasm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/wasm/wire"
)

// process is a worker process.
type process struct {
	in      instance.Instance
	client  *http.Client
	key     string
	cradles cradles

	mu     sync.Mutex
	loaded map[string]*loading // by digest
	alike  map[likeness]struct{}
	copies int
	idle   *time.Timer
}

// loading is a module on its way into a worker.
type loading struct {
	done chan struct{}
	err  error
}

// likeness is what decides whether a copy can be made.
type likeness struct {
	digest, share string
	memory        int64
}

// mostAlike bounds what is remembered of copies that could be made.
const mostAlike = 4096

// made is whether a copy like this one could be made in this worker.
func (p *process) made(l likeness) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.alike[l]
	return ok
}

// remember notes that a copy could be made.
func (p *process) remember(l likeness) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.alike) >= mostAlike {
		clear(p.alike)
	}
	p.alike[l] = struct{}{}
}

// has is whether the worker knows a module.
func (p *process) has(digest string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.loaded[digest]
	if l == nil {
		return false
	}
	select {
	case <-l.done:
		return l.err == nil
	default:
		return false
	}
}

// newProcess makes the driver's side of a worker that runs.
func newProcess(in instance.Instance, key string) *process {
	p := &process{in: in, key: key, loaded: map[string]*loading{}, alike: map[likeness]struct{}{}}
	p.client = &http.Client{Transport: &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx, wire.Control, true) },
		MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, DisableCompression: true,
	}}
	return p
}

// dial connects to the worker or one of its copies. It is quicker when that is sure to take the connection.
func (p *process) dial(ctx context.Context, id string, sure bool) (net.Conn, error) {
	c, err := p.in.Dial(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	err = wire.Hello(c, id, sure)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// do sends a request to the worker. Answers that are no success are errors.
func (p *process) do(ctx context.Context, method, path string, body []byte, header http.Header) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, method, "http://worker"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		q.Header[k] = v
	}
	resp, err := p.client.Do(q)
	if err != nil {
		return nil, p.explain(ctx, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, p.explain(ctx, err)
	}
	return nil, failed(said)
}

// explain tells of a worker that ended, and of a context that did. Without an error there is nothing to explain.
func (p *process) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case <-p.in.Done():
		return endedError{p.in.Exit()}
	case <-time.After(50 * time.Millisecond): // a worker that is killed closes its connections before its end is known
		return fmt.Errorf("talking to the worker: %w", err)
	}
}

// endedError says that a worker ended.
type endedError struct{ exit instance.Exit }

func (e endedError) Error() string {
	if e.exit.OutOfMemory {
		return "the worker process was killed because it ran out of memory"
	}
	return fmt.Sprintf("the worker process ended with code %d %s", e.exit.Code, e.exit.Signal)
}

// compile has a module compiled.
func (p *process) compile(ctx context.Context, code []byte) (compiled, error) {
	resp, err := p.do(ctx, http.MethodPost, wire.PathCompile, code, nil)
	if err != nil {
		return compiled{}, err
	}
	defer resp.Body.Close()
	var m compiled
	if err := json.Unmarshal([]byte(resp.Header.Get(wire.HeaderInfo)), &m.Compiled); err != nil {
		return compiled{}, fmt.Errorf("reading the worker's answer: %w", err)
	}
	if m.code, err = io.ReadAll(resp.Body); err != nil {
		return compiled{}, fmt.Errorf("reading the compiled module: %w", p.explain(ctx, err))
	}
	return m, nil
}

// load makes a module known to the worker, once. fetch gives it.
func (p *process) load(ctx context.Context, digest string, fetch func() ([]byte, compiled, error)) error {
	p.mu.Lock()
	l := p.loaded[digest]
	if l != nil {
		p.mu.Unlock()
		select {
		case <-l.done:
			if ctx.Err() == nil && (errors.Is(l.err, context.Canceled) || errors.Is(l.err, context.DeadlineExceeded)) {
				return p.load(ctx, digest, fetch) // the one who did it gave up
			}
			return l.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	l = &loading{done: make(chan struct{})}
	p.loaded[digest] = l
	p.mu.Unlock()
	l.err = p.put(ctx, digest, fetch)
	if l.err != nil {
		p.mu.Lock()
		delete(p.loaded, digest)
		p.mu.Unlock()
	}
	close(l.done)
	return l.err
}

func (p *process) put(ctx context.Context, digest string, fetch func() ([]byte, compiled, error)) error {
	code, m, err := fetch()
	if err != nil {
		return err
	}
	info, err := json.Marshal(m.Compiled)
	if err != nil {
		return err
	}
	h := http.Header{wire.HeaderInfo: {string(info)}, wire.HeaderLength: {strconv.Itoa(len(code))}}
	resp, err := p.do(ctx, http.MethodPut, wire.PathModules+digest, append(code, m.code...), h)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// logLines passes what a worker writes on to the operator.
type logLines struct{ log *slog.Logger }

func (l logLines) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		l.log.Warn("wasm worker", "output", string(bytes.TrimRight(line, "\n")))
	}
	return len(p), nil
}
