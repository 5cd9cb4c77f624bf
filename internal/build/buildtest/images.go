package buildtest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/openfunction/ofn/internal/build"
)

// Images keeps images in memory. It is a build.Images for tests and benchmarks; its zero value is ready.
type Images struct {
	mu     sync.Mutex
	images map[string]v1.Image // by digest
	tags   map[string]string   // reference -> digest
	writes int
}

var _ build.Images = (*Images)(nil)

// Write assembles the image and keeps it.
func (m *Images) Write(_ context.Context, out build.Output, img build.Image) (string, int64, error) {
	image, err := assemble(img)
	if err != nil {
		return "", 0, fmt.Errorf("assembling the image: %w", err)
	}
	digest, err := image.Digest()
	if err != nil {
		return "", 0, fmt.Errorf("assembling the image: %w", err)
	}
	manifest, err := image.Manifest()
	if err != nil {
		return "", 0, fmt.Errorf("assembling the image: %w", err)
	}
	size := manifest.Config.Size
	for _, l := range manifest.Layers {
		size += l.Size
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.images == nil {
		m.images, m.tags = map[string]v1.Image{}, map[string]string{}
	}
	m.writes++
	m.images[digest.String()] = image
	m.tags[out.Image] = digest.String()
	return digest.String(), size, nil
}

// Reuse names an image that is kept.
func (m *Images) Reuse(_ context.Context, out build.Output, digest string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.images[digest] == nil {
		return false, nil
	}
	m.tags[out.Image] = digest
	return true, nil
}

// Writes counts the images that were written.
func (m *Images) Writes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.writes
}

// Forget drops everything.
func (m *Images) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.images, m.tags = nil, nil
}

// Config is the configuration of a kept image.
func (m *Images) Config(digest string) (*v1.ConfigFile, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.images[digest] == nil {
		return nil, errors.New("no such image: " + digest)
	}
	return m.images[digest].ConfigFile()
}

// Files reads all regular files of a kept image, by path.
func (m *Images) Files(digest string) (map[string][]byte, error) {
	m.mu.Lock()
	image := m.images[digest]
	m.mu.Unlock()
	if image == nil {
		return nil, errors.New("no such image: " + digest)
	}
	r := mutate.Extract(image)
	defer r.Close()
	files := map[string][]byte{}
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the image: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if files[h.Name], err = io.ReadAll(tr); err != nil {
			return nil, fmt.Errorf("reading the image: %w", err)
		}
	}
}

func assemble(img build.Image) (v1.Image, error) {
	image := empty.Image
	for _, l := range img.Layers {
		var b bytes.Buffer
		if err := l.WriteTar(&b); err != nil {
			return nil, err
		}
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }
		layer, err := tarball.LayerFromOpener(open, tarball.WithCompression(compression.GZip), tarball.WithCompressionLevel(1))
		if err != nil {
			return nil, err
		}
		if image, err = mutate.AppendLayers(image, layer); err != nil {
			return nil, err
		}
	}
	c, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	c = c.DeepCopy()
	c.OS, c.Architecture = img.OS, img.Arch
	c.Config = v1.Config{Entrypoint: img.Entrypoint, Env: img.Env, WorkingDir: img.Dir, User: img.User, Labels: img.Labels}
	return mutate.ConfigFile(image, c)
}
