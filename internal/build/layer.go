package build

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Layer is one layer of an image, in the order of its archive.
type Layer []Entry

// Entry is a file, directory or symbolic link of a layer, owned by root, last changed at the beginning of 1970.
type Entry struct {
	Path string      // slash-separated, without a leading slash
	Mode fs.FileMode // type and permission bits
	Link string      // target of a symbolic link
	File string      // where a regular file's content is on this machine; when empty, it is Data
	Data []byte
}

// WriteTar writes the layer, uncompressed. Equal content gives equal bytes.
func (l Layer) WriteTar(w io.Writer) error {
	tw := tar.NewWriter(w)
	for _, e := range l {
		if err := e.write(tw); err != nil {
			return fmt.Errorf("writing %s into the image layer: %w", e.Path, err)
		}
	}
	return tw.Close()
}

// Fingerprint names the content of a layer without reading its files: by their names, sizes, times and numbers on the disk. It is for
// files that outlive a build; equal fingerprints mean equal archives on this machine.
func (l Layer) Fingerprint() (string, error) {
	h := sha256.New()
	for _, e := range l {
		fmt.Fprintf(h, "%q %o %q %x\n", e.Path, e.Mode, e.Link, sha256.Sum256(e.Data))
		if e.File == "" {
			continue
		}
		info, err := os.Stat(e.File)
		if err != nil {
			return "", fmt.Errorf("looking at %s for an image layer: %w", e.Path, err)
		}
		fmt.Fprintf(h, "%q %d %d %d\n", e.File, info.Size(), info.ModTime().UnixNano(), fileNumber(info))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (e Entry) write(tw *tar.Writer) error {
	h := &tar.Header{Name: e.Path, Mode: int64(e.Mode.Perm()), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
	switch {
	case e.Mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, e.Path+"/"
		return tw.WriteHeader(h)
	case e.Mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.Link
		return tw.WriteHeader(h)
	case e.File == "":
		h.Size = int64(len(e.Data))
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		_, err := tw.Write(e.Data)
		return err
	}
	return e.copyFile(tw, h)
}

// open refuses a file that links lead to: what a build of a user ran may have put one in its place, to a file of this machine.
func (e Entry) open() (*os.File, error) {
	real, err := filepath.EvalSymlinks(e.File)
	if err != nil {
		return nil, err
	}
	if real != filepath.Clean(e.File) {
		return nil, fmt.Errorf("%s is not the file itself: the build has put a link in its place", e.File)
	}
	return os.Open(real)
}

func (e Entry) copyFile(tw *tar.Writer, h *tar.Header) error {
	f, err := e.open()
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h.Size = info.Size()
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(tw, f)
	return err
}

// fileNumber is the inode, which a replaced file of the same size and time does not share.
func fileNumber(info os.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}
