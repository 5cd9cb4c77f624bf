package lang

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/openfunction/ofn/internal/build"
)

// Tree is a fetched source: every file of it, in the order of their names.
type Tree struct {
	Root  string // directory on this machine
	Sub   string // where to build, slash-separated; "." is root
	Dirs  []string
	Files []File
	Hash  string // of names, permissions and content
}

// File is a regular file or a symbolic link. Its path is slash-separated, from the root of the source.
type File struct {
	Path string
	Mode fs.FileMode
	Link string
}

// ReadTree lists and hashes a source. It refuses links that leave it and anything that is neither file, directory nor link.
func ReadTree(root, sub string) (*Tree, error) {
	t := &Tree{Root: root, Sub: sub}
	inside, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("opening the source: %w", err)
	}
	defer inside.Close()
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", sub)
	err = fs.WalkDir(inside.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("reading the source: %w", err)
		}
		if d.IsDir() {
			if d.Name() == ".git" {
				return fs.SkipDir
			}
			t.Dirs = append(t.Dirs, p)
			return nil
		}
		return t.add(inside, h, p, d)
	})
	t.Hash = hex.EncodeToString(h.Sum(nil))
	return t, err
}

func (t *Tree) add(inside *os.Root, h io.Writer, p string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return fmt.Errorf("reading the source: %w", err)
	}
	f := File{Path: p, Mode: 0o644}
	if info.Mode()&0o111 != 0 {
		f.Mode = 0o755
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		f.Mode |= fs.ModeSymlink
		if f.Link, err = inside.Readlink(p); err != nil {
			return fmt.Errorf("reading the source: %w", err)
		}
		if err := checkLink(inside, p, f.Link); err != nil {
			return err
		}
		fmt.Fprintf(h, "link %q %q\n", p, f.Link)
	case info.Mode().IsRegular():
		fmt.Fprintf(h, "file %q %o %d\n", p, f.Mode, info.Size())
		if err := copyInto(h, inside, p); err != nil {
			return err
		}
	default:
		return Failure("SourceInvalid", "%s is neither a file, a directory nor a link: remove it from the source", p)
	}
	t.Files = append(t.Files, f)
	return nil
}

func checkLink(inside *os.Root, p, target string) error {
	_, err := inside.Stat(p)
	lexical := path.Join(path.Dir(p), target)
	if path.IsAbs(target) || lexical == ".." || strings.HasPrefix(lexical, "../") || (err != nil && !os.IsNotExist(err)) {
		return Failure("SourceInvalid", "the link %s points to %s, outside the source: a build sees nothing but its source", p, target)
	}
	return nil
}

func copyInto(w io.Writer, inside *os.Root, p string) error {
	f, err := inside.Open(p)
	if err != nil {
		return fmt.Errorf("reading the source: %w", err)
	}
	defer f.Close()
	if _, err := io.Copy(w, f); err != nil {
		return fmt.Errorf("reading the source: %w", err)
	}
	return nil
}

// Abs is the path on this machine of a slash-separated path from the root of the source.
func (t *Tree) Abs(p string) string { return filepath.Join(t.Root, filepath.FromSlash(p)) }

// Has tells whether a regular file of that path is in the source.
func (t *Tree) Has(p string) bool {
	for _, f := range t.Files {
		if f.Path == p {
			return f.Mode.IsRegular()
		}
	}
	return false
}

// Layer puts what is at or below the sub-path under dir; replaced gives files whose content in the work directory is not the user's own.
func (t *Tree) Layer(dir string, replaced map[string][]byte) build.Layer {
	l := build.Layer{{Path: dir, Mode: fs.ModeDir | 0o755}}
	for _, d := range t.Dirs {
		if rel, ok := Below(t.Sub, d); ok && rel != "." {
			l = append(l, build.Entry{Path: path.Join(dir, rel), Mode: fs.ModeDir | 0o755})
		}
	}
	for _, f := range t.Files {
		rel, ok := Below(t.Sub, f.Path)
		if !ok {
			continue
		}
		e := build.Entry{Path: path.Join(dir, rel), Mode: f.Mode, Link: f.Link}
		if data, changed := replaced[f.Path]; changed {
			e.Data = data
		} else if f.Mode.IsRegular() {
			e.File = t.Abs(f.Path)
		}
		l = append(l, e)
	}
	return l
}

// Below makes p relative to dir, when it is dir or inside it. Both are slash-separated and clean.
func Below(dir, p string) (string, bool) {
	if dir == "." {
		return p, true
	}
	if p == dir {
		return ".", true
	}
	return strings.CutPrefix(p, dir+"/")
}
