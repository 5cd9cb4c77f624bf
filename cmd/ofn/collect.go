package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openfunction/ofn/api/core/v1beta2"
	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/image"
)

// collectEvery is the time between two collections. What a collection spares is an hour old at least, so that more often
// would find nothing more.
const collectEvery = time.Hour

// collector removes images and layers that nothing needs. It keeps every tag, since somebody gave it that name, and of the rest the digests
// that a revision runs or ran, that a function was built to, and that a function's source was fetched as. Of what is unpacked only those
// digests count: a tag alone is unpacked again when it is wanted. What image.Store.GC spares besides is said there.
type collector struct {
	client client.Client
	store  *image.Store
	builds *build.Logs
	log    *slog.Logger
}

// Start collects now and then until ctx ends.
func (c *collector) Start(ctx context.Context) error {
	every := time.NewTicker(collectEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		if err := c.collect(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("images that nothing uses are still there", "err", err)
		}
	}
}

func (c *collector) collect(ctx context.Context) error {
	if err := c.forget(ctx); err != nil {
		return err
	}
	digests, err := c.inUse(ctx)
	if err != nil {
		return err
	}
	freed, err := c.store.GC(ctx, keeping(digests))
	if err != nil {
		return err
	}
	c.log.Debug("collected images that nothing uses", "freed", freed)
	return nil
}

// forget removes the logs of builds whose Builders went while nobody looked. Logs are listed first: the Builder of each was known by then.
func (c *collector) forget(ctx context.Context) error {
	kept, err := c.builds.Kept()
	if err != nil {
		return err
	}
	var builders v1beta2.BuilderList
	if err := c.client.List(ctx, &builders); err != nil {
		return fmt.Errorf("asking which builds there are: %w", err)
	}
	there := map[string]bool{}
	for i := range builders.Items {
		there[builders.Items[i].Namespace+"/"+builders.Items[i].Name] = true
	}
	var errs []error
	for _, id := range kept {
		if !there[id] {
			errs = append(errs, c.builds.Remove(id))
		}
	}
	return errors.Join(errs...)
}

// forgetBuild removes the log of a build whose Builder is gone: the next function of the name has builds of the same names.
func (p *platform) forgetBuild(namespace, name string) {
	if err := p.builds.logs.Remove(namespace + "/" + name); err != nil {
		p.log.Warn("the log of a build that is gone stays", "err", err)
	}
}

// keeping is true for every tag and for these digests.
func keeping(digests map[string]bool) func(ref string) bool {
	return func(ref string) bool {
		_, digest, byDigest := strings.Cut(ref, "@")
		return !byDigest || digests[digest]
	}
}

// inUse are the digests that revisions run and builds were made from.
func (c *collector) inUse(ctx context.Context) (map[string]bool, error) {
	out := map[string]bool{}
	var servings v1beta2.ServingList
	var functions v1beta2.FunctionList
	for _, list := range []client.ObjectList{&servings, &functions} {
		if err := c.client.List(ctx, list); err != nil {
			return nil, fmt.Errorf("asking which images are in use: %w", err)
		}
	}
	note := func(ref string) {
		if _, digest, ok := strings.Cut(ref, "@"); ok {
			out[digest] = true
		}
	}
	for i := range servings.Items {
		note(servings.Items[i].Spec.Image)
		out[servings.Items[i].Status.ImageDigest] = true
	}
	for i := range functions.Items {
		f := &functions.Items[i]
		note(f.Spec.Image)
		if f.Spec.Build != nil && f.Spec.Build.SrcRepo != nil && f.Spec.Build.SrcRepo.BundleContainer != nil {
			note(f.Spec.Build.SrcRepo.BundleContainer.Image)
		}
		if f.Status.Revision != nil {
			out[f.Status.Revision.ImageDigest] = true
		}
		for _, s := range f.Status.Sources {
			if s.Bundle != nil {
				out[s.Bundle.Digest] = true
			}
		}
	}
	return out, nil
}
