//go:build linux

// Command coldstart measures the time from a start to the first byte of an HTTP answer, in the built-in sandbox and with
// `runc run` of the same root filesystem, taking turns so that a busy machine is busy for both. Run it as root:
//
//	go run ./bench/coldstart
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/sandbox"
)

// pause lets what a start left to do in the background end before the next one.
const pause = 100 * time.Millisecond

func main() {
	n := flag.Int("n", 40, "starts of each kind")
	flag.Parse()
	if err := run(context.Background(), *n); err != nil {
		fmt.Fprintln(os.Stderr, "coldstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, n int) (err error) {
	dir, err := os.MkdirTemp("", "coldstart")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root, err := rootfs(dir)
	if err != nil {
		return err
	}
	d, err := sandbox.New(sandbox.Options{StateDir: filepath.Join(dir, "state")})
	if err != nil {
		return err
	}
	defer d.Close()
	peer, err := newRunc(dir, root)
	if err != nil {
		fmt.Println("no comparison with runc:", err)
		peer = nil
	}
	var ours, theirs, prepare, box []time.Duration
	for i := range n {
		took, phases, err := startOurs(ctx, d, root, i)
		if err != nil {
			return err
		}
		ours, prepare, box = append(ours, took), append(prepare, phases.Prepare), append(box, phases.Sandbox)
		time.Sleep(pause)
		if peer == nil {
			continue
		}
		if took, err = peer.start(ctx, i); err != nil {
			return err
		}
		theirs = append(theirs, took)
		time.Sleep(pause)
	}
	report("sandbox: start to first byte", ours)
	report("  of it before the clone", prepare)
	report("  of it clone to execve", box)
	if peer != nil {
		report("runc run: start to first byte", theirs)
		fmt.Printf("ratio of p50: %.2f (wanted: at most 0.50)\n", float64(percentile(ours, 50))/float64(percentile(theirs, 50)))
	}
	return nil
}

// rootfs builds the function and lays out the root filesystem that both use.
func rootfs(dir string) (string, error) {
	root := filepath.Join(dir, "root")
	for _, d := range []string{"etc", "proc", "dev", "tmp", "sys", "run"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return "", err
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	c := exec.Command("go", "build", "-o", filepath.Join(root, "hello"), "github.com/openfunction/ofn/bench/coldstart/hello")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the function: %w\n%s", err, out)
	}
	return root, nil
}

func startOurs(ctx context.Context, d *sandbox.Driver, root string, i int) (time.Duration, instance.Timing, error) {
	began := time.Now()
	in, err := d.Start(ctx, instance.Spec{
		ID: fmt.Sprintf("bench-%d", i), Layers: []string{root}, Log: io.Discard,
		Process: instance.Process{Args: []string{"/hello"}, UID: 1000, GID: 1000, ReadOnlyRoot: true},
		Listen:  instance.Listen{Activation: true},
		Limits:  instance.Limits{MemoryBytes: 256 << 20, CPUMillis: 2000, PIDs: 200},
	})
	if err != nil {
		return 0, instance.Timing{}, err
	}
	defer func() { <-in.Done() }()
	defer in.Stop(0)
	conn, err := in.Dial(ctx)
	if err != nil {
		return 0, instance.Timing{}, err
	}
	err = get(conn)
	return time.Since(began), in.(instance.Timed).Timing(), err
}

// get asks for the page and returns when the answer begins.
func get(conn net.Conn) error {
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func percentile(ds []time.Duration, p int) time.Duration {
	s := slices.Sorted(slices.Values(ds))
	return s[min(len(s)*p/100, len(s)-1)]
}

func report(what string, ds []time.Duration) {
	fmt.Printf("%-32s p50 %8v  p90 %8v\n", what, percentile(ds, 50).Round(10*time.Microsecond), percentile(ds, 90).Round(10*time.Microsecond))
}
