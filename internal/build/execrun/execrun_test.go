package execrun_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/execrun"
)

func shell(script string) build.Command {
	return build.Command{Args: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/"}
}

func TestExit(t *testing.T) {
	var out, errs bytes.Buffer
	c := shell("echo out; echo err >&2; exit 3")
	c.Stdout, c.Stderr = &out, &errs
	exit, err := execrun.Runner{}.Run(t.Context(), c)
	if err != nil || exit != (build.Exit{Code: 3}) || out.String() != "out\n" || errs.String() != "err\n" {
		t.Errorf("got %+v, %v, %q, %q", exit, err, out.String(), errs.String())
	}
}

func TestEnvironmentIsTheCommands(t *testing.T) {
	t.Setenv("OFN_TEST_SECRET", "secret")
	var out bytes.Buffer
	c := shell("echo ${OFN_TEST_SECRET:-none}")
	c.Stdout = &out
	if _, err := (execrun.Runner{}).Run(t.Context(), c); err != nil || out.String() != "none\n" {
		t.Errorf("got %q (%v)", out.String(), err)
	}
}

// The limit on files is set by way of a shell: what a program sees and what Run says of it is the same with it and without.
func TestLimitIsNotSeen(t *testing.T) {
	for _, limits := range []build.RunLimits{{}, {FileBytes: 1 << 20}} {
		var out bytes.Buffer
		c := build.Command{
			Args: []string{"/usr/bin/env"}, Env: []string{"A=b c", "PATH=/usr/bin:/bin"}, Dir: t.TempDir(), Stdout: &out, Limits: limits,
		}
		if exit, err := (execrun.Runner{}).Run(t.Context(), c); err != nil || exit.Code != 0 {
			t.Errorf("%+v: got %+v, %v", limits, exit, err)
		}
		got := slices.DeleteFunc(slices.Sorted(strings.Lines(out.String())), func(v string) bool {
			return strings.HasPrefix(v, "_=") // some shells tell a program its name so
		})
		if want := []string{"A=b c\n", "PATH=/usr/bin:/bin\n"}; !slices.Equal(got, want) {
			t.Errorf("%+v: environment is %q", limits, got)
		}
		out.Reset()
		c.Args = []string{"/bin/sh", "-c", `printf '<%s>' "$@"; exit 7`, "x", "a b", "", "$HOME", "-c"}
		if exit, err := (execrun.Runner{}).Run(t.Context(), c); err != nil || exit.Code != 7 || out.String() != "<a b><><$HOME><-c>" {
			t.Errorf("%+v: got %+v, %v, %q", limits, exit, err, out.String())
		}
	}
}

func TestProgramIsFound(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"here": 0o755, "text": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, limits := range []build.RunLimits{{}, {FileBytes: 1 << 20}} {
		for program, found := range map[string]bool{
			"/nonexistent": false, "nonexistent-program": false, "./nothing": false, "./text": false, dir: false, "./here": true, "env": true,
		} {
			_, err := execrun.Runner{}.Run(t.Context(), build.Command{Args: []string{program}, Dir: dir, Limits: limits})
			if (err == nil) != found {
				t.Errorf("%s with %+v: %v", program, limits, err)
			}
		}
	}
}

// Everything the command started ends with ctx, and Run says why ctx ended.
func TestCancelEndsAll(t *testing.T) {
	reason := errors.New("reason")
	ctx, cancel := context.WithCancelCause(t.Context())
	started := trigger(func() { cancel(reason) })
	c := shell("(trap '' TERM; exec sleep " + mark("20.4242") + ") & echo started; wait")
	c.Stdout = started
	_, err := execrun.Runner{}.Run(ctx, c)
	if !errors.Is(err, reason) {
		t.Errorf("error is %v", err)
	}
	gone(t, mark("20.4242"))
}

// What outlives the command is ended with it.
func TestOrphans(t *testing.T) {
	c := shell("sleep " + mark("20.2424") + " >/dev/null 2>&1 &")
	if exit, err := (execrun.Runner{}).Run(t.Context(), c); err != nil || exit.Code != 0 {
		t.Fatalf("got %+v, %v", exit, err)
	}
	gone(t, mark("20.2424"))
}

func TestLimits(t *testing.T) {
	const memoryHog = `x=$(head -c 60000000 /dev/zero | tr '\0' x); sleep 20.99; echo ${#x}`
	for _, c := range []struct {
		name, script string
		limits       build.RunLimits
		want         build.Resource
	}{
		{"processes", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep " + mark("20.77") + " & done; wait", build.RunLimits{PIDs: 8}, build.Processes},
		{"memory", memoryHog, build.RunLimits{MemoryBytes: 30 << 20}, build.Memory},
		{"file size", "exec head -c 100000 /dev/zero >" + t.TempDir() + "/big", build.RunLimits{FileBytes: 1000}, build.FileSize},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := shell(c.script)
			cmd.Limits = c.limits
			exit, err := execrun.Runner{}.Run(t.Context(), cmd)
			if err != nil || exit.Exceeded != c.want {
				t.Errorf("got %+v, %v, want %q exceeded", exit, err, c.want)
			}
			gone(t, mark("20.77"))
		})
	}
}

// A program that forks far beyond its limit is stopped, and nothing of it is left. It forks a bounded number of times: this
// runner looks at its processes now and then, which a real fork bomb outruns; only a control group stops one.
func TestManyForks(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := shell("i=0; while [ $i -lt 300 ]; do sleep " + mark("20.55") + " & i=$((i+1)); done; wait")
	c.Limits.PIDs = 64
	exit, err := execrun.Runner{}.Run(ctx, c)
	if err != nil || exit.Exceeded != build.Processes {
		t.Errorf("got %+v, %v", exit, err)
	}
	gone(t, mark("20.55"))
}

type trigger func()

func (f trigger) Write(p []byte) (int, error) { f(); return len(p), nil }

// mark makes of a number of seconds one that no other run of these tests on this machine has.
func mark(seconds string) string { return seconds + strconv.Itoa(os.Getpid()) }

// gone fails when a living process has mark in its arguments.
func gone(t *testing.T, mark string) {
	t.Helper()
	out, err := exec.Command("ps", "-eo", "stat,args").Output()
	if err != nil {
		t.Skipf("ps: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "sleep "+mark) && !strings.Contains(line, "sh -c") && !strings.HasPrefix(line, "Z") {
			t.Errorf("still running: %s", line)
		}
	}
}
