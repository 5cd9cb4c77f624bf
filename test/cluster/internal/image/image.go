// Package image makes image archives out of static binaries, and of programs of this machine with what they load.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// File is one file of an image: a program at an absolute path, copied from Source, a path of this machine.
type File struct {
	Path   string
	Source string
}

// Write writes an archive, as of docker save, of an image called tag that holds files and starts the first one. The image runs as
// user 65532, has a /tmp, and nothing else.
func Write(w io.Writer, tag string, files ...File) error {
	ref, err := name.NewTag(tag)
	if err != nil {
		return fmt.Errorf("naming the image: %w", err)
	}
	content, err := layer(files)
	if err != nil {
		return fmt.Errorf("making the layer of %s: %w", tag, err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
		tarball.WithCompressionLevel(gzip.BestSpeed)) // it goes no further than this machine
	if err != nil {
		return fmt.Errorf("making the layer of %s: %w", tag, err)
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		return err
	}
	img, err = mutate.ConfigFile(img, config(img, files))
	if err != nil {
		return err
	}
	return tarball.Write(ref, img, w)
}

func config(img v1.Image, files []File) *v1.ConfigFile {
	c := &v1.ConfigFile{Architecture: runtime.GOARCH, OS: "linux"}
	if had, err := img.ConfigFile(); err == nil {
		c.RootFS = had.RootFS
		c.History = had.History
	}
	c.Config.User = "65532:65532"
	c.Config.Env = []string{"PATH=/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin:/ko-app", "HOME=/tmp"}
	c.Config.Entrypoint = []string{files[0].Path}
	return c
}

func layer(files []File) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	made := map[string]bool{}
	dir := func(path string, mode int64) error {
		if made[path] {
			return nil
		}
		made[path] = true
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: path + "/", Mode: mode})
	}
	if err := dir("tmp", 0o1777); err != nil {
		return nil, err
	}
	text := map[string]string{"etc/passwd": "nonroot:x:65532:65532::/tmp:/sbin/nologin\n", "etc/group": "nonroot:x:65532:\n"}
	if err := dir("etc", 0o755); err != nil {
		return nil, err
	}
	for _, path := range slices.Sorted(maps.Keys(text)) {
		if err := put(w, path, 0o644, []byte(text[path])); err != nil {
			return nil, err
		}
	}
	for _, f := range files {
		target := strings.TrimPrefix(path.Clean(f.Path), "/")
		if parent := path.Dir(target); parent != "." {
			if err := dir(parent, 0o755); err != nil {
				return nil, err
			}
		}
		content, err := os.ReadFile(f.Source)
		if err != nil {
			return nil, err
		}
		if err := put(w, target, 0o755, content); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}

func put(w *tar.Writer, path string, mode int64, content []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: path, Mode: mode, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}
