package unpack

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

func (x *extraction) mkdir(h *tar.Header, name string) error {
	x.dirs[name] = h
	if name == "." {
		return nil
	}
	if err := x.root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("unpacking: %w", err)
	}
	return nil
}

func (x *extraction) file(h *tar.Header, name string, body io.Reader) error {
	if h.Size > x.o.Limits.Bytes-x.stats.Bytes {
		return &Error{h.Name, fmt.Sprintf("makes the archive unpack to more than %d bytes", x.o.Limits.Bytes)}
	}
	f, err := x.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	n, err := io.Copy(f, &contextReader{x.ctx, body})
	x.stats.Bytes += n
	if err == nil {
		err = x.dress(f, h)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("unpacking %s: %w", h.Name, err)
	}
	return x.times(name, h)
}

func (x *extraction) dress(f *os.File, h *tar.Header) error {
	if x.o.Own {
		if err := f.Chown(h.Uid, h.Gid); err != nil {
			return err
		}
	}
	return f.Chmod(mode(h))
}

func (x *extraction) symlink(h *tar.Header, name string) error {
	if err := x.checkTarget(h, name); err != nil {
		return err
	}
	if err := x.root.Symlink(h.Linkname, name); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	if x.o.Source {
		x.links = append(x.links, name)
	}
	return x.lchown(h, name)
}

// checkLinks walks the links of a source, which may lead out only together: one to a directory above, the next through it and
// one step further.
func (x *extraction) checkLinks() error {
	for _, name := range x.links {
		if !LeadsInside(x.root, name) {
			return &Error{name, "links to the outside of its root"}
		}
	}
	return nil
}

// LeadsInside tells whether a path, all links on its way followed, stays below root. What does not exist is inside.
func LeadsInside(root *os.Root, name string) bool {
	_, err := root.Stat(name)
	return err == nil || errors.Is(err, fs.ErrNotExist)
}

// checkTarget refuses links that climb above the root. An absolute target means the root of the image; a bundle has no such root.
func (x *extraction) checkTarget(h *tar.Header, name string) error {
	to := h.Linkname
	switch {
	case to == "" || strings.ContainsRune(to, 0) || len(to) > 4095:
		return &Error{h.Name, "is a link to nowhere"}
	case path.IsAbs(to) && x.o.Source:
		return &Error{h.Name, fmt.Sprintf("links to %q outside of its root", to)}
	case path.IsAbs(to):
		return nil
	}
	if climbs(path.Dir(name), to) {
		return &Error{h.Name, fmt.Sprintf("links to %q outside of its root", to)}
	}
	return nil
}

// climbs tells whether a relative target, walked from dir, is above the root at any step. Links met on the way can only
// be told by walking, which is left to whoever mounts or opens the result inside a root.
func climbs(dir, target string) bool {
	depth := 0
	if dir != "." {
		depth = strings.Count(dir, "/") + 1
	}
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			depth--
		default:
			depth++
		}
		if depth < 0 {
			return true
		}
	}
	return false
}

func (x *extraction) hardlink(h *tar.Header, name string) error {
	to, err := x.clean(h.Linkname)
	if err != nil {
		return &Error{h.Name, fmt.Sprintf("links to %q outside of its root", h.Linkname)}
	}
	dir, err := x.parent(h.Name, path.Dir(to))
	if err != nil {
		return err
	}
	to = path.Join(dir, path.Base(to))
	info, err := x.root.Lstat(to)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (info.IsDir() || info.Mode()&fs.ModeDevice != 0) {
		return &Error{h.Name, fmt.Sprintf("is a hard link to %q, which is no file of this archive", h.Linkname)}
	}
	if err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	if err := x.root.Link(to, name); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	return nil
}

func (x *extraction) lchown(h *tar.Header, name string) error {
	if !x.o.Own {
		return nil
	}
	if err := x.root.Lchown(name, h.Uid, h.Gid); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	return nil
}
