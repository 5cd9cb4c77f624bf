// Package assemble makes images out of files: the same input gives the same digest, on every machine and at any time.
package assemble

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// File is one entry of a layer. Of From, Data and Link at most one is set; none is an empty file, or a directory by its Mode.
type File struct {
	Path string      // inside the image, with or without a leading slash
	Mode fs.FileMode // permission bits, fs.ModeDir, fs.ModeSticky
	From string      // file on this machine
	Data []byte
	Link string // target of a symbolic link
}

// Layer makes a layer of files, sorted by path, owned by root, without times. Directories above them are added.
func Layer(files []File) (v1.Layer, error) {
	entries, err := arrange(files)
	if err != nil {
		return nil, err
	}
	return Stream(func(w io.Writer) error {
		t := tar.NewWriter(w)
		for _, e := range entries {
			if err := e.write(t); err != nil {
				return err
			}
		}
		return t.Close()
	})
}

// Stream makes a layer of the uncompressed archive that write writes. The compressed layer is kept in a temporary file that
// has no name and is gone with the layer, so that it is compressed once and not held in memory.
func Stream(write func(io.Writer) error) (v1.Layer, error) {
	f, err := os.CreateTemp("", "ofn-layer-")
	if err != nil {
		return nil, fmt.Errorf("making a layer: %w", err)
	}
	l := &layer{f: f}
	if err := errors.Join(os.Remove(f.Name()), l.write(write)); err != nil {
		return nil, errors.Join(fmt.Errorf("making a layer: %w", err), f.Close())
	}
	return l, nil
}

// DirLayer makes a layer of everything in dir, placed below prefix. Links are kept as they are; devices, pipes and sockets are an error.
func DirLayer(dir, prefix string) (v1.Layer, error) {
	var files []File
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		f, err := FromDisk(p, path.Join(prefix, filepath.ToSlash(rel)), d)
		if err == nil && f.Path != "." && f.Path != "/" {
			files = append(files, f)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("making a layer of %s: %w", dir, err)
	}
	return Layer(files)
}

// ErrSpecial says that a file is a device, pipe or socket.
var ErrSpecial = errors.New("is neither a file, a directory nor a link")

// FromDisk describes a file of this machine as an entry. Of its mode only what a build means is kept: executable or not.
func FromDisk(from, to string, d fs.DirEntry) (File, error) {
	switch {
	case d.IsDir():
		return File{Path: to, Mode: fs.ModeDir | 0o755}, nil
	case d.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		return File{Path: to, Mode: 0o777, Link: target}, err
	case !d.Type().IsRegular():
		return File{}, fmt.Errorf("%s %w", from, ErrSpecial)
	}
	info, err := d.Info()
	if err != nil {
		return File{}, err
	}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	return File{Path: to, Mode: mode, From: from}, nil
}

// arrange cleans paths, adds directories and sorts.
func arrange(files []File) ([]File, error) {
	byPath := map[string]File{}
	for _, f := range files {
		f.Path = strings.TrimPrefix(path.Clean("/"+f.Path), "/")
		if f.Path == "" {
			return nil, errors.New("making a layer: an entry has no name")
		}
		if old, ok := byPath[f.Path]; ok && !(old.Mode.IsDir() && f.Mode.IsDir()) {
			return nil, fmt.Errorf("making a layer: %s appears twice", f.Path)
		}
		byPath[f.Path] = f
	}
	for _, f := range files {
		for dir := path.Dir(strings.TrimPrefix(path.Clean("/"+f.Path), "/")); dir != "."; dir = path.Dir(dir) {
			above, ok := byPath[dir]
			if ok && !above.Mode.IsDir() {
				return nil, fmt.Errorf("making a layer: %s lies below %s, which is no directory", f.Path, dir)
			}
			if !ok {
				byPath[dir] = File{Path: dir, Mode: fs.ModeDir | 0o755}
			}
		}
	}
	sorted := make([]File, 0, len(byPath))
	for _, f := range byPath {
		sorted = append(sorted, f)
	}
	slices.SortFunc(sorted, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return sorted, nil
}

// layer is a v1.Layer over a compressed file.
type layer struct {
	f            *os.File
	size         int64
	digest, diff v1.Hash
}

func (l *layer) write(write func(io.Writer) error) error {
	sum, diff := sha256.New(), sha256.New()
	z, err := gzip.NewWriterLevel(io.MultiWriter(l.f, sum), gzip.BestSpeed)
	if err != nil {
		return err
	}
	if err := errors.Join(write(io.MultiWriter(z, diff)), z.Close()); err != nil {
		return err
	}
	l.digest, l.diff = hashOf(sum), hashOf(diff)
	l.size, err = l.f.Seek(0, io.SeekCurrent)
	return err
}

func hashOf(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// write appends the entry to an archive.
func (f File) write(w *tar.Writer) error {
	h := &tar.Header{Name: f.Path, Mode: int64(f.Mode.Perm()), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
	if f.Mode&fs.ModeSticky != 0 {
		h.Mode |= 0o1000
	}
	switch {
	case f.Mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, f.Path+"/"
		return w.WriteHeader(h)
	case f.Link != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, f.Link
		return w.WriteHeader(h)
	case f.From != "":
		return f.copyFrom(w, h)
	}
	h.Typeflag, h.Size = tar.TypeReg, int64(len(f.Data))
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(w, bytes.NewReader(f.Data))
	return err
}

func (f File) copyFrom(w *tar.Writer, h *tar.Header) error {
	src, err := os.Open(f.From)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(w, io.LimitReader(src, h.Size))
	if err == nil && n != h.Size {
		err = fmt.Errorf("%s became shorter while it was read", f.From)
	}
	return err
}

func (l *layer) Digest() (v1.Hash, error)             { return l.digest, nil }
func (l *layer) DiffID() (v1.Hash, error)             { return l.diff, nil }
func (l *layer) Size() (int64, error)                 { return l.size, nil }
func (l *layer) MediaType() (types.MediaType, error)  { return types.OCILayer, nil }
func (l *layer) Compressed() (io.ReadCloser, error)   { return io.NopCloser(l.reader()), nil }
func (l *layer) Uncompressed() (io.ReadCloser, error) { return gzip.NewReader(l.reader()) }
func (l *layer) reader() io.Reader                    { return io.NewSectionReader(l.f, 0, l.size) }
