package test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
)

// tinyDisk puts the data directory on a disk of its own: tinydisk MEGABYTES. It goes with the script.
func tinyDisk(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: tinydisk MEGABYTES")
	}
	s := serverOf(ts)
	ts.Check(syscall.Mount("tmpfs", s.data, "tmpfs", 0, "mode=0711,size="+args[0]+"m"))
	ts.Defer(func() {
		if s.running() {
			_ = s.stop() // a script that failed
		}
		if err := syscall.Unmount(s.data, syscall.MNT_DETACH); err != nil {
			ts.Logf("unmounting the small disk: %v", err)
		}
	})
	ts.Check(s.warmUp())
}

func filler(s *server) string { return filepath.Join(s.data, "filler") }

// fill leaves no room on the small disk.
func fill(ts *testscript.TestScript, _ bool, _ []string) {
	f, err := os.Create(filler(serverOf(ts)))
	ts.Check(err)
	defer f.Close()
	_, err = io.Copy(f, zeros{})
	if !errors.Is(err, syscall.ENOSPC) {
		ts.Fatalf("filling the disk: %v", err)
	}
}

// unfill gives the room back.
func unfill(ts *testscript.TestScript, _ bool, _ []string) { ts.Check(os.Remove(filler(serverOf(ts)))) }

type zeros struct{}

// Read gives zeros without end.
func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// warmUp gives a new data directory what was compiled of Go before: scenarios with a directory of their own build nothing else.
func (s *server) warmUp() error {
	if s.cache == "" {
		return nil
	}
	if err := os.CopyFS(filepath.Join(s.data, "build/cache/go"), os.DirFS(filepath.Join(s.cache, "cache/go"))); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("copying the build cache: %w", err)
	}
	return nil
}
