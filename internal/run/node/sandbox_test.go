//go:build linux && (amd64 || arm64)

package node_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/activator"
	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/sandbox"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/node"
	"github.com/openfunction/ofn/internal/run/node/copylog"
	"github.com/openfunction/ofn/internal/run/runtest"
)

// built is whether program was called.
var built atomic.Bool

// program builds the test program into a layer, once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ofn-node-test-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return dir, err
	}
	c := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(dir, "program"), "./testdata/program")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if built.Load() {
		dir, _ := program()
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// inSandbox is a node with the built-in sandbox, whose images are named for what the program is to do.
func inSandbox(t testing.TB, activation bool) (*node.Node, *copylog.Store, *phases) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to make sandboxes with limits")
	}
	built.Store(true)
	layer, err := program()
	if err != nil {
		t.Fatal(err)
	}
	driver, err := sandbox.New(sandbox.Options{StateDir: t.TempDir()})
	if err != nil {
		t.Skipf("this machine makes no sandboxes: %v", err)
	}
	logs, err := copylog.Open(t.TempDir(), copylog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := &phases{}
	n, err := node.New(node.Options{Drivers: map[string]instance.Driver{"": driver}, Images: programs{layer, activation}, Logs: logs, Metrics: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := driver.Close(); err != nil {
			t.Error(err)
		}
	})
	return n, logs, p
}

type programs struct {
	layer      string
	activation bool
}

func (p programs) Root(_ context.Context, image string, _ *run.Credentials) (node.Root, error) {
	if image == "missing" {
		return node.Root{}, fmt.Errorf("no image %s", image)
	}
	return node.Root{Layers: []string{p.layer}, Digest: "sha256:" + image, Activation: p.activation,
		Config: node.Config{Entrypoint: []string{"/program"}, Cmd: []string{image}, User: "1000:1000"}}, nil
}

// phases remembers how long starts took.
type phases struct {
	mu    sync.Mutex
	ready []time.Duration
	ends  []string
}

func (p *phases) Started(string) {}
func (p *phases) Forget(string)  {}
func (p *phases) Phase(_, phase string, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if phase == "ready" {
		p.ready = append(p.ready, d)
	}
}
func (p *phases) Exited(_, cause string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ends = append(p.ends, cause)
}

// get sends a request to a revision.
func get(ctx context.Context, n *node.Node, k run.Key) error {
	r := n.Revision(k)
	if r == nil {
		return fmt.Errorf("no revision %s", k)
	}
	return r.Do(ctx, func(e *activator.Endpoint) error {
		c, err := e.Dial(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "ok" {
			return fmt.Errorf("got %q, %v", body, err)
		}
		return nil
	})
}

func TestConformanceInSandbox(t *testing.T) {
	for name, activation := range map[string]bool{"port": false, "activation socket": true} {
		t.Run(name, func(t *testing.T) {
			runtest.Run(t, func(t *testing.T) runtest.Engine {
				n, _, _ := inSandbox(t, activation)
				call := func(ctx context.Context, k run.Key) error { return get(ctx, n, k) }
				return runtest.Engine{Runner: n, Good: "good", Broken: "broken", Missing: "missing", Call: call, Patience: time.Minute}
			})
		})
	}
}

// eventually waits for a status of the revision.
func eventually(t *testing.T, n *node.Node, good func(run.Status) bool) run.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	changed := make(chan struct{}, 1)
	n.Watch(ctx, func(run.Key) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	for {
		s, _ := n.Status(ctx, key)
		if good(s) {
			return s
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("the status stays %+v", s)
		}
	}
}

func TestOutOfMemoryInSandbox(t *testing.T) {
	n, logs, p := inSandbox(t, false)
	r := revision()
	r.Image, r.Container.Memory = "greedy", 32<<20
	if err := n.Apply(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	s := eventually(t, n, func(s run.Status) bool { return s.Phase == run.Failed })
	if strings.Contains(s.Message, "cannot be enforced") {
		t.Skip(s.Message)
	}
	if s.Reason != "OutOfMemory" || !strings.Contains(s.Message, "limit of 32 MiB") || !strings.Contains(s.Message, "eating") {
		t.Errorf("got %s: %s", s.Reason, s.Message)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.ends, "out_of_memory") {
		t.Errorf("ends counted: %v", p.ends)
	}
	log, err := logs.Read(t.Context(), copylog.Query{Namespace: "ns", Function: "fn", Tail: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if b, err := io.ReadAll(log); err != nil || !strings.HasSuffix(string(b), " eating\n") {
		t.Errorf("the log is %q, %v", b, err)
	}
}

func TestWrongPortInSandbox(t *testing.T) {
	n, _, _ := inSandbox(t, false)
	r := revision()
	r.Image, r.StartTimeout = "elsewhere", time.Second
	if err := n.Apply(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	s := eventually(t, n, func(s run.Status) bool { return s.Phase == run.Failed && strings.Contains(s.Message, "listens on 127") }) // it may have had no time
	if s.Reason != "NotListening" || !strings.Contains(s.Message, "nothing listens on port 8080") || !strings.Contains(s.Message, "listens on 127.0.0.1:3000") {
		t.Errorf("got %s: %s", s.Reason, s.Message)
	}
	t.Log(s.Message)
}

func TestProbesInSandbox(t *testing.T) {
	n, logs, _ := inSandbox(t, true)
	r := revision("min-scale", "1")
	r.Image = "good"
	r.Container.Startup = &run.Probe{Exec: []string{"/program", "check"}, Timeout: time.Minute}
	r.Container.Probe = &run.Probe{HTTPPath: "/", Period: 50 * time.Millisecond, Timeout: time.Minute}
	r.Container.Liveness = &run.Probe{Exec: []string{"/program", "check"}, Timeout: time.Minute, Period: 100 * time.Millisecond, FailureThreshold: 2, Grace: 10 * time.Millisecond}
	if err := n.Apply(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	s := eventually(t, n, func(s run.Status) bool { return s.Phase == run.Ready && s.Ready == 1 && s.Restarts > 0 })
	if s.Reason != run.ReasonNotLive || !strings.Contains(s.Message, "/program exited with code 1: I am ill") {
		t.Errorf("got %s: %s", s.Reason, s.Message)
	}
	log, err := logs.Read(t.Context(), copylog.Query{Namespace: "ns", Function: "fn"})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if b, err := io.ReadAll(log); err != nil || !strings.Contains(string(b), "ofn: this copy does not pass its liveness probe and is ended") {
		t.Errorf("the log is %q, %v", b, err)
	}
}

// BenchmarkColdStart is a request to a revision without copies: the start in the sandbox and the answer.
func BenchmarkColdStart(b *testing.B) {
	for name, activation := range map[string]bool{"port": false, "activation socket": true} {
		b.Run(name, func(b *testing.B) {
			n, _, _ := inSandbox(b, activation)
			for b.Loop() {
				b.StopTimer()
				r := revision()
				r.Proven, r.Image = true, "good"
				if err := n.Apply(b.Context(), r); err != nil {
					b.Fatal(err)
				}
				for s, _ := n.Status(b.Context(), key); s.ImageDigest == ""; s, _ = n.Status(b.Context(), key) {
					time.Sleep(time.Millisecond)
				}
				time.Sleep(50 * time.Millisecond) // the driver makes the surroundings of the next copy ready
				b.StartTimer()
				if err := get(b.Context(), n, key); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := n.Delete(b.Context(), key); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
