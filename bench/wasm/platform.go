//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/gateway"
	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/node"
)

// platform is the way of a request: gateway, activator, runner, driver.
type platform struct {
	node    *node.Node
	gateway *gateway.Gateway
	url     string
	client  *http.Client
	phases  *phases
	cancel  context.CancelFunc
	served  chan error
}

// layers are images: their names are directories.
type layers struct{}

// Root implements node.Images.
func (layers) Root(_ context.Context, image string, _ *run.Credentials) (node.Root, error) {
	return node.Root{Layers: []string{image}, Digest: image, Config: node.Config{Entrypoint: []string{"/app.wasm"}}, Activation: true}, nil
}

func newPlatform(ctx context.Context, d instance.Driver) (*platform, error) {
	ps := &phases{of: map[string][]time.Duration{}}
	n, err := node.New(node.Options{Drivers: map[string]instance.Driver{"": d}, Images: layers{}, Metrics: ps})
	if err != nil {
		return nil, err
	}
	p := &platform{node: n, gateway: gateway.New(gateway.Options{DrainTimeout: time.Second}), served: make(chan error, 1), client: &http.Client{}, phases: ps}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.url = "http://" + l.Addr().String() + "/"
	ctx, p.cancel = context.WithCancel(ctx)
	go func() { p.served <- p.gateway.Serve(ctx, l) }()
	return p, nil
}

func (p *platform) close() {
	p.client.CloseIdleConnections()
	p.cancel()
	<-p.served
	_ = p.node.Close(context.Background())
}

// route sends everything to one revision.
func (p *platform) route(rev *activator.Revision) error {
	table, err := gateway.NewTable([]gateway.Route{{Hosts: []string{"*"}, Rules: []gateway.Rule{{Backends: []gateway.Backend{{Revision: rev, Weight: 1}}}}}})
	if err == nil {
		p.gateway.Swap(table)
	}
	return err
}

// deploy makes a revision that has no copy.
func (p *platform) deploy(ctx context.Context, g guest, name string) (run.Key, error) {
	k := run.Key{Namespace: "bench", Name: name}
	if err := p.node.Apply(ctx, run.Revision{Key: k, Function: "f", Image: g.layer, Reachable: true, Proven: true}); err != nil {
		return k, err
	}
	time.Sleep(40 * time.Millisecond) // the image is prepared meanwhile, and all is at rest again
	return k, p.route(p.node.Revision(k))
}

// cold measures starts of a revision that ran before and has no copy.
func (p *platform) cold(ctx context.Context, g guest, n int) error {
	var took []time.Duration
	p.phases.reset()
	c, err := newCaller(p.url)
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range n + 1 {
		k, err := p.deploy(ctx, g, "cold")
		if err != nil {
			return err
		}
		began := time.Now()
		if err := c.get("hello"); err != nil {
			return err
		}
		if i > 0 { // the first one compiles
			took = append(took, time.Since(began))
		} else {
			fmt.Printf("%-58s %9.1f ms\n", "first start ever, with compilation, "+g.name, micro(time.Since(began))/1000)
		}
		if err := p.node.Delete(ctx, k); err != nil {
			return err
		}
	}
	limit := limitCommand
	if g.handler {
		limit = limitSnapshot
	}
	report("start and first response, "+g.name, took, limit)
	p.phases.report()
	return nil
}

// warm measures calls of what runs, next to a bare Go server that is asked directly and through the same gateway.
func (p *platform) warm(ctx context.Context, guests []guest, n int, dir string) error {
	socket := filepath.Join(dir, "bare.sock")
	bare := exec.CommandContext(ctx, filepath.Join(dir, program), bareRole, socket) // as far away as a worker is
	if err := bare.Start(); err != nil {
		return err
	}
	defer func() { _, _ = bare.Process.Kill(), bare.Wait() }()
	dial := func(ctx context.Context) (c net.Conn, err error) {
		for range 1000 { // it is only just starting
			if c, err = (&net.Dialer{}).DialContext(ctx, "unix", socket); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		return c, err
	}
	direct := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}}
	base, err := measure(ctx, direct, "http://bare/", n)
	if err != nil {
		return err
	}
	least := report("warm call, bare Go server on a unix socket, direct", base, 0)
	rev := activator.New(activator.Options{Namespace: "bench", Name: "bare", Budget: activator.NewBudget(1000)})
	rev.Add(server{dial: dial})
	if err := p.route(rev); err != nil {
		return err
	}
	through, err := measure(ctx, p.client, p.url, n)
	if err != nil {
		return err
	}
	report("warm call, bare Go server through the gateway", through, 0)
	for _, g := range guests {
		k, err := p.deploy(ctx, g, "warm")
		if err != nil {
			return err
		}
		d, err := measure(ctx, p.client, p.url, n)
		if err != nil {
			return err
		}
		p50 := report("warm call through the gateway, "+g.name, d, 0)
		if g.handler {
			added := p50 - least
			fmt.Printf("%-58s %9.1f µs   limit %7.1f  ratio %.2f\n", "  added to the bare server, direct", micro(added), micro(limitAdded), float64(added)/float64(limitAdded))
		}
		if err := p.node.Delete(ctx, k); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond) // its copies go
	}
	return nil
}

func measure(ctx context.Context, c *http.Client, url string, n int) ([]time.Duration, error) {
	for range 200 {
		if err := get(ctx, c, url, "hello"); err != nil {
			return nil, err
		}
	}
	all := make([]time.Duration, n)
	for i := range all {
		began := time.Now()
		if err := get(ctx, c, url, ""); err != nil {
			return nil, err
		}
		all[i] = time.Since(began)
	}
	return all, nil
}

func get(ctx context.Context, c *http.Client, url, want string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	return expect(resp, want)
}

// expect reads an answer.
func expect(resp *http.Response, want string) error {
	b, err := io.ReadAll(resp.Body)
	if err := firstOf(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || len(b) < len(want) || string(b[:len(want)]) != want {
		return fmt.Errorf("%s: %s", resp.Status, b)
	}
	return nil
}

// caller is a client that costs next to nothing: one connection, and no goroutine.
type caller struct {
	net.Conn
	in      *bufio.Reader
	request []byte
}

func newCaller(url string) (*caller, error) {
	q, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	c, err := net.Dial("tcp", q.URL.Host)
	if err != nil {
		return nil, err
	}
	return &caller{c, bufio.NewReader(c), fmt.Appendf(nil, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", q.URL.Host)}, nil
}

// get asks once.
func (c *caller) get(want string) error {
	if _, err := c.Write(c.request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	return expect(resp, want)
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// server is the bare server as a copy.
type server struct {
	instance.Instance
	dial func(context.Context) (net.Conn, error)
}

func (s server) ID() string                                 { return "bare" }
func (s server) Dial(ctx context.Context) (net.Conn, error) { return s.dial(ctx) }
func (s server) Done() <-chan struct{}                      { return nil }

// phases are those of starts, as the runner tells them. It implements node.Metrics.
type phases struct {
	mu sync.Mutex
	of map[string][]time.Duration
}

func (p *phases) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of = map[string][]time.Duration{}
}

func (p *phases) report() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range []string{"queue", "prepare", "sandbox", "runtime", "ready"} {
		if d := p.of[name]; len(d) > 0 {
			report("  of it "+name, d, 0)
		}
	}
}

func (p *phases) Started(string) {}

func (p *phases) Phase(_, name string, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of[name] = append(p.of[name], d)
}

func (p *phases) Exited(string, string) {}

func (p *phases) Forget(string) {}
