package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/pod"
	"github.com/openfunction/ofn/internal/build/source"
	"github.com/openfunction/ofn/internal/control/secret"
	"github.com/openfunction/ofn/internal/image"
	"github.com/openfunction/ofn/internal/image/assemble"
	"github.com/openfunction/ofn/internal/image/registry"
)

// buildStep is one build in a pod of its own, which is what isolates it: nothing here needs root or namespaces.
type buildStep struct {
	dir, secrets, outcome, fetchInto string
	caches                           string // what the image has in its caches already
	request                          pod.Request
	log                              io.Writer
}

func buildStepCommand() *cobra.Command {
	var s buildStep
	var fill bool
	cmd := &cobra.Command{
		Use:    "build-step",
		Short:  "Build one function in the pod that the operator made for it",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.log = cmd.OutOrStdout()
			if fill {
				return s.fill(cmd.Context())
			}
			return s.run(cmd.Context(), os.Getenv(pod.EnvRequest))
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.dir, "dir", "", "directory for everything that the build makes")
	f.StringVar(&s.secrets, "secrets", pod.SecretsDir, "directory of the mounted secrets")
	f.StringVar(&s.outcome, "outcome", "", "file that the outcome is written to")
	f.StringVar(&s.caches, "caches", pod.CachesDir, "directory of the builder image, made with --fill, whose content the caches of a build begin with")
	f.BoolVar(&fill, "fill", false, "only fill --caches with what all builds compile, for who makes a builder image")
	f.StringVar(&s.fetchInto, "fetch-into", "", "only fetch the source, into this directory")
	return cmd
}

// run builds and leaves the outcome, good or bad.
func (s *buildStep) run(ctx context.Context, request string) error {
	res, err := s.build(ctx, request)
	data, encoding := outcomeOf(ctx, res, err).Encode()
	if encoding == nil {
		encoding = os.WriteFile(s.outcome, data, 0o644)
	}
	if encoding != nil {
		encoding = fmt.Errorf("leaving the outcome of the build: %w", encoding)
	}
	return errors.Join(err, encoding)
}

func outcomeOf(ctx context.Context, res build.Result, err error) pod.Outcome {
	var wrong *build.Failure
	switch {
	case err == nil:
		return pod.Outcome{Result: res}
	case errors.As(err, &wrong):
		return pod.Outcome{Reason: wrong.Reason, Message: wrong.Message}
	case ctx.Err() != nil:
		return pod.Outcome{Reason: "Interrupted", Message: "the pod of the build was told to end: build again, as with `ofn rebuild`"}
	default:
		return pod.Outcome{Reason: pod.ReasonError, Message: err.Error()}
	}
}

func (s *buildStep) build(ctx context.Context, text string) (build.Result, error) {
	var err error
	if s.request, err = pod.Decode(text); err != nil {
		return build.Result{}, err
	}
	r, err := s.resolve()
	if err != nil {
		return build.Result{}, err
	}
	img, done, err := s.images()
	if err != nil {
		return build.Result{}, err
	}
	defer done()
	fetcher := source.New(source.Options{Git: program("git"), SSH: program("ssh"), Bundles: img, Env: proxyEnv()})
	if s.fetchInto != "" {
		return s.fetch(ctx, fetcher, r.Source)
	}
	if err := s.beginWithCaches(); err != nil {
		return build.Result{}, err
	}
	strategy, err := newNative(&settings{dataDir: s.dir}, img, unlimited{}, fetcher)
	if err != nil {
		return build.Result{}, err
	}
	return strategy.Build(ctx, r, s.log)
}

// cachesBelow is where the builder has its caches, below the directory that it is given.
const cachesBelow = "build/cache"

// beginWithCaches gives the build what its image has in caches; it changes them, so it has a copy.
func (s *buildStep) beginWithCaches() error {
	if s.caches == "" {
		return nil
	}
	from := filepath.Join(s.caches, cachesBelow)
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.CopyFS(filepath.Join(s.dir, cachesBelow), os.DirFS(from)); err != nil {
		return fmt.Errorf("taking the caches of the builder image: %w", err)
	}
	return nil
}

// fill compiles into caches what all builds have in common.
func (s *buildStep) fill(ctx context.Context) error {
	if s.dir == "" {
		return errors.New("--fill wants --dir, a directory for what it makes beside")
	}
	img, done, err := s.images()
	if err != nil {
		return err
	}
	defer done()
	strategy, err := newNative(&settings{dataDir: s.caches}, img, unlimited{}, nil)
	if err != nil {
		return err
	}
	return strategy.Warm(ctx)
}

func (s *buildStep) fetch(ctx context.Context, f build.Fetcher, from build.Source) (build.Result, error) {
	if err := os.MkdirAll(s.fetchInto, 0o755); err != nil {
		return build.Result{}, fmt.Errorf("preparing the source directory: %w", err)
	}
	tree, err := f.Fetch(ctx, from, s.fetchInto, s.log)
	return build.Result{Sources: []build.SourceResult{tree.Result}}, err
}

// images is a store of this build alone, above a registry that stays empty: the image goes to the one that its name says.
func (s *buildStep) images() (images, func(), error) {
	own, err := registry.Open(filepath.Join(s.dir, "registry"), registry.Options{})
	if err != nil {
		return images{}, nil, err
	}
	done := func() { _ = own.Close() } // it goes with the pod
	var img images
	if img.store, err = image.Open(filepath.Join(s.dir, "images"), own, image.Options{InsecureHosts: s.request.Insecure}); err == nil {
		img.layers, err = assemble.OpenCache(filepath.Join(s.dir, "build", "layers"), time.Now())
	}
	if err != nil {
		done()
		return images{}, nil, err
	}
	return img, done, nil
}

// resolve makes the build of the request and the secrets.
func (s *buildStep) resolve() (build.Request, error) {
	q := s.request
	r := build.Request{ID: q.ID, Function: q.Function, Builder: q.Builder, Target: q.Target, Env: q.Env, Timeout: q.Timeout,
		Source: build.Source{URL: q.URL, Revision: q.Revision, Bundle: q.Bundle, SubPath: q.SubPath}, Output: build.Output{Image: q.Image}}
	if host := secret.ImageHost(q.Image); host == image.LocalHost {
		return r, &build.Failure{Reason: "ImageInvalid", Message: fmt.Sprintf("image %q names the registry of one machine: on a cluster name one that its nodes can pull from", q.Image)}
	}
	var err error
	host := gitHost(q.URL)
	if q.Bundle != "" {
		host = secret.ImageHost(q.Bundle)
	}
	if r.Source.Auth, err = s.login(pod.SecretSource, host); err != nil {
		return r, err
	}
	if r.Output.Auth, err = s.login(pod.SecretPush, secret.ImageHost(q.Image)); err != nil {
		return r, err
	}
	r.Dependencies, err = s.dependencies(r.Source)
	return r, err
}

// login is what one of the secrets says about a host; a secret that was not named leaves it anonymous.
func (s *buildStep) login(what, host string) (build.Auth, error) {
	mounted, err := s.secret(what)
	if mounted == nil || err != nil {
		return build.Auth{}, err
	}
	l, err := secret.LoginFor(mounted, host)
	if err != nil {
		return build.Auth{}, &build.Failure{Reason: "SecretInvalid", Message: err.Error()}
	}
	return build.Auth(l), nil
}

// dependencies are the files of package managers that the secrets hold, and for the host of a git source its login.
func (s *buildStep) dependencies(from build.Source) (build.Dependencies, error) {
	d := build.Dependencies{Files: map[string][]byte{}}
	for _, what := range []string{pod.SecretBuilder, pod.SecretSource} { // of two files the source's counts
		mounted, err := s.secret(what)
		if err != nil {
			return d, err
		}
		if mounted == nil {
			continue
		}
		for key, data := range mounted.Data {
			if build.IsDependencyFile(key) {
				d.Files[key] = data
			}
		}
	}
	u, err := url.Parse(from.URL)
	if err != nil || from.Bundle != "" || u.Scheme != "https" && u.Scheme != "http" {
		return d, nil // a key, or the login of a registry, is none for others
	}
	l := build.HostLogin{Host: u.Host, Auth: from.Auth}
	if (l.Auth.Password != "" || l.Auth.Token != "") && l.Check() == nil {
		d.Logins = append(d.Logins, l)
	}
	return d, nil
}

// secret reads a mounted one; nil when the build names none.
func (s *buildStep) secret(what string) (*corev1.Secret, error) {
	name := s.request.Secrets[what]
	if name == "" {
		return nil, nil
	}
	dir := filepath.Join(s.secrets, what)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading secret %q: %w", name, err)
	}
	out := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string][]byte{}}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "..") { // by which the kubelet changes all keys at once
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading secret %q: %w", name, err)
		}
		out.Data[e.Name()] = data
	}
	if len(out.Data) == 0 {
		namespace, _, _ := strings.Cut(s.request.ID, "/")
		return nil, &build.Failure{Reason: "SecretMissing", Message: fmt.Sprintf("secret %q is not in namespace %q, or is empty: make it, then build again, as with `ofn rebuild`", name, cmp.Or(namespace, "default"))}
	}
	return out, nil
}

// gitHost is the host of a git URL, also of the form user@host:path.
func gitHost(raw string) string {
	if u, err := url.Parse(raw); err == nil && u.Host != "" {
		return u.Hostname()
	}
	_, rest, _ := strings.Cut(raw, "@")
	host, _, _ := strings.Cut(rest, ":")
	return host
}
