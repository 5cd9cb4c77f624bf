package unpack

import (
	"archive/tar"
	"errors"
	"fmt"
	"path"
	"strings"
)

// The names by which a layer says that something of a lower layer is gone.
const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
	metaPrefix     = ".wh..wh."
)

// whiteout treats the mark base in dir.
func (x *extraction) whiteout(entry, dir, base string) error {
	if x.o.Whiteouts == Refuse {
		return ErrWhiteout
	}
	if base != opaqueName && strings.HasPrefix(base, metaPrefix) {
		return nil // bookkeeping of an old union file system
	}
	gone := strings.TrimPrefix(base, whiteoutPrefix)
	if base != opaqueName && (gone == "" || gone == "." || gone == "..") {
		return &Error{entry, "is a whiteout of nothing"}
	}
	dir, err := x.parent(entry, dir)
	if err != nil {
		return err
	}
	switch {
	case base == opaqueName && x.o.Whiteouts == Overlay:
		return x.inDir(dir, setOpaque)
	case base == opaqueName:
		return x.empty(dir)
	}
	return x.hide(dir, gone)
}

// hide removes what lower layers have under a name.
func (x *extraction) hide(dir, base string) error {
	name := path.Join(dir, base)
	switch was := x.kinds[name]; {
	case was == directory && x.o.Whiteouts == Overlay:
		return x.inDir(name, setOpaque) // the layer has a directory of its own there, not to be merged
	case was != 0:
		return nil
	case x.o.Whiteouts == Overlay:
		x.kinds[name] = hidden
		return x.inDir(dir, func(fd int) error { return makeWhiteout(fd, base) })
	}
	if err := x.root.RemoveAll(name); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	return nil
}

// unhide takes a whiteout back for an entry of the same layer and name. A directory there hides what lower layers have below it.
func (x *extraction) unhide(name string, isDir bool) error {
	if err := x.root.Remove(name); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	if !isDir {
		return nil
	}
	if err := x.root.Mkdir(name, 0o755); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	return x.inDir(name, setOpaque)
}

// empty removes from dir what this archive did not put there.
func (x *extraction) empty(dir string) error {
	d, err := x.root.Open(dir)
	if err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	names, err := d.Readdirnames(-1)
	if err := errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	for _, n := range names {
		name := path.Join(dir, n)
		switch x.kinds[name] {
		case 0:
			err = x.root.RemoveAll(name)
		case directory:
			err = x.empty(name)
		}
		if err != nil {
			return fmt.Errorf("unpacking: %w", err)
		}
	}
	return nil
}

func (x *extraction) fifo(h *tar.Header, name string) error {
	return x.inDir(path.Dir(name), func(fd int) error {
		return makeFifo(fd, path.Base(name), uint32(mode(h).Perm()))
	})
}

func (x *extraction) inDir(dir string, f func(fd int) error) error {
	d, err := x.root.Open(dir)
	if err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	defer d.Close()
	if err := f(int(d.Fd())); err != nil {
		return fmt.Errorf("unpacking into %s: %w", dir, err)
	}
	return nil
}
