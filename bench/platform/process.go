//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// bench is one data directory and the platform that runs on it.
type bench struct {
	dir, binary string
	gateway     string // host:port
	kubeconfig  string
	up          *exec.Cmd
	ended       chan error
}

func newBench(ctx context.Context, dir string) (*bench, error) {
	b := &bench{dir: dir, binary: filepath.Join(dir, "ofn"), kubeconfig: filepath.Join(dir, "data", "control", "kubeconfig")}
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.binary, "./cmd/ofn")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building ofn: %w: %s", err, out)
	}
	_, err := b.start()
	return b, err
}

// start runs `ofn up` and returns how long it took to say that it is ready.
func (b *bench) start() (time.Duration, error) {
	begin := time.Now()
	b.up = exec.Command(b.binary, "up", "--data-dir", filepath.Join(b.dir, "data"), "--api-port", "0", "--gateway-address", "127.0.0.1:0",
		"--metrics-address", "", "--registry-address", "127.0.0.1:15899", "--log-level", "error", "--warm-builds=false") // which would be measured too
	out, err := b.up.StderrPipe()
	if err != nil {
		return 0, err
	}
	if err := b.up.Start(); err != nil {
		return 0, err
	}
	b.ended = make(chan error, 1)
	lines := bufio.NewScanner(out)
	address := regexp.MustCompile(`functions\s+http://\S+?:(\d+)/`)
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
		if m := address.FindStringSubmatch(lines.Text()); m != nil {
			took := time.Since(begin)
			b.gateway = "127.0.0.1:" + m[1]
			go func() { // the pipe must be read for the process to go on; it ends with the process
				_, _ = io.Copy(io.Discard, out)
				b.ended <- b.up.Wait()
			}()
			return took, nil
		}
	}
	return 0, fmt.Errorf("ofn up ended: %w: %s", b.up.Wait(), strings.Join(said, "\n"))
}

func (b *bench) stop() error {
	if b.up == nil {
		return nil
	}
	if err := b.up.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := <-b.ended
	b.up = nil
	return err
}

// ofn runs one command of the command line and returns its standard output.
func (b *bench) ofn(ctx context.Context, args ...string) (string, error) {
	c := exec.CommandContext(ctx, b.binary, append(args, "--kubeconfig", b.kubeconfig)...)
	var complaint strings.Builder
	c.Stderr = &complaint
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("ofn %s: %w: %s", strings.Join(args, " "), err, complaint.String())
	}
	return string(out), nil
}

// object reads one object as JSON into a tree.
func (b *bench) object(ctx context.Context, kind, name string) (map[string]any, error) {
	out, err := b.ofn(ctx, "get", kind, name, "-o", "json")
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	return tree, json.Unmarshal([]byte(out), &tree)
}

// at walks a tree by keys; what is not there is nil.
func at(tree any, keys ...string) any {
	for _, k := range keys {
		m, ok := tree.(map[string]any)
		if !ok {
			return nil
		}
		tree = m[k]
	}
	return tree
}

// resident is the resident memory of the platform in megabytes.
func (b *bench) resident() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.up.Process.Pid))
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		return 0, errors.New("no VmRSS in the process status")
	}
	kb, err := strconv.ParseFloat(string(m[1]), 64)
	return kb / 1000, err
}

// processor is the time the platform has used.
func (b *bench) processor() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.up.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+2:]))
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, err // the kernel counts in hundredths of a second
}
