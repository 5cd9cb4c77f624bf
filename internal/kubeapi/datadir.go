package kubeapi

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// formatVersion is the layout of the data directory that this program writes. A directory of a higher one is refused.
const formatVersion = 1

// dataDir is a locked data directory.
type dataDir struct {
	root string
	lock *os.File
}

func (d *dataDir) etcd() string           { return filepath.Join(d.root, "etcd") }
func (d *dataDir) pki(name string) string { return filepath.Join(d.root, "pki", name) }
func (d *dataDir) kubeconfig() string     { return filepath.Join(d.root, "kubeconfig") }
func (d *dataDir) installed() string      { return filepath.Join(d.root, "installed.json") }

// openDataDir creates the directory where needed, takes its lock and checks its format.
func openDataDir(root string) (*dataDir, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(root, "pki"), 0o700); err != nil {
		return nil, fmt.Errorf("creating the data directory: %w", err)
	}
	lock, err := lockFile(filepath.Join(root, "lock"))
	if err != nil {
		return nil, err
	}
	d := &dataDir{root: root, lock: lock}
	if err := d.checkFormat(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// lockFile takes an exclusive lock that ends with this process, however it ends, and leaves the pid for others to read.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of the data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking the data directory with %s: %w", path, err)
		}
		return nil, &LockedError{Dir: filepath.Dir(path), PID: readPID(path)}
	}
	if err := writePID(f); err != nil {
		return nil, errors.Join(fmt.Errorf("writing %s: %w", path, err), f.Close())
	}
	return f, nil
}

// LockedError says that another process uses the data directory.
type LockedError struct {
	Dir string // the data directory
	PID int    // the process that holds it, 0 when it could not be read
}

// Error names the directory, the holder and the way out.
func (e *LockedError) Error() string {
	holder := "another process"
	if e.PID > 0 {
		holder = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("the data directory %s is in use by %s; stop it or choose another directory", e.Dir, holder)
}

func readPID(path string) int {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(content)))
	if err != nil {
		return 0
	}
	return pid
}

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// checkFormat refuses the directory of a newer program, which this one could only damage.
func (d *dataDir) checkFormat() error {
	path := filepath.Join(d.root, "format")
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return writeFile(path, []byte(strconv.Itoa(formatVersion)+"\n"), 0o600)
	}
	if err != nil {
		return fmt.Errorf("reading the format of the data directory: %w", err)
	}
	found, err := strconv.Atoi(string(bytes.TrimSpace(content)))
	if err != nil {
		return fmt.Errorf("the data directory %s is damaged: %s holds %q where a number was expected; restore it from a backup or choose another directory",
			d.root, path, content)
	}
	if found > formatVersion {
		return fmt.Errorf("the data directory %s has format %d, this program knows %d: it was written by a newer version; use that version or choose another directory",
			d.root, found, formatVersion)
	}
	return nil
}

// close gives the lock back. The file stays: removing it would let two processes lock two files of the same name.
func (d *dataDir) close() error {
	if err := d.lock.Close(); err != nil {
		return fmt.Errorf("releasing the data directory: %w", err)
	}
	return nil
}

// writeFile replaces path in one step, so that a crash leaves the old content or the new one.
func writeFile(path string, content []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // fails once renamed, as it should
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
