// Package native builds functions with the tools of their own language, without a daemon or builder images: it detects the
// language, renders the main that the function lacks, compiles, and lays the program over a minimal base image.
//
// The languages are siblings behind the seam in package lang and come in as Options.Languages. What they run is bounded by
// lang.Tools; what one build may do to another is said by each of them.
package native

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// Options say what to build with. Dir, Languages, Sources and Images must be set.
type Options struct {
	// Dir holds work directories and remembered results. It belongs to one Strategy.
	Dir string
	// Languages are asked in this order whether a source is theirs.
	Languages []lang.Entry
	// Launcher says how programs are started; nil leaves it to their languages.
	Launcher lang.Launcher
	// OS and Arch are the platform of the images; empty is linux, and this program's own.
	OS, Arch string
	Sources  build.Fetcher
	Images   build.Images
	// CACertificates and Zones, a zoneinfo.zip of Go, go into the base image.
	CACertificates, Zones []byte
	Limits                lang.Limits
	// Local says with each image how its program runs on this machine; the languages must have been made for it too (lang.Tools).
	Local bool
}

// Strategy builds natively. It may be used by many goroutines, each building another ID.
type Strategy struct {
	opts    Options
	results results
	base    build.Layer
}

var _ build.Strategy = (*Strategy)(nil)

// New prepares the directories and removes what an earlier process left in them.
func New(o Options) (*Strategy, error) {
	o.Limits = o.Limits.Complete()
	if o.OS == "" {
		o.OS = "linux"
	}
	if o.Arch == "" {
		o.Arch = runtime.GOARCH
	}
	if o.Launcher == nil {
		o.Launcher = lang.NoLauncher()
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "cache/results"), 0o750); err != nil {
		return nil, fmt.Errorf("preparing the build directory: %w", err)
	}
	var err error
	if o.Dir, err = filepath.EvalSymlinks(o.Dir); err != nil { // files of layers are named without links: see build.Entry
		return nil, fmt.Errorf("preparing the build directory: %w", err)
	}
	if err := emptyDir(filepath.Join(o.Dir, "work")); err != nil { // what a process that was killed left
		return nil, err
	}
	if err := lang.Sweep(o.Dir, time.Now(), "cache/results/*"); err != nil {
		return nil, err
	}
	return &Strategy{opts: o, results: results{dir: filepath.Join(o.Dir, "cache/results")}, base: baseLayer(o)}, nil
}

// Build implements build.Strategy.
func (s *Strategy) Build(ctx context.Context, r build.Request, log io.Writer) (build.Result, error) {
	limit := r.Timeout
	if limit == 0 {
		limit = s.opts.Limits.Time
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, &build.Failure{Reason: "Timeout",
		Message: fmt.Sprintf("the build took longer than %v: raise build.timeout or make the build smaller", limit)})
	defer cancel()
	id := sha256.Sum256([]byte(r.ID))
	work := filepath.Join(s.opts.Dir, "work", hex.EncodeToString(id[:12]))
	if err := emptyDir(work); err != nil { // what an interrupted build left
		return build.Result{}, err
	}
	defer os.RemoveAll(work)
	ctx, stop := build.LimitDisk(ctx, work, s.opts.Limits.DiskBytes, &build.Failure{Reason: "DiskFull",
		Message: fmt.Sprintf("the build wrote more than %d MiB and was stopped: look for large embedded or generated data", s.opts.Limits.DiskBytes>>20)})
	defer stop()
	res, err := s.build(ctx, r, work, log)
	if err != nil && ctx.Err() != nil {
		return build.Result{}, fmt.Errorf("building %s: %w", r.Function, context.Cause(ctx))
	}
	return res, err
}

// build does the steps of one build in an empty work directory.
func (s *Strategy) build(ctx context.Context, r build.Request, work string, log io.Writer) (build.Result, error) {
	began := time.Now()
	if err := checkBuilder(r.Builder); err != nil {
		return build.Result{}, err
	}
	src := filepath.Join(work, "src")
	if err := os.Mkdir(src, 0o750); err != nil {
		return build.Result{}, fmt.Errorf("preparing the source directory: %w", err)
	}
	fetched, err := s.opts.Sources.Fetch(ctx, r.Source, src, log)
	if err != nil {
		return build.Result{}, err
	}
	t, err := lang.ReadTree(src, fetched.SubPath)
	if err != nil {
		return build.Result{}, err
	}
	env, err := lang.ParseEnv(r.Env, log)
	if err != nil {
		return build.Result{}, err
	}
	if env, err = s.opts.Launcher.Plan(t, env, log); err != nil {
		return build.Result{}, err
	}
	l, err := s.choose(t, env, r.Builder)
	if err != nil {
		return build.Result{}, err
	}
	identity, err := s.identity(ctx, l, env)
	if err != nil {
		return build.Result{}, err
	}
	key := s.key(r, t, fetched, identity)
	if res, ok, err := s.reuse(ctx, key, r, log); ok || err != nil {
		res.Sources = []build.SourceResult{fetched.Result}
		return res, err
	}
	j := &lang.Job{Request: r, Env: env, Tree: t, Work: work, Log: log, Replaced: map[string][]byte{}}
	p, err := l.Language.Compile(ctx, j)
	if err != nil {
		return build.Result{}, err
	}
	if p, err = s.opts.Launcher.Launch(ctx, j, p); err != nil {
		return build.Result{}, err
	}
	res, err := s.write(ctx, j, p, fetched.Result)
	if err != nil {
		return build.Result{}, err
	}
	fmt.Fprintf(log, "image %s %.1f MB in %.1f s\n", res.Digest, float64(res.Size)/1e6, time.Since(began).Seconds())
	return res, s.results.put(key, res)
}

// identity is everything of this machine that makes the result what it is.
func (s *Strategy) identity(ctx context.Context, l lang.Entry, env lang.Env) (string, error) {
	identity, err := l.Language.Identity(ctx)
	if err != nil {
		return "", err
	}
	launch, err := s.opts.Launcher.Identity(ctx, env)
	return strings.TrimSpace(l.Name + " " + identity + " " + launch), err
}

func (s *Strategy) reuse(ctx context.Context, key string, r build.Request, log io.Writer) (build.Result, bool, error) {
	res, ok := s.results.get(key)
	if !ok {
		return build.Result{}, false, nil
	}
	ok, err := s.opts.Images.Reuse(ctx, r.Output, res.Digest)
	if err != nil {
		return build.Result{}, false, fmt.Errorf("looking for the image of an equal build: %w", err)
	}
	if ok {
		fmt.Fprintf(log, "nothing changed: image %s\n", res.Digest)
	}
	return res, ok, nil
}

func emptyDir(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clearing the work directory of an earlier build: %w", err)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("preparing the work directory: %w", err)
	}
	return nil
}
