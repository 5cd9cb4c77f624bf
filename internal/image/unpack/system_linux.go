package unpack

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// setOpaque marks a directory for overlay mounts made inside a user namespace (user.) and outside of one (trusted., which
// only root may set).
func setOpaque(fd int) error {
	err := unix.Fsetxattr(fd, "user.overlay.opaque", []byte("y"), 0)
	if os.Geteuid() == 0 {
		err = errors.Join(err, unix.Fsetxattr(fd, "trusted.overlay.opaque", []byte("y"), 0))
	}
	return err
}

// CanOverlay tells whether the file system under dir and the rights of the process allow the kernel's form of whiteouts.
func CanOverlay(dir string) bool {
	probe, err := os.MkdirTemp(dir, "whiteout-")
	if err != nil {
		return false
	}
	defer os.RemoveAll(probe)
	d, err := os.Open(probe)
	if err != nil {
		return false
	}
	defer d.Close()
	return setOpaque(int(d.Fd())) == nil && unix.Mknodat(int(d.Fd()), "w", unix.S_IFCHR, 0) == nil
}

// Sync makes everything on the file system of dir durable: one call instead of one for each of thousands of files.
func Sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return &fs.PathError{Op: "syncfs", Path: dir, Err: err}
	}
	return nil
}

func makeWhiteout(fd int, name string) error { return unix.Mknodat(fd, name, unix.S_IFCHR, 0) }

func makeFifo(fd int, name string, perm uint32) error { return unix.Mkfifoat(fd, name, perm) }
