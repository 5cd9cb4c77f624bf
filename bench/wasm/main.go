//go:build linux

// Command wasm measures WebAssembly functions through the gateway, the runner, the driver and a worker process in the sandbox: the
// start of a copy with its first response, the call of a handler that is warm, and the memory that idle copies add. Run it as root:
//
//	go run ./bench/wasm
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/sandbox"
	"github.com/openfunction/ofn/internal/instance/drivers/wasm"
	"github.com/openfunction/ofn/internal/instance/drivers/wasm/worker"
)

// The arguments that make this program a worker, or the bare server.
const (
	workerRole = "wasm-worker"
	bareRole   = "bare"
	program    = "bench"
)

// The limits of the project.
const (
	limitCommand  = 2 * time.Millisecond
	limitSnapshot = time.Millisecond
	limitAdded    = 100 * time.Microsecond
	limitIdle     = 1 << 20
)

func main() {
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == workerRole:
		err = work(context.Background())
	case len(os.Args) == 3 && os.Args[1] == bareRole:
		err = serveBare(os.Args[2])
	default:
		starts := flag.Int("starts", 200, "starts of each kind")
		calls := flag.Int("calls", 5000, "warm calls of each kind")
		copies := flag.Int("copies", 200, "idle copies")
		flag.Parse()
		err = measureAll(context.Background(), *starts, *calls, *copies)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "wasm:", err)
		os.Exit(1)
	}
}

func work(ctx context.Context) error {
	debug.SetGCPercent(200) // as the platform's workers have it
	l, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	return worker.Serve(ctx, l, worker.Options{TempDir: os.TempDir(), Log: slog.New(slog.DiscardHandler)})
}

// serveBare is the peer of warm calls: a Go server without anything around it.
func serveBare(socket string) error {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
}

// recorder remembers the workers that are started in the sandbox.
type recorder struct {
	instance.Driver
	last instance.Instance
}

func (r *recorder) Start(ctx context.Context, s instance.Spec) (instance.Instance, error) {
	in, err := r.Driver.Start(ctx, s)
	if err == nil {
		r.last = in
	}
	return in, err
}

func measureAll(ctx context.Context, starts, calls, copies int) (err error) {
	dir, err := os.MkdirTemp("", "bench-wasm")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self := filepath.Join(dir, program)
	build := exec.CommandContext(ctx, "go", "build", "-o", self, "github.com/openfunction/ofn/bench/wasm")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // a worker has no files, and so no shared libraries
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the worker: %w\n%s", err, out)
	}
	box, err := sandbox.New(sandbox.Options{StateDir: filepath.Join(dir, "sandbox")})
	if err != nil {
		return err
	}
	defer box.Close()
	host := &recorder{Driver: box}
	driver, err := wasm.New(wasm.Options{StateDir: filepath.Join(dir, "wasm"), Host: host, Program: self, Args: []string{workerRole}})
	if err != nil {
		return err
	}
	defer driver.Close()
	p, err := newPlatform(ctx, driver)
	if err != nil {
		return err
	}
	defer p.close()
	guests, err := guests(ctx, dir)
	if err != nil {
		return err
	}
	for _, g := range guests {
		if err := p.cold(ctx, g, starts); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	if err := p.warm(ctx, guests, calls, dir); err != nil {
		return err
	}
	return idle(ctx, driver, host, guests, copies)
}

// guest is a module.
type guest struct {
	name    string
	layer   string
	handler bool
}

// guests makes the modules: some by hand, one with the Go toolchain, one with Rust's where that is there.
func guests(ctx context.Context, dir string) ([]guest, error) {
	var all []guest
	add := func(name string, handler bool, make func(path string) error) error {
		layer := filepath.Join(dir, "guest-"+fmt.Sprint(len(all)))
		if err := os.Mkdir(layer, 0o755); err != nil {
			return err
		}
		if err := make(filepath.Join(layer, "app.wasm")); err != nil {
			return err
		}
		all = append(all, guest{name, layer, handler})
		return nil
	}
	write := func(code []byte) func(string) error {
		return func(path string) error { return os.WriteFile(path, code, 0o600) }
	}
	rust := func(path string) error {
		source := filepath.Join(dir, "hello.rs")
		if err := os.WriteFile(source, []byte("fn main() { println!(\"Content-Type: text/plain\\n\\nhello\"); }\n"), 0o600); err != nil {
			return err
		}
		return exec.CommandContext(ctx, "rustc", "--target", "wasm32-wasip1", "-O", "-o", path, source).Run()
	}
	golang := func(pkg string) func(string) error {
		return func(path string) error {
			c := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-buildmode=c-shared", "-o", path, "github.com/openfunction/ofn/"+pkg)
			c.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
			c.Stderr = os.Stderr
			return c.Run()
		}
	}
	if err := errors.Join(add("command, by hand", false, write(commandModule())), add("handler, by hand", true, write(handlerModule())),
		add("handler, Go without net/http", true, golang("internal/instance/drivers/wasm/testdata/handler")), add("handler, Go with the framework", true, golang("bench/wasm/hello"))); err != nil {
		return nil, err
	}
	if err := add("command, Rust", false, rust); err != nil {
		fmt.Println("without Rust:", err)
	}
	return all, nil
}

// idle measures what the worker's memory grows by for each copy that was called once.
func idle(ctx context.Context, d *wasm.Driver, host *recorder, guests []guest, n int) error {
	for _, g := range guests {
		if !g.handler {
			continue
		}
		var all []instance.Instance
		var before int64
		for i := range n + 1 {
			in, err := d.Start(ctx, instance.Spec{ID: fmt.Sprintf("idle-%d", i), Namespace: "idle " + g.name, Layers: []string{g.layer}, Process: instance.Process{Args: []string{"/app.wasm"}}, Log: io.Discard})
			if err != nil {
				return err
			}
			all = append(all, in)
			c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return in.Dial(ctx) }}}
			if err := get(ctx, c, "http://idle/", ""); err != nil {
				return err
			}
			if i == 0 {
				if before, err = used(host); err != nil {
					return err
				}
			}
		}
		after, err := used(host)
		if err != nil {
			return err
		}
		each := (after - before) / int64(n)
		fmt.Printf("%-58s %9.1f KiB   limit %7.1f  ratio %.2f\n", "idle memory a copy adds, "+g.name, float64(each)/1024, float64(limitIdle)/1024, float64(each)/limitIdle)
		for _, in := range all {
			in.Stop(0)
			<-in.Done()
		}
	}
	return nil
}

// used is the memory of the last worker.
func used(host *recorder) (int64, error) {
	u, err := host.last.Usage()
	return u.MemoryBytes, err
}

// report prints the middle of what was measured, with a limit.
func report(name string, d []time.Duration, limit time.Duration) time.Duration {
	slices.Sort(d)
	p50, p90 := d[len(d)/2], d[len(d)*9/10]
	line := fmt.Sprintf("%-58s %9.1f µs    p90 %9.1f µs", name, micro(p50), micro(p90))
	if limit > 0 {
		line += fmt.Sprintf("   limit %7.1f  ratio %.2f", micro(limit), float64(p50)/float64(limit))
	}
	fmt.Println(line)
	return p50
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
