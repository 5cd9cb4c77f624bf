// Package native builds functions with the tools of their own language, without a daemon or builder images: it detects the
// language, renders the main that the function lacks, compiles, and lays the program over a minimal base image.
//
// What one build may do to another. A Go build runs no code of the user: cgo is off, nothing is generated, no other toolchain is
// fetched, and flags that name programs or files are refused. The go command alone writes to the shared caches; modules enter them
// verified against the checksum database. A build that turns the verification off for some modules gets a module cache of its own.
package native

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/openfunction/ofn/internal/build"
)

// Options say what to build with. Dir, GoRoot, Runner, Sources, Images and Framework must be set.
type Options struct {
	// Dir holds work directories and caches. It belongs to one Strategy.
	Dir string
	// GoRoot is a Go distribution: GoRoot/bin/go is what compiles.
	GoRoot string
	// Arch is the architecture of the images; empty is this program's own.
	Arch string
	// OS is what the programs are for; empty is linux. Another one makes programs for a developer's own machine, not images.
	OS      string
	Runner  build.Runner
	Sources build.Fetcher
	Images  build.Images
	// Framework is the source that generated mains are compiled against.
	Framework Framework
	// CACertificates goes into the base image, PEM.
	CACertificates []byte
	Limits         Limits
	// GoProxy and GoSumDB are the Go settings GOPROXY and GOSUMDB; empty is Go's default.
	GoProxy, GoSumDB string
	// Env is added to the environment of build tools, "KEY=value": HTTPS_PROXY, SSL_CERT_FILE and the like.
	Env []string
	// BuildCache and ModCache replace the caches in Dir.
	BuildCache, ModCache string
}

// Framework is the source of github.com/OpenFunction/functions-framework-go, text by slash-separated path inside the module.
type Framework struct {
	Version string
	Full    map[string][]byte
	Lean    map[string][]byte // only package host, without requirements
}

// Limits bound one build. Zero fields are the defaults.
type Limits struct {
	MemoryBytes int64         // 2 GiB
	CPUMillis   int64         // not limited
	PIDs        int64         // 512
	DiskBytes   int64         // 2 GiB for source, temporary files and program
	Time        time.Duration // 10 minutes, when the request says nothing
}

func (l Limits) complete() Limits {
	if l.MemoryBytes == 0 {
		l.MemoryBytes = 2 << 30
	}
	if l.PIDs == 0 {
		l.PIDs = 512
	}
	if l.DiskBytes == 0 {
		l.DiskBytes = 2 << 30
	}
	if l.Time == 0 {
		l.Time = 10 * time.Minute
	}
	return l
}

// Strategy builds natively. It may be used by many goroutines, each building another ID.
type Strategy struct {
	opts      Options
	languages map[string]language
	results   results
	base      build.Layer
	identity  string // of everything but the request that makes a result what it is
}

var _ build.Strategy = (*Strategy)(nil)

// New prepares the directories, removes what an earlier process left in them, and asks the toolchain for its version.
func New(ctx context.Context, o Options) (*Strategy, error) {
	o.Limits = o.Limits.complete()
	if o.OS == "" {
		o.OS = "linux"
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "cache/results"), 0o750); err != nil {
		return nil, fmt.Errorf("preparing the build directory: %w", err)
	}
	if err := sweep(o.Dir, time.Now()); err != nil {
		return nil, err
	}
	g, err := newGolang(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &Strategy{
		opts:      o,
		languages: map[string]language{"Go": g},
		results:   results{dir: filepath.Join(o.Dir, "cache/results")},
	}
	if s.base, err = baseLayer(o); err != nil {
		return nil, err
	}
	s.identity = fmt.Sprintf("native 1\n%s\n%s\n%x\n", g.identity(), o.OS, sha256.Sum256(o.CACertificates))
	return s, nil
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
	t, err := readTree(src, fetched.SubPath)
	if err != nil {
		return build.Result{}, err
	}
	key := s.key(r, t, fetched)
	if res, ok, err := s.reuse(ctx, key, r, log); ok || err != nil {
		res.Sources = []build.SourceResult{fetched.Result}
		return res, err
	}
	env, err := parseEnv(r.Env, log)
	if err != nil {
		return build.Result{}, err
	}
	l, err := s.detect(t, env)
	if err != nil {
		return build.Result{}, err
	}
	j := &job{request: r, env: env, tree: t, work: work, log: log}
	p, err := l.compile(ctx, j)
	if err != nil {
		return build.Result{}, err
	}
	res, err := s.write(ctx, j, p, fetched.Result)
	if err != nil {
		return build.Result{}, err
	}
	fmt.Fprintf(log, "image %s %.1f MB in %.1f s\n", res.Digest, float64(res.Size)/1e6, time.Since(began).Seconds())
	return res, s.results.put(key, res)
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

func failure(reason, format string, args ...any) *build.Failure {
	return &build.Failure{Reason: reason, Message: fmt.Sprintf(format, args...)}
}
