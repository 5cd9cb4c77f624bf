// Package unpack writes tar archives from strangers into a directory and nowhere else.
//
// Two kinds of archive come here: the layers of images, where the directory is the root of a file system that will be
// mounted later, and bundles of source, which are read by tools on this machine. Every write goes through os.Root, so that even a mistake
// here cannot reach outside of the directory.
package unpack

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	securejoin "github.com/cyphar/filepath-securejoin"
)

// Limits bound what one archive may become. Zero fields take the defaults.
type Limits struct {
	Bytes   int64 // of all files together; 0 is 16 GiB
	Entries int   // files, directories and links; 0 is one million
}

// Whiteouts says what becomes of the marks by which a layer removes what lower layers hold.
type Whiteouts int

// The ways to treat whiteouts.
const (
	// Refuse ends with ErrWhiteout at the first one.
	Refuse Whiteouts = iota
	// Overlay turns them into the kernel's form: a character device 0:0, and the attribute overlay.opaque of a directory.
	Overlay
	// Apply removes what they name from the directory, which already holds the lower layers.
	Apply
)

// Options say how an archive is read.
type Options struct {
	Limits    Limits
	Whiteouts Whiteouts
	// Own gives files the numeric owner the archive names; it needs the right to. Otherwise they belong to the process.
	Own bool
	// Source is for archives that tools of this machine will read: absolute names and targets, devices, pipes and whiteouts are refused.
	Source bool
}

// ErrWhiteout says that the layer removes something of a lower layer.
var ErrWhiteout = errors.New("the layer has whiteouts")

// Error is an archive that was refused.
type Error struct {
	Entry   string // name in the archive, empty when it is the whole
	Problem string
}

// Error names the entry and what is wrong with it.
func (e *Error) Error() string {
	if e.Entry == "" {
		return "archive refused: " + e.Problem
	}
	return fmt.Sprintf("archive refused: entry %q %s", e.Entry, e.Problem)
}

// Stats is what an archive became.
type Stats struct {
	Bytes   int64
	Entries int
}

// Tar reads an uncompressed archive to its end and writes it into dir, which must exist. Set-user-id and set-group-id bits,
// extended attributes and file capabilities are dropped: inside an instance they have no effect, on the host they would be a danger.
// The error is an *Error when the archive is at fault. What was written until then stays.
func Tar(ctx context.Context, dir string, r io.Reader, o Options) (Stats, error) {
	if o.Limits.Bytes == 0 {
		o.Limits.Bytes = 16 << 30
	}
	if o.Limits.Entries == 0 {
		o.Limits.Entries = 1_000_000
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Stats{}, err
	}
	defer root.Close()
	x := &extraction{ctx: ctx, dir: filepath.Clean(dir), root: root, o: o, kinds: map[string]kind{".": directory}, dirs: map[string]*tar.Header{}}
	if err := x.all(tar.NewReader(r)); err != nil {
		return x.stats, err
	}
	if err := x.checkLinks(); err != nil {
		return x.stats, err
	}
	if err := x.finishDirs(); err != nil {
		return x.stats, err
	}
	_, err = io.Copy(io.Discard, &contextReader{ctx, r}) // what pads the archive belongs to its digest
	return x.stats, err
}

type kind byte

const (
	directory kind = iota + 1
	other
	hidden // a whiteout
)

// extraction is one archive on its way.
type extraction struct {
	ctx   context.Context
	dir   string
	root  *os.Root
	o     Options
	stats Stats
	kinds map[string]kind        // what this archive has made, by resolved name
	dirs  map[string]*tar.Header // modes and times of directories, set at the end
	links []string               // symbolic links of a source
}

func (x *extraction) all(tr *tar.Reader) error {
	for {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return unreadable(err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if x.stats.Entries++; x.stats.Entries > x.o.Limits.Entries {
			return &Error{Problem: fmt.Sprintf("it has more than %d entries", x.o.Limits.Entries)}
		}
		if err := x.entry(h, tr); err != nil {
			return err
		}
	}
}

// unreadable tells a damaged archive from a source that failed.
func unreadable(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, tar.ErrFieldTooLong) || errors.Is(err, tar.ErrInsecurePath) {
		return &Error{Problem: "it is not a tar archive, or damaged: " + err.Error()}
	}
	return fmt.Errorf("reading the archive: %w", err)
}

func (x *extraction) entry(h *tar.Header, body io.Reader) error {
	name, err := x.clean(h.Name)
	if err != nil {
		return err
	}
	if base := path.Base(name); !x.o.Source && strings.HasPrefix(base, whiteoutPrefix) {
		return x.whiteout(h.Name, path.Dir(name), base)
	}
	if x.skip(name, h) {
		return nil
	}
	if name, err = x.place(h, name); err != nil {
		return err
	}
	if err := x.vacate(h, name); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return x.mkdir(h, name)
	case tar.TypeReg:
		return x.file(h, name, body)
	case tar.TypeSymlink:
		return x.symlink(h, name)
	case tar.TypeLink:
		return x.hardlink(h, name)
	case tar.TypeFifo:
		if !x.o.Source {
			return x.fifo(h, name)
		}
	}
	return &Error{h.Name, "is a device or another kind of file that is not allowed here"}
}

// skip tells of device files below /dev: every instance gets a /dev of its own.
func (x *extraction) skip(name string, h *tar.Header) bool {
	return !x.o.Source && (h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock) && strings.HasPrefix(name, "dev/")
}

// clean turns a name of the archive into a path relative to the root. A leading slash means the root of the image;
// several image builders write it.
func (x *extraction) clean(name string) (string, error) {
	switch {
	case strings.ContainsRune(name, 0) || len(name) > 4096:
		return "", &Error{name[:min(len(name), 80)], "has an impossible name"}
	case x.o.Source && strings.HasPrefix(name, "/"):
		return "", &Error{name, "has an absolute name"}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", &Error{name, "climbs out of its root with .."}
		}
		if len(part) > 255 {
			return "", &Error{name[:80], "has an impossible name"}
		}
	}
	return path.Clean(strings.TrimLeft(name, "/") + "/"), nil
}

// place makes the directories above an entry and returns its name with every link among them resolved inside the root.
func (x *extraction) place(h *tar.Header, name string) (string, error) {
	if name == "." {
		if h.Typeflag != tar.TypeDir {
			return "", &Error{h.Name, "replaces the root"}
		}
		return name, nil
	}
	parent, err := x.parent(h.Name, path.Dir(name))
	if err != nil {
		return "", err
	}
	return path.Join(parent, path.Base(name)), nil
}

func (x *extraction) parent(entry, dir string) (string, error) {
	if x.kinds[dir] == directory {
		return dir, nil
	}
	above, err := x.parent(entry, path.Dir(dir))
	if err != nil {
		return "", err
	}
	dir = path.Join(above, path.Base(dir))
	if x.kinds[dir] == hidden {
		x.kinds[dir] = directory
		return dir, x.unhide(dir, true)
	}
	info, err := x.root.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := x.root.Mkdir(dir, 0o755); err != nil {
			return "", fmt.Errorf("unpacking: %w", err)
		}
	case err != nil:
		return "", fmt.Errorf("unpacking: %w", err)
	case info.Mode()&fs.ModeSymlink != 0:
		return x.follow(entry, dir)
	case !info.IsDir():
		return "", &Error{entry, fmt.Sprintf("lies below %q, which is a file", dir)}
	}
	if x.kinds[dir] == 0 {
		x.kinds[dir] = directory
	}
	return dir, nil
}

// follow resolves a link among the directories above an entry as the image's own kernel would: inside the root.
func (x *extraction) follow(entry, link string) (string, error) {
	if x.o.Source {
		return "", &Error{entry, fmt.Sprintf("lies below the link %q", link)}
	}
	full, err := securejoin.SecureJoin(x.dir, link)
	if err != nil {
		return "", &Error{entry, fmt.Sprintf("lies below the link %q that leads nowhere", link)}
	}
	dir := path.Clean(strings.TrimPrefix(strings.TrimPrefix(full, x.dir), "/"))
	if dir == link {
		return "", &Error{entry, fmt.Sprintf("lies below the link %q that leads to itself", link)}
	}
	return x.parent(entry, dir)
}

// vacate makes room for an entry. An archive may say a directory twice; anything else twice is refused.
// What a lower layer left gives way.
func (x *extraction) vacate(h *tar.Header, name string) error {
	was := x.kinds[name]
	isDir := h.Typeflag == tar.TypeDir
	switch {
	case was == hidden:
		if err := x.unhide(name, isDir); err != nil {
			return err
		}
	case was != 0 && !(was == directory && isDir):
		return &Error{h.Name, "appears twice"}
	}
	if was == 0 && x.o.Whiteouts == Apply {
		info, err := x.root.Lstat(name)
		if err == nil && !(info.IsDir() && isDir) {
			err = x.root.RemoveAll(name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("unpacking: %w", err)
		}
	}
	x.kinds[name] = other
	if isDir {
		x.kinds[name] = directory
	}
	return nil
}

// finishDirs sets modes, owners and times of directories, which would have hindered or been changed by what was put inside.
func (x *extraction) finishDirs() error {
	names := slices.Sorted(maps.Keys(x.dirs))
	for _, name := range slices.Backward(names) { // the deepest first, while those above may still be entered
		if err := x.settle(name, x.dirs[name]); err != nil {
			return err
		}
	}
	return nil
}

func (x *extraction) settle(name string, h *tar.Header) error {
	d, err := x.root.Open(name)
	if err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	defer d.Close()
	if x.o.Own {
		if err := d.Chown(h.Uid, h.Gid); err != nil {
			return fmt.Errorf("unpacking: %w", err)
		}
	}
	m := mode(h)
	if name == "." || !x.o.Own {
		m |= 0o700 // or the process could neither move nor remove what it made
	}
	if err := d.Chmod(m); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	return x.times(name, h)
}

func (x *extraction) times(name string, h *tar.Header) error {
	t := h.ModTime
	if t.Before(time.Unix(0, 0)) {
		t = time.Unix(0, 0)
	}
	if err := x.root.Chtimes(name, t, t); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	return nil
}

func mode(h *tar.Header) fs.FileMode {
	m := fs.FileMode(h.Mode) & fs.ModePerm
	if h.Typeflag == tar.TypeDir && h.Mode&0o1000 != 0 {
		m |= fs.ModeSticky
	}
	return m
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
