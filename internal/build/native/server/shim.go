package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// shimPath is where the shim is in an image.
const shimPath = lang.AppDir + "/ofn-shim"

// shim is the layer of the shim, compiled when this is the first build of this machine that needs it.
func (s *Server) shim(ctx context.Context, j *lang.Job) (build.Layer, error) {
	s.making.Lock()
	defer s.making.Unlock()
	program := s.shimFile()
	if _, err := os.Stat(program); err == nil {
		lang.Touch(program)
	} else if err := s.compile(ctx, j, program); err != nil {
		return nil, err
	}
	return build.Layer{{Path: lang.AppDir, Mode: fs.ModeDir | 0o755}, {Path: shimPath, Mode: 0o755, File: program}}, nil
}

// shimFile is where the shim is kept on this machine.
func (s *Server) shimFile() string { return filepath.Join(s.opts.Cache, "shim", s.key) }

func (s *Server) compile(ctx context.Context, j *lang.Job, program string) error {
	fmt.Fprintln(j.Log, "compiling the shim, once")
	dir := filepath.Join(j.Work, "shim")
	for name, text := range s.opts.Shim {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o750), os.WriteFile(at, text, 0o600)); err != nil {
			return fmt.Errorf("writing the source of the shim: %w", err)
		}
	}
	cache := s.opts.BuildCache
	if cache == "" {
		cache = filepath.Join(s.opts.Cache, "build")
	}
	if err := os.MkdirAll(cache, 0o750); err != nil {
		return fmt.Errorf("preparing the cache of the shim: %w", err)
	}
	made := filepath.Join(j.Work, "ofn-shim")
	var said bytes.Buffer
	code, err := s.opts.Run(ctx, j, lang.Command{
		Args: []string{filepath.Join(s.opts.GoRoot, "bin/go"), "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", made, s.opts.ShimPackage},
		Env: []string{"PATH=" + filepath.Join(s.opts.GoRoot, "bin"), "LC_ALL=C", "GOROOT=" + s.opts.GoRoot, "GOPATH=" + filepath.Join(j.Work, "home/go"), "GOCACHE=" + cache,
			"GOMODCACHE=" + filepath.Join(j.Work, "home/mod"), "GOENV=off", "GOFLAGS=", "GOWORK=off", "GOPROXY=off", "GOTOOLCHAIN=local", "GO111MODULE=on", "GOTELEMETRY=off", "CGO_ENABLED=0",
			"GOOS=" + s.opts.OS, "GOARCH=" + s.opts.Arch},
		Dir: dir, ReadOnly: []string{s.opts.GoRoot}, ReadWrite: []string{cache}, Output: &said,
	})
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("compiling the shim: exit code %d: %s", code, bytes.TrimSpace(said.Bytes()))
	}
	if err := os.Chmod(made, 0o755); err != nil { //nolint:gosec // a program that all users of an image run
		return fmt.Errorf("keeping the shim: %w", err)
	}
	if err := os.Rename(made, program); err != nil {
		return fmt.Errorf("keeping the shim: %w", err)
	}
	return nil
}
