// Package bundle carries source code as an image: one layer that is the source directory, the same form as the source
// bundles of Shipwright, so that any registry can hold it.
package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/openfunction/ofn/internal/image/assemble"
	"github.com/openfunction/ofn/internal/image/unpack"
)

// IgnoreFile names the file that says what is no part of the source, in the syntax of .gitignore. Where there is one in the
// top directory, the .gitignore files are not read.
const IgnoreFile = ".ofnignore"

// MaxBytes is the default limit of a source.
const MaxBytes = 512 << 20

// maxEntries bounds the number of files of a source.
const maxEntries = 200_000

// Options steer Pack.
type Options struct {
	// MaxBytes bounds the files together, uncompressed; 0 is MaxBytes.
	MaxBytes int64
}

// Packed is a bundle and what became of the directory.
type Packed struct {
	Image v1.Image
	Files int
	Bytes int64 // uncompressed
	// Skipped are the paths that a bundle cannot carry: links that lead out of the directory, devices, pipes and sockets.
	Skipped []string
}

// Pack makes a bundle of a directory. The same content gives the same digest. .git is never part of it.
func Pack(ctx context.Context, dir string, o Options) (Packed, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = MaxBytes
	}
	info, err := os.Stat(dir)
	if err != nil {
		return Packed{}, fmt.Errorf("packing the source: %w", err)
	}
	if !info.IsDir() {
		return Packed{}, fmt.Errorf("packing the source: %s is not a directory", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Packed{}, fmt.Errorf("packing the source: %w", err)
	}
	defer root.Close()
	p := &packer{dir: dir, root: root, sizes: map[string]int64{}}
	if err := Walk(ctx, dir, p.visit); err != nil {
		return Packed{}, fmt.Errorf("packing the source: %w", err)
	}
	if err := p.check(o.MaxBytes); err != nil {
		return Packed{}, err
	}
	layer, err := assemble.Layer(p.entries)
	if err != nil {
		return Packed{}, fmt.Errorf("packing the source: %w", err)
	}
	// Source is for every platform, so its config names none.
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if p.packed.Image, err = mutate.AppendLayers(img, layer); err != nil {
		return Packed{}, fmt.Errorf("packing the source: %w", err)
	}
	return p.packed, nil
}

// packer packs one directory.
type packer struct {
	dir     string
	root    *os.Root // dir, to follow links
	entries []assemble.File
	sizes   map[string]int64 // by top-level entry and, below it, by second level, for the message about the limit
	packed  Packed
}

// visit takes one entry, unless there are too many.
func (p *packer) visit(at, rel string, d fs.DirEntry) error {
	if rel == "." {
		return nil
	}
	if len(p.entries) >= maxEntries {
		return fmt.Errorf("%s has more than %d files; list what is not source in %s", p.dir, maxEntries, IgnoreFile)
	}
	return p.add(at, rel, d)
}

// add takes one entry, or notes that it cannot be carried.
func (p *packer) add(at, rel string, d fs.DirEntry) error {
	f, err := assemble.FromDisk(at, rel, d)
	if errors.Is(err, assemble.ErrSpecial) || err == nil && f.Link != "" && !p.inside(rel, f.Link) {
		p.packed.Skipped = append(p.packed.Skipped, rel)
		return nil
	}
	if err != nil {
		return err
	}
	p.entries = append(p.entries, f)
	if d.IsDir() {
		return nil
	}
	p.packed.Files++
	if f.From == "" {
		return nil
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	p.packed.Bytes += info.Size()
	for i, c := range rel + "/" {
		if c == '/' && strings.Count(rel[:i], "/") < 2 {
			p.sizes[rel[:i]] += info.Size()
		}
	}
	return nil
}

// inside tells whether a link's target stays in the bundle.
func (p *packer) inside(link, target string) bool {
	return !path.IsAbs(target) && filepath.IsLocal(path.Join(path.Dir(link), target)) && unpack.LeadsInside(p.root, link)
}

// TooLargeError says that a source exceeds the limit, and what makes it large.
type TooLargeError struct {
	Dir          string
	Bytes, Limit int64
	Largest      []string // "node_modules (780 MB)"
}

// Error says what to do.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("source %s is %s, the limit is %s; largest: %s; add what the build does not need to %s",
		e.Dir, humanize.IBytes(uint64(e.Bytes)), humanize.IBytes(uint64(e.Limit)), strings.Join(e.Largest, ", "), IgnoreFile)
}

func (p *packer) check(limit int64) error {
	switch {
	case p.packed.Files == 0:
		return fmt.Errorf("source %s is empty: there is no file in it, or all are ignored", p.dir)
	case p.packed.Bytes <= limit:
		return nil
	}
	var names []string
	for n, size := range p.sizes {
		// An entry that is nearly all of the one above it says more than that one.
		if top, _, below := strings.Cut(n, "/"); !below || size*10 > p.sizes[top]*9 {
			names = append(names, n)
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool {
		return slices.ContainsFunc(names, func(m string) bool { return strings.HasPrefix(m, n+"/") })
	})
	slices.SortFunc(names, func(a, b string) int { return int(min(1, max(-1, p.sizes[b]-p.sizes[a]))) })
	e := &TooLargeError{Dir: p.dir, Bytes: p.packed.Bytes, Limit: limit}
	for _, n := range names[:min(5, len(names))] {
		e.Largest = append(e.Largest, fmt.Sprintf("%s (%s)", n, humanize.IBytes(uint64(p.sizes[n]))))
	}
	return e
}

// Unpack writes a bundle into dir, which must exist. limits of zero are those of a source. A bundle that would write anywhere
// else, or is too large, is refused with an *unpack.Error.
func Unpack(ctx context.Context, img v1.Image, dir string, limits unpack.Limits) error {
	if limits.Bytes == 0 {
		limits.Bytes = MaxBytes
	}
	if limits.Entries == 0 {
		limits.Entries = maxEntries
	}
	layers, err := img.Layers()
	if err != nil {
		return fmt.Errorf("reading the bundle: %w", err)
	}
	if len(layers) != 1 {
		return &unpack.Error{Problem: fmt.Sprintf("it is no source bundle: it has %d layers instead of one", len(layers))}
	}
	packed, err := layers[0].Compressed() // checked against its digest as it is read
	if err != nil {
		return fmt.Errorf("reading the bundle: %w", err)
	}
	defer packed.Close()
	plain, err := unpack.Decompress(packed)
	if err != nil {
		return fmt.Errorf("reading the bundle: %w", err)
	}
	defer plain.Close()
	_, err = unpack.Tar(ctx, dir, plain, unpack.Options{Limits: limits, Source: true})
	return err
}
