package helper

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// packages is about how many packages the program is made of, for the progress.
const packages = 3300

// buildTimeout bounds a build. The first one on a slow machine fetches and compiles for a quarter of an hour.
const buildTimeout = time.Hour

// builtName begins the names of programs that were built here.
const builtName = "ofn-scalers-"

// Program is the path of the program: the first of find that there is, or the one built from this source in dir; empty without any.
func Program(dir string, find []string) string {
	for _, p := range append(append([]string{}, find...), filepath.Join(dir, builtName+digest())) {
		if executable(p) {
			return p
		}
	}
	return ""
}

// program returns the path of the program, built when there is none.
func (h *Helper) program(ctx context.Context) (string, error) {
	if p := Program(h.opt.Dir, h.opt.Find); p != "" {
		return p, nil
	}
	built := filepath.Join(h.opt.Dir, builtName+digest())
	if h.opt.Go == "" {
		return "", errors.New("the program ofn-scalers is not installed, and there is no Go to build it with: install Go 1.26 or later, or put a built ofn-scalers beside ofn or on PATH")
	}
	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	begun := time.Now()
	h.log.Info("building ofn-scalers, which asks the sources of scaling triggers: once, for some minutes")
	if err := h.build(ctx, built); err != nil {
		return "", fmt.Errorf("building ofn-scalers: %w", err)
	}
	h.log.Info("built ofn-scalers", "took", time.Since(begun).Round(time.Second))
	h.forget(built)
	return built, nil
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// build compiles the source to a file, which is there whole or not at all.
func (h *Helper) build(ctx context.Context, to string) error {
	if err := os.MkdirAll(h.opt.Dir, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(h.opt.Dir, sourceName+"*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := unpack(dir); err != nil {
		return err
	}
	out := filepath.Join(dir, "ofn-scalers")
	h.say("Building", "fetching the modules of ofn-scalers, which asks the sources of scaling triggers; this happens once")
	cmd := exec.CommandContext(ctx, h.opt.Go, "build", "-v", "-tags=keda", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, ".")
	cmd.Dir = dir
	cmd.Env = append(append([]string{}, h.opt.Env...), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "GO111MODULE=on")
	attend(cmd)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	complaints := h.progress(stderr)
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("%w\n%s", err, complaints)
	}
	return os.Rename(out, to)
}

// maxComplaints is how many lines of an unsuccessful build are shown.
const maxComplaints = 12

// progress tells how many packages were compiled, and returns the last lines that are not names of packages.
func (h *Helper) progress(r io.Reader) string {
	var last []string
	compiled := 0
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if strings.ContainsAny(line, " :#") {
			last = append(last, line)
			last = last[max(0, len(last)-maxComplaints):]
			continue
		}
		if compiled++; compiled%50 == 0 {
			h.say("Building", fmt.Sprintf("building ofn-scalers, which asks the sources of scaling triggers: %d of about %d packages; this happens once",
				compiled, max(packages, compiled)))
		}
	}
	_, _ = io.Copy(io.Discard, r) // a line that is too long must not stop the compiler
	return strings.Join(last, "\n")
}

// forget removes what earlier versions built.
func (h *Helper) forget(except string) {
	old, err := filepath.Glob(filepath.Join(h.opt.Dir, builtName+"*"))
	if err != nil {
		return
	}
	for _, p := range old {
		if p == except {
			continue
		}
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			h.log.Warn("removing an old ofn-scalers", "path", p, "err", err)
		}
	}
}
