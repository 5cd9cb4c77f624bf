//go:build linux

// Package instancetest is the suite that every instance driver passes.
package instancetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/instance"
)

// Options say what the driver under test, on this machine, is able to.
type Options struct {
	// New makes a driver that is closed by the suite.
	New func(t *testing.T) instance.Driver
	// Unlimited is set where the machine cannot enforce limits; Start must then refuse them.
	Unlimited bool
	// OneUser is set where a copy can only run as one user and cannot give files to others.
	OneUser bool
	// Module is set where what runs is a WebAssembly module: it has no processes, users and signals, and no files but those it is
	// given. Layer must then have a probe of its kind.
	Module bool
	// Layer is what BuildProbe made; empty has it made.
	Layer string
}

const (
	port    = 8080
	patient = 60 * time.Second
)

// Run runs the suite.
func Run(t *testing.T, o Options) {
	if o.Layer == "" {
		o.Layer = BuildProbe(t)
	}
	s := &suite{Options: o, layer: o.Layer, driver: o.New(t)}
	t.Cleanup(func() {
		if err := s.driver.Close(); err != nil {
			t.Errorf("closing the driver: %v", err)
		}
	})
	for _, g := range []struct {
		name string
		run  func(*suite, *testing.T)
	}{
		{"life", (*suite).life}, {"refusals", (*suite).refusals}, {"surroundings", (*suite).surroundings},
		{"isolation", (*suite).isolation}, {"limits", (*suite).limits}, {"exec", (*suite).execs}, {"many", (*suite).many}, {"close", (*suite).close},
	} {
		t.Run(g.name, func(t *testing.T) {
			s.notOfModules(t, g.name == "isolation" || g.name == "exec")
			g.run(s, t)
		})
	}
}

// notOfModules skips what a WebAssembly module does not have.
func (s *suite) notOfModules(t *testing.T, it bool) {
	t.Helper()
	if s.Module && it {
		t.Skip("a WebAssembly module has nothing of the kind")
	}
}

// BuildProbe compiles the probe into a directory that serves as a layer.
func BuildProbe(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} { // others than root must reach it
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command("go", "build", "-o", filepath.Join(dir, "bin", "probe"), "github.com/openfunction/ofn/internal/instance/instancetest/probe")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("building the probe: %v\n%s", err, out)
	}
	for name, data := range map[string]string{"data/file": "from the image\n", "data/dir/inner": "x", "etc/os-release": "ID=probe\n"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

type suite struct {
	Options
	layer  string
	driver instance.Driver
	ids    atomic.Int64
}

// spec is the usual copy: the probe, waiting at an activation socket.
func (s *suite) spec(args ...string) instance.Spec {
	return instance.Spec{
		ID:      fmt.Sprintf("t%d", s.ids.Add(1)),
		Layers:  []string{s.layer},
		Process: instance.Process{Args: append([]string{"probe"}, args...), Env: []string{"PATH=/none:/bin", "PORT=8080"}, UID: 1000, GID: 1000},
		Listen:  instance.Listen{Port: port, Activation: true},
		Log:     io.Discard,
	}
}

func (s *suite) start(t *testing.T, spec instance.Spec) instance.Instance {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	in, err := s.driver.Start(ctx, spec)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() {
		in.Stop(0)
		ended(t, in)
	})
	return in
}

// serve starts the usual copy with changes.
func (s *suite) serve(t *testing.T, change func(*instance.Spec)) instance.Instance {
	t.Helper()
	spec := s.spec("serve")
	if change != nil {
		change(&spec)
	}
	return s.start(t, spec)
}

// ended waits for the end of a copy.
func ended(t *testing.T, in instance.Instance) instance.Exit {
	t.Helper()
	select {
	case <-in.Done():
	case <-time.After(patient):
		t.Fatalf("instance %s did not end within %v", in.ID(), patient)
	}
	return in.Exit()
}

// ask sends one request to the probe. The error is the probe's own.
func ask(t *testing.T, in instance.Instance, words ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	c, err := in.Dial(ctx)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	defer c.Close()
	return exchange(t, c, words...)
}

func exchange(t *testing.T, c net.Conn, words ...string) (string, error) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patient))
	if _, err := io.WriteString(c, strings.Join(words, "\t")+"\n"); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	verdict, reply, _ := strings.Cut(string(b), "\n")
	switch {
	case verdict == "ok":
		return reply, nil
	case verdict == "failed":
		return "", fmt.Errorf("%s", reply)
	case err != nil:
		return "", err
	}
	return "", io.ErrUnexpectedEOF
}

// must is ask for what has to work.
func must(t *testing.T, in instance.Instance, words ...string) string {
	t.Helper()
	reply, err := ask(t, in, words...)
	if err != nil {
		t.Fatalf("%v: %v", words, err)
	}
	return reply
}

// refused is ask for what must not work.
func refused(t *testing.T, in instance.Instance, words ...string) {
	t.Helper()
	if reply, err := ask(t, in, words...); err == nil {
		t.Errorf("%v worked: %q", words, reply)
	}
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
