package native

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

// tree is a fetched source: every file of it, in the order of their names.
type tree struct {
	root  string // directory on this machine
	sub   string // where to build, slash-separated; "." is root
	dirs  []string
	files []file
	hash  string // of names, permissions and content
}

// file is a regular file or a symbolic link. Its path is slash-separated, from the root of the source.
type file struct {
	path string
	mode fs.FileMode
	link string
}

// readTree lists and hashes a source. It refuses links that leave it and anything that is neither file, directory nor link.
func readTree(root, sub string) (*tree, error) {
	t := &tree{root: root, sub: sub}
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
			t.dirs = append(t.dirs, p)
			return nil
		}
		return t.add(inside, h, p, d)
	})
	t.hash = hex.EncodeToString(h.Sum(nil))
	return t, err
}

func (t *tree) add(inside *os.Root, h io.Writer, p string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return fmt.Errorf("reading the source: %w", err)
	}
	f := file{path: p, mode: 0o644}
	if info.Mode()&0o111 != 0 {
		f.mode = 0o755
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		f.mode |= fs.ModeSymlink
		if f.link, err = inside.Readlink(p); err != nil {
			return fmt.Errorf("reading the source: %w", err)
		}
		if err := checkLink(inside, p, f.link); err != nil {
			return err
		}
		fmt.Fprintf(h, "link %q %q\n", p, f.link)
	case info.Mode().IsRegular():
		fmt.Fprintf(h, "file %q %o %d\n", p, f.mode, info.Size())
		if err := copyInto(h, inside, p); err != nil {
			return err
		}
	default:
		return failure("SourceInvalid", "%s is neither a file, a directory nor a link: remove it from the source", p)
	}
	t.files = append(t.files, f)
	return nil
}

func checkLink(inside *os.Root, p, target string) error {
	_, err := inside.Stat(p)
	lexical := path.Join(path.Dir(p), target)
	if path.IsAbs(target) || lexical == ".." || strings.HasPrefix(lexical, "../") || (err != nil && !os.IsNotExist(err)) {
		return failure("SourceInvalid", "the link %s points to %s, outside the source: a build sees nothing but its source", p, target)
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

// abs is the path on this machine of a slash-separated path from the root of the source.
func (t *tree) abs(p string) string { return filepath.Join(t.root, filepath.FromSlash(p)) }

// has tells whether a regular file of that path is in the source.
func (t *tree) has(p string) bool {
	for _, f := range t.files {
		if f.path == p {
			return f.mode.IsRegular()
		}
	}
	return false
}

// layer puts what is at or below the sub-path under dir; replaced gives files whose content in the work directory is not the user's own.
func (t *tree) layer(dir string, replaced map[string][]byte) build.Layer {
	l := build.Layer{{Path: dir, Mode: fs.ModeDir | 0o755}}
	for _, d := range t.dirs {
		if rel, ok := below(t.sub, d); ok && rel != "." {
			l = append(l, build.Entry{Path: path.Join(dir, rel), Mode: fs.ModeDir | 0o755})
		}
	}
	for _, f := range t.files {
		rel, ok := below(t.sub, f.path)
		if !ok {
			continue
		}
		e := build.Entry{Path: path.Join(dir, rel), Mode: f.mode, Link: f.link}
		if data, changed := replaced[f.path]; changed {
			e.Data = data
		} else if f.mode.IsRegular() {
			e.File = t.abs(f.path)
		}
		l = append(l, e)
	}
	return l
}

// below makes p relative to dir, when it is dir or inside it. Both are slash-separated and clean.
func below(dir, p string) (string, bool) {
	if dir == "." {
		return p, true
	}
	if p == dir {
		return ".", true
	}
	return strings.CutPrefix(p, dir+"/")
}
