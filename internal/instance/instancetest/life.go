//go:build linux

package instancetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/instance"
)

func (s *suite) life(t *testing.T) {
	t.Run("activation", func(t *testing.T) {
		in := s.serve(t, nil)
		if got := must(t, in, "hello"); got != "hello" {
			t.Errorf("reply %q", got)
		}
	})
	t.Run("port", func(t *testing.T) {
		in := s.serve(t, func(sp *instance.Spec) { sp.Listen = instance.Listen{Port: port} })
		until(t, func() error {
			c, err := in.Dial(t.Context())
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = exchange(t, c, "hello")
			return err
		})
	})
	t.Run("low port", func(t *testing.T) {
		in := s.serve(t, func(sp *instance.Spec) {
			sp.Listen, sp.Process.Env = instance.Listen{Port: 80}, []string{"PORT=80", "PATH=/bin"}
		})
		until(t, func() error {
			c, err := in.Dial(t.Context())
			if err == nil {
				c.Close()
			}
			return err
		})
	})
	t.Run("never listens", func(t *testing.T) {
		spec := s.spec("sleep")
		spec.Listen.Activation = false
		in := s.start(t, spec)
		if _, err := in.Dial(t.Context()); err == nil {
			t.Error("Dial connected to nothing")
		}
	})
	t.Run("another port", func(t *testing.T) {
		in := s.serve(t, func(sp *instance.Spec) {
			sp.Process.Env, sp.Listen.Activation = []string{"PORT=3000", "PATH=/bin"}, false
		})
		if d, ok := in.(instance.PortDialer); ok {
			until(t, func() error {
				c, err := d.DialPort(t.Context(), 3000)
				if err == nil {
					c.Close()
				}
				return err
			})
		}
		if l, ok := in.(instance.Listening); ok {
			until(t, func() error {
				where, err := l.Listening()
				if err == nil && !slices.Equal(where, []string{"[::]:3000"}) {
					err = fmt.Errorf("Listening = %v", where)
				}
				return err
			})
		}
	})
	t.Run("exit code", func(t *testing.T) {
		e := ended(t, s.start(t, s.spec("exit", "42")))
		if e.Code != 42 || e.Signal != "" || e.Requested || e.OutOfMemory || e.At.IsZero() {
			t.Errorf("Exit = %+v", e)
		}
	})
	t.Run("usage and dial after the end", func(t *testing.T) {
		in := s.start(t, s.spec("exit", "0"))
		ended(t, in)
		if _, err := in.Dial(t.Context()); err == nil {
			t.Error("Dial connected to one that has ended")
		}
		_, _ = in.Usage() // must not panic
		in.Stop(0)
	})
	t.Run("stop", s.stops)
	t.Run("log", s.logs)
}

func (s *suite) stops(t *testing.T) {
	s.notOfModules(t, true)
	t.Run("graceful", func(t *testing.T) {
		spec, log := s.spec("graceful"), &buffer{}
		spec.Log = log
		in := s.start(t, spec)
		must(t, in, "hello")
		in.Stop(patient)
		if e := ended(t, in); e.Code != 7 || !e.Requested {
			t.Errorf("Exit = %+v, want code 7, requested", e)
		}
		if log.String() != "going\n" {
			t.Errorf("last words %q", log)
		}
	})
	t.Run("after grace", func(t *testing.T) {
		in := s.start(t, s.spec("ignore-term"))
		must(t, in, "spawn", "3")
		in.Stop(20 * time.Millisecond)
		if e := ended(t, in); e.Code != -1 || e.Signal != "killed" || !e.Requested || e.OutOfMemory {
			t.Errorf("Exit = %+v", e)
		}
	})
}

func (s *suite) logs(t *testing.T) {
	spec, log := s.spec("print"), &buffer{}
	spec.Log = log
	ended(t, s.start(t, spec))
	lines := strings.Split(log.String(), "\n")
	if len(lines) != 201 || lines[0] != "out 0" || lines[1] != "err 0" || lines[199] != "err 99" || lines[200] != "unfinished" {
		t.Errorf("log has %d lines: %q … %q", len(lines), lines[0], lines[len(lines)-1])
	}
}

func (s *suite) refusals(t *testing.T) {
	notExecutable := filepath.Join(t.TempDir(), "layer")
	if err := os.MkdirAll(notExecutable, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(notExecutable, "text"), []byte("\x7fELF nothing"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*instance.Spec){
		"no such program":     func(sp *instance.Spec) { sp.Process.Args = []string{"/no/such"} },
		"not in the path":     func(sp *instance.Spec) { sp.Process.Args = []string{"such"} },
		"not executable":      func(sp *instance.Spec) { sp.Process.Args = []string{"/data/file"} },
		"not a program":       func(sp *instance.Spec) { sp.Layers, sp.Process.Args = []string{notExecutable}, []string{"/text"} },
		"a directory":         func(sp *instance.Spec) { sp.Process.Args = []string{"/data"} },
		"no arguments":        func(sp *instance.Spec) { sp.Process.Args = nil },
		"no such layer":       func(sp *instance.Spec) { sp.Layers = []string{"/no/such/layer"} },
		"a bad id":            func(sp *instance.Spec) { sp.ID = "../x" },
		"an empty id":         func(sp *instance.Spec) { sp.ID = "" },
		"negative limit":      func(sp *instance.Spec) { sp.Limits.MemoryBytes = -1 },
		"a file over a dir":   func(sp *instance.Spec) { sp.Files = []instance.File{{Path: "/data", Data: []byte("x")}} },
		"a directory as file": func(sp *instance.Spec) { sp.Files = []instance.File{{Path: "/data/file/x", Data: []byte("x")}} },
	} {
		t.Run(name, func(t *testing.T) {
			s.notOfModules(t, name == "a file over a dir" || name == "a directory as file")
			spec := s.spec("serve")
			change(&spec)
			in, err := s.driver.Start(t.Context(), spec)
			if err == nil {
				in.Stop(0)
				ended(t, in)
				t.Fatal("Start succeeded")
			}
			t.Log(err)
		})
	}
	t.Run("same id twice", func(t *testing.T) {
		in := s.serve(t, nil)
		spec := s.spec("serve")
		spec.ID = in.ID()
		if _, err := s.driver.Start(t.Context(), spec); err == nil {
			t.Fatal("Start succeeded")
		}
		in.Stop(0)
		ended(t, in)
		s.start(t, spec) // free again
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.driver.Start(ctx, s.spec("serve")); !errors.Is(err, context.Canceled) {
			t.Errorf("Start = %v, want context.Canceled", err)
		}
	})
}

// until repeats what takes a moment to become true.
func until(t *testing.T, f func() error) {
	t.Helper()
	deadline := time.Now().Add(patient)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still after %v: %v", patient, err)
		}
		time.Sleep(time.Millisecond)
	}
}
