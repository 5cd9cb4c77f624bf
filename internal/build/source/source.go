// Package source brings what a build starts from onto the disk: a git repository, fetched with the git program, or a bundle image.
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/openfunction/ofn/internal/build"
)

// Options configure a Fetcher. Zero limits mean the defaults.
type Options struct {
	// Git is the path of the git program.
	Git string
	// SSH is the path of the ssh client; empty makes ssh URLs fail with an explanation.
	SSH string
	// Bundles unpacks bundle images; nil makes them fail.
	Bundles build.BundleFetcher
	// AllowLocal accepts file:// URLs. They let whoever may create a function read every repository of this machine that ofn can read.
	AllowLocal bool
	// MaxBytes bounds a source, and what is downloaded for it. Default 512 MiB.
	MaxBytes int64
	// Timeout bounds one fetch, and one question after a head. Default 5 minutes.
	Timeout time.Duration
	// Env is added to git's environment, "KEY=value": HTTPS_PROXY, SSL_CERT_FILE and the like.
	Env []string
}

const (
	defaultMaxBytes = 512 << 20
	defaultTimeout  = 5 * time.Minute
)

// Fetcher fetches sources. It implements build.Fetcher and may be used by many goroutines.
type Fetcher struct{ opts Options }

var _ build.Fetcher = (*Fetcher)(nil)

// New makes a Fetcher.
func New(o Options) *Fetcher {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	for _, v := range o.Env {
		if file, ok := strings.CutPrefix(v, "SSL_CERT_FILE="); ok { // git calls it otherwise; its own name, when given, comes later and counts
			o.Env = append([]string{"GIT_SSL_CAINFO=" + file}, o.Env...)
			break
		}
	}
	return &Fetcher{opts: o}
}

// Fetch fills dir, which exists and is empty. What the user must change comes back as a *build.Failure.
func (f *Fetcher) Fetch(ctx context.Context, s build.Source, dir string, log io.Writer) (build.Tree, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, f.opts.Timeout, f.tooSlow())
	defer cancel()
	ctx, stop := build.LimitDisk(ctx, dir, 2*f.opts.MaxBytes, f.tooLarge()) // git needs both the pack and the files
	defer stop()
	sub, err := cleanSubPath(s.SubPath)
	if err != nil {
		return build.Tree{}, err
	}
	var res build.SourceResult
	if s.Bundle != "" {
		fmt.Fprintf(log, "fetching bundle %s\n", s.Bundle)
		res, err = f.fetchBundle(ctx, s, dir)
	} else {
		res, err = f.fetchGit(ctx, s, dir, log)
	}
	if err != nil {
		return build.Tree{}, because(ctx, err)
	}
	if err := checkSubPath(dir, sub); err != nil {
		return build.Tree{}, err
	}
	return build.Tree{SubPath: sub, Result: res}, nil
}

// Head returns the commit or the bundle digest the source names now.
func (f *Fetcher) Head(ctx context.Context, s build.Source) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, f.opts.Timeout, f.tooSlow())
	defer cancel()
	if s.Bundle == "" {
		return f.headGit(ctx, s)
	}
	if f.opts.Bundles == nil {
		return "", errNoBundles()
	}
	digest, err := f.opts.Bundles.ResolveBundle(ctx, s)
	if err != nil {
		return "", fmt.Errorf("resolving bundle %s: %w", s.Bundle, err)
	}
	return digest, nil
}

func (f *Fetcher) fetchBundle(ctx context.Context, s build.Source, dir string) (build.SourceResult, error) {
	if f.opts.Bundles == nil {
		return build.SourceResult{}, errNoBundles()
	}
	digest, err := f.opts.Bundles.FetchBundle(ctx, s, dir, f.opts.MaxBytes)
	if err != nil {
		return build.SourceResult{}, fmt.Errorf("fetching bundle %s: %w", s.Bundle, err)
	}
	return build.SourceResult{Name: "default", BundleDigest: digest}, nil
}

// because prefers the reason ctx ended over what the interrupted step had to say about it.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// cleanSubPath makes "." of nothing and refuses what leaves the source.
func cleanSubPath(p string) (string, error) {
	clean := path.Clean(strings.TrimLeft(p, "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return "", failure("SourceInvalid", "sub-path %q climbs out of the source: it must name a directory inside", p)
	}
	return clean, nil
}

// checkSubPath looks for the sub-path without following links out of dir.
func checkSubPath(dir, sub string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening the fetched source: %w", err)
	}
	defer root.Close()
	info, err := root.Stat(sub)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return failure("SourceNotFound", "sub-path %q is a file: it must name a directory", sub)
	case errors.Is(err, fs.ErrNotExist):
		return failure("SourceNotFound", "sub-path %q is not in the source; %s", sub, neighbours(root, sub))
	default:
		return failure("SourceInvalid", "sub-path %q: %v", sub, err)
	}
}

// neighbours lists the directories of the deepest part of sub that exists.
func neighbours(root *os.Root, sub string) string {
	const most = 12
	for at := path.Dir(sub); ; at = path.Dir(at) {
		entries, err := fs.ReadDir(root.FS(), at)
		if err != nil && at != "." {
			continue
		}
		var dirs []string
		for _, e := range entries {
			if e.IsDir() {
				dirs = append(dirs, path.Join(at, e.Name()))
			}
		}
		return listed("it has: ", fmt.Sprintf("%q has no directories", at), dirs, most)
	}
}

func (f *Fetcher) tooLarge() *build.Failure {
	return failure("SourceTooLarge", "the source is larger than %d MiB: keep data and build results out of the repository, or name a smaller one", f.opts.MaxBytes>>20)
}

func (f *Fetcher) tooSlow() *build.Failure {
	return failure("SourceTimeout", "fetching the source took longer than %v: check that the repository is reachable from this machine", f.opts.Timeout)
}

func errNoBundles() error {
	return errors.New("source bundles need the embedded registry, which is not running")
}

func failure(reason, format string, args ...any) *build.Failure {
	return &build.Failure{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// remote is a checked git address.
type remote struct {
	url    string // as git wants it
	scheme string
	host   string // without user
}

// parseRemote accepts https, http, ssh, git and, when allowed, file addresses, and the scp form user@host:path.
func (f *Fetcher) parseRemote(raw string) (remote, error) {
	if raw == "" {
		return remote{}, failure("SourceInvalid", "the function names no source: set build.srcRepo.url or build.srcRepo.bundleContainer.image")
	}
	if host, ok := scpHost(raw); ok {
		return remote{url: raw, scheme: "ssh", host: host}, nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		return remote{}, failure("SourceInvalid", "source URL: %v", errors.Unwrap(err))
	}
	if u.User != nil {
		if _, has := u.User.Password(); has && u.Scheme != "ssh" {
			return remote{}, failure("SourceInvalid", "source URL of %s holds a password: put it into a secret and name that in build.srcRepo.credentials", u.Host)
		}
	}
	switch {
	case u.Scheme == "file" && !f.opts.AllowLocal:
		return remote{}, failure("SourceInvalid", "source URL %q names a directory of the server: deploy a local directory with `ofn deploy DIR`", raw)
	case u.Scheme == "file":
	case u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "ssh" && u.Scheme != "git":
		return remote{}, failure("SourceInvalid", "source URL %q: want https://, http://, ssh://, git:// or user@host:path", raw)
	case u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-"):
		return remote{}, failure("SourceInvalid", "source URL %q has no valid host", raw)
	}
	return remote{url: raw, scheme: u.Scheme, host: u.Host}, nil
}

func scpHost(raw string) (string, bool) {
	if strings.Contains(raw, "://") {
		return "", false
	}
	userHost, p, ok := strings.Cut(raw, ":")
	_, host, hasUser := strings.Cut(userHost, "@")
	if !ok || !hasUser || p == "" || host == "" || strings.ContainsAny(userHost, "/ ") || strings.HasPrefix(raw, "-") || strings.HasPrefix(host, "-") {
		return "", false
	}
	return host, true
}
