package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// refName is the annotation by which an OCI layout names its images.
const refName = "org.opencontainers.image.ref.name"

// Keep writes images into an OCI layout in the directory images of dir. each is told of every one that is in.
func (t *Transfer) Keep(ctx context.Context, dir string, images []Image, each func(Sent)) error {
	at, err := layout.Write(filepath.Join(dir, ImagesDir), empty.Index)
	if err != nil {
		return fmt.Errorf("making a directory for images: %w", err)
	}
	for _, i := range images {
		d, err := t.get(ctx, i.From)
		if err != nil {
			return err
		}
		named := layout.WithAnnotations(map[string]string{refName: i.To})
		if d.MediaType.IsIndex() {
			index, failed := d.ImageIndex()
			if err = failed; err == nil {
				err = at.AppendIndex(index, named)
			}
		} else {
			img, failed := d.Image()
			if err = failed; err == nil {
				err = at.AppendImage(img, named)
			}
		}
		if err != nil {
			return fmt.Errorf("writing image %s: %w", i.From, err)
		}
		each(Sent{Image: i})
	}
	return nil
}

// ImportAll puts the images of a directory that Keep wrote into the platform's own registry.
func (t *Transfer) ImportAll(ctx context.Context, dir string, each func(name string)) error {
	index, err := layout.ImageIndexFromPath(filepath.Join(dir, ImagesDir))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s has no images: it was exported without --images; apply it with `ofn apply -k %s`", dir, dir)
	}
	if err != nil {
		return fmt.Errorf("reading the images of %s: %w", dir, err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return fmt.Errorf("reading the images of %s: %w", dir, err)
	}
	for _, d := range manifest.Manifests {
		name := d.Annotations[refName]
		if name == "" {
			return fmt.Errorf("reading the images of %s: %s has no name (annotation %s)", dir, d.Digest, refName)
		}
		content, err := entry(index, d)
		if err != nil {
			return fmt.Errorf("reading image %s: %w", name, err)
		}
		if err := t.Import(ctx, content, name); err != nil {
			return err
		}
		each(name)
	}
	return nil
}

func entry(index v1.ImageIndex, d v1.Descriptor) (remote.Taggable, error) {
	if d.MediaType.IsIndex() {
		return index.ImageIndex(d.Digest)
	}
	return index.Image(d.Digest)
}
