package lang

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/openfunction/ofn/internal/build"
)

// WriteFile replaces a file in one step, so that a reader or a crash never meets half of it. A link in its place is replaced, not followed.
func WriteFile(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone after a successful rename
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// Touch marks something of a cache as used. It is no matter when that fails: it may be removed, and is then made again.
func Touch(name string) {
	now := time.Now()
	_ = os.Chtimes(name, now, now)
}

// DirLayer puts a directory of this machine under dir of an image. keep, when not nil, is asked for every slash-separated path
// below the directory; a directory that is not kept is not entered.
func DirLayer(from, dir string, keep func(p string, d fs.DirEntry) bool) (build.Layer, error) {
	from, err := filepath.EvalSymlinks(from)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Base(from), err)
	}
	l := build.Layer{{Path: dir, Mode: fs.ModeDir | 0o755}}
	err = filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == from {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if keep != nil && !keep(rel, d) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		e, ok, err := dirEntry(name, path.Join(dir, rel), d)
		if ok {
			l = append(l, e)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", filepath.Base(from), err)
	}
	return l, nil
}

// dirEntry is not ok for what images do not hold, such as sockets.
func dirEntry(name, at string, d fs.DirEntry) (build.Entry, bool, error) {
	switch {
	case d.IsDir():
		return build.Entry{Path: at, Mode: fs.ModeDir | 0o755}, true, nil
	case d.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(name)
		return build.Entry{Path: at, Mode: fs.ModeSymlink | 0o644, Link: target}, true, err
	case !d.Type().IsRegular():
		return build.Entry{}, false, nil
	}
	info, err := d.Info()
	if err != nil {
		return build.Entry{}, false, err
	}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	return build.Entry{Path: at, Mode: mode, File: name}, true, nil
}
