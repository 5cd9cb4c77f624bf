package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/image"
	"github.com/openfunction/ofn/internal/image/assemble"
	"github.com/openfunction/ofn/internal/image/bundle"
	"github.com/openfunction/ofn/internal/image/unpack"
	"github.com/openfunction/ofn/internal/run"
	"github.com/openfunction/ofn/internal/run/node"
)

// listenLabel on an image says that its program takes a listening socket as file descriptor 3.
const listenLabel = "io.openfunction.listen"

// images gives the image store the shapes that builds and the node ask for.
type images struct {
	store  *image.Store
	layers *assemble.Cache
}

// Root implements node.Images.
func (i images) Root(ctx context.Context, ref string, auth *run.Credentials) (node.Root, error) {
	var c image.Credentials
	if auth != nil {
		c = image.Credentials{Username: auth.Username, Password: auth.Password, Token: auth.Token}
	}
	pinned, err := i.store.Resolve(ctx, ref, c)
	if err != nil {
		return node.Root{}, reasoned(err)
	}
	root, release, err := i.store.Root(ctx, pinned, c)
	if err != nil {
		return node.Root{}, reasoned(err)
	}
	return node.Root{
		Layers:     root.Layers,
		Digest:     pinned.Digest,
		Release:    release,
		Activation: root.Config.Labels[listenLabel] == "fd" || isModule(root.Config),
		Config: node.Config{Entrypoint: root.Config.Entrypoint, Cmd: root.Config.Cmd, Env: root.Config.Env,
			WorkingDir: root.Config.WorkingDir, User: root.Config.User, ExposedPorts: ports(root.Config.ExposedPorts)},
	}, nil
}

// isModule is whether an image has a WebAssembly module to run, to which connections may come before it listens.
func isModule(c image.Config) bool {
	all := slices.Concat(c.Entrypoint, c.Cmd)
	return len(all) > 0 && strings.HasSuffix(all[0], ".wasm")
}

func ports(exposed []string) []int {
	var out []int
	for _, e := range exposed {
		number, protocol, _ := strings.Cut(e, "/")
		if n, err := strconv.Atoi(number); err == nil && (protocol == "" || protocol == "tcp") {
			out = append(out, n)
		}
	}
	return out
}

// withReason is an error that tells its reason as node.Images wants it.
type withReason struct{ *image.Failure }

// Reason is the CamelCase word for the failure.
func (w withReason) Reason() string { return string(w.Failure.Reason) }

func reasoned(err error) error {
	var f *image.Failure
	if errors.As(err, &f) {
		return withReason{f}
	}
	return err
}

// Write implements build.Images.
func (i images) Write(ctx context.Context, out build.Output, img build.Image) (string, int64, error) {
	spec := assemble.Spec{Entrypoint: img.Entrypoint, Env: img.Env, Labels: img.Labels, WorkingDir: img.Dir, User: img.User, OS: img.OS, Arch: img.Arch}
	for n, l := range img.Layers {
		layer, err := i.layer(l, n < img.Shared)
		if err != nil {
			return "", 0, fmt.Errorf("making an image layer: %w", err)
		}
		spec.Layers = append(spec.Layers, layer)
	}
	made, err := assemble.Image(spec)
	if err != nil {
		return "", 0, fmt.Errorf("making the image: %w", err)
	}
	size, err := compressed(made)
	if err != nil {
		return "", 0, err
	}
	digest, err := i.store.Push(ctx, out.Image, made, credentials(out.Auth), out.Local)
	return digest, size, failure(err)
}

// layer makes a layer, or takes one of equal files that was made before.
func (i images) layer(l build.Layer, shared bool) (v1.Layer, error) {
	if !shared {
		return assemble.Stream(l.WriteTar)
	}
	key, err := l.Fingerprint()
	if err != nil {
		return nil, err
	}
	return i.layers.Stream(key, l.WriteTar)
}

func compressed(img v1.Image) (int64, error) {
	m, err := img.Manifest()
	if err != nil {
		return 0, fmt.Errorf("reading the manifest of a new image: %w", err)
	}
	size := m.Config.Size
	for _, l := range m.Layers {
		size += l.Size
	}
	return size, nil
}

// Reuse implements build.Images.
func (i images) Reuse(ctx context.Context, out build.Output, digest string) (bool, error) {
	ok, err := i.store.Tag(ctx, out.Image, digest, credentials(out.Auth), out.Local)
	return ok, failure(err)
}

// FetchBundle implements build.BundleFetcher.
func (i images) FetchBundle(ctx context.Context, s build.Source, dir string, maxBytes int64) (string, error) {
	c := credentials(s.Auth)
	pinned, err := i.store.Resolve(ctx, s.Bundle, c)
	if err != nil {
		return "", failure(err)
	}
	img, err := i.store.Image(ctx, pinned, c)
	if err != nil {
		return "", failure(err)
	}
	if err := bundle.Unpack(ctx, img, dir, unpack.Limits{Bytes: maxBytes}); err != nil {
		var bad *unpack.Error
		if errors.As(err, &bad) {
			return "", &build.Failure{Reason: "InvalidBundle", Message: fmt.Sprintf("source bundle %s: %v", s.Bundle, bad)}
		}
		return "", failure(err)
	}
	return pinned.Digest, nil
}

// ResolveBundle implements build.BundleFetcher.
func (i images) ResolveBundle(ctx context.Context, s build.Source) (string, error) {
	pinned, err := i.store.Resolve(ctx, s.Bundle, credentials(s.Auth))
	return pinned.Digest, failure(err)
}

func credentials(a build.Auth) image.Credentials {
	return image.Credentials{Username: a.Username, Password: a.Password, Token: a.Token}
}

// failure makes what an image store blames on the user what a build blames on the user.
func failure(err error) error {
	var f *image.Failure
	if errors.As(err, &f) {
		return &build.Failure{Reason: string(f.Reason), Message: f.Message}
	}
	return err
}
