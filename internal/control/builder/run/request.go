package run

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sort"
	"strings"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/control/secret"
)

// strategy finds what runs the Builder.
func (c *Controller) strategy(b *v1beta2.Builder) (build.Strategy, *build.Failure) {
	name := strategyName(b)
	if name == "" && b.Spec.Builder == nil && b.Spec.Dockerfile != nil {
		name = "dockerfile"
	}
	if s, ok := c.options.Strategies[name]; ok {
		return s, nil
	}
	var known []string
	for k := range c.options.Strategies {
		if k == "" {
			k = v1beta2.DefaultBuildStrategy
		}
		known = append(known, k)
	}
	sort.Strings(known)
	return nil, &build.Failure{Reason: "UnknownStrategy", Message: fmt.Sprintf(
		"build strategy %q is not available here; available: %s. Leave shipwright.strategy and dockerfile out to build with the native builder", name, strings.Join(known, ", "))}
}

// strategyName is the strategy that was asked for; empty is the default.
func strategyName(b *v1beta2.Builder) string {
	if s := b.Spec.Shipwright; s != nil && s.Strategy != nil && s.Strategy.Name != v1beta2.DefaultBuildStrategy {
		return s.Strategy.Name
	}
	return ""
}

// request resolves the secrets and parameters of a Builder. One that is not there is a *secret.Missing.
func (c *Controller) request(ctx context.Context, b *v1beta2.Builder) (build.Request, error) {
	push := b.Spec.ImageCredentials
	if push != nil && push.Name == "" {
		push = nil
	}
	r := build.Request{ID: b.Namespace + "/" + b.Name, Function: b.Namespace + "/" + b.Labels[v1beta2.LabelFunction], Env: b.Spec.Env,
		Output: build.Output{Image: b.Spec.Image, Local: c.options.Local && push == nil}}
	if strategyName(b) == v1beta2.WasmBuildStrategy {
		r.Target = build.TargetWasm
	}
	if b.Spec.Builder != nil {
		r.Builder = *b.Spec.Builder
	}
	if b.Spec.Dockerfile != nil {
		r.Dockerfile = *b.Spec.Dockerfile
	}
	if b.Spec.Timeout != nil {
		r.Timeout = b.Spec.Timeout.Duration
	}
	var err error
	if r.Source, err = Source(ctx, c.client, b.Namespace, b.Spec.SrcRepo); err != nil {
		return r, err
	}
	if push != nil {
		if r.Output.Auth, err = login(ctx, c.client, b.Namespace, push.Name, secret.ImageHost(b.Spec.Image)); err != nil {
			return r, c.withoutPush(err)
		}
	}
	if r.BuilderAuth, err = c.builderAuth(ctx, b); err != nil {
		return r, err
	}
	if r.Dependencies, err = c.dependencies(ctx, b); err != nil {
		return r, err
	}
	r.Params, err = c.params(ctx, b)
	return r, err
}

// sourceHost is the host of a git URL, also of the form user@host:path.
func sourceHost(raw string) string {
	if u, err := url.Parse(raw); err == nil && u.Host != "" {
		return u.Hostname()
	}
	_, rest, ok := strings.Cut(raw, "@")
	if !ok {
		return ""
	}
	host, _, _ := strings.Cut(rest, ":")
	return host
}

// withoutPush adds to a missing secret for the registry that none is needed here: manifests from elsewhere name one.
func (c *Controller) withoutPush(err error) error {
	var missing *secret.Missing
	if !c.options.Local || !errors.As(err, &missing) {
		return err
	}
	return &secret.Missing{Message: missing.Message + ": make it, or leave spec.imageCredentials out to keep the image in the registry of this platform"}
}
