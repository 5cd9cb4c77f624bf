//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/instance"
	"github.com/openfunction/ofn/internal/instance/drivers/sandbox"
	"github.com/openfunction/ofn/internal/instance/instancetest"
)

const (
	platformEnv = "SANDBOX_TEST_PLATFORM" // state directory of the platform that TestPlatform plays
	markEnv     = "SANDBOX_TEST_MARK"
)

// TestPlatform is not a test of its own: TestKilledPlatform runs it in another process.
func TestPlatform(t *testing.T) {
	state := os.Getenv(platformEnv)
	if state == "" {
		t.Skip("run by TestKilledPlatform")
	}
	d, err := sandbox.New(sandbox.Options{StateDir: state})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		_, err := d.Start(t.Context(), instance.Spec{
			ID: fmt.Sprintf("victim-%d", i), Layers: []string{os.Getenv(layerEnv)}, Log: io.Discard, Listen: instance.Listen{Activation: true},
			Process: instance.Process{Args: []string{"/bin/probe", "ignore-term"}, Env: []string{markEnv + "=" + os.Getenv(markEnv)}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func TestKilledPlatform(t *testing.T) {
	newDriver(t, sandbox.Options{}).Close() // skips where there is no sandbox
	state, mark := filepath.Join(publicDir(t), "state"), fmt.Sprintf("mark-%d", time.Now().UnixNano())
	c := exec.Command("/proc/self/exe", "-test.run=^TestPlatform$", "-test.timeout=10m")
	c.Env = append(os.Environ(), platformEnv+"="+state, markEnv+"="+mark, layerEnv+"="+instancetest.BuildProbe(t))
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
	}
	if n := len(groups(sandbox.GroupParent(state))); n == 0 && len(limited()) == 0 {
		t.Error("no group is there before the kill")
	}
	if n := len(marked(mark)); n < 5 {
		t.Errorf("%d instances run before the kill, want 5", n)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	d := newDriver(t, sandbox.Options{StateDir: state})
	if err := d.Clean(t.Context()); err != nil {
		t.Errorf("Clean: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); len(marked(mark)) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) { // without control groups nobody waits for the kernel
			t.Fatalf("processes that remain: %v", marked(mark))
		}
	}
	if b, err := os.ReadFile("/proc/self/mountinfo"); err != nil || bytes.Contains(b, []byte(state)) {
		t.Errorf("mounts remain: %s, %v", b, err)
	}
	if es, err := os.ReadDir(filepath.Join(state, "s")); err != nil || len(es) > 0 {
		t.Errorf("sockets remain: %v, %v", es, err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	for _, g := range groups(sandbox.GroupParent(state)) {
		t.Errorf("group %s remains", g)
	}
}

// groups finds the directories of control groups of this name. Others may come and go, with drivers of other tests.
func groups(parent string) (found []string) {
	_ = filepath.WalkDir("/sys/fs/cgroup", func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && e.Name() == parent {
			found = append(found, name)
		}
		return nil
	})
	return found
}

// marked finds the processes with a mark in their environment.
func marked(mark string) []string {
	var found []string
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil && bytes.Contains(b, []byte(markEnv+"="+mark)) && !bytes.Contains(b, []byte(platformEnv)) {
			found = append(found, strings.Split(f, "/")[2])
		}
	}
	return found
}
