package lang

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/openfunction/ofn/internal/build"
)

// OpenMade opens a file that code of the user could write while the build ran: the result of a check, a jar, a list of requirements. name is below
// dir, absolute or from there, and such code cannot replace dir itself. On the way there are no links, and what is there is a file: anything else is a
// *build.Failure, because it would have this process read a file of the machine, or wait for ever.
func OpenMade(dir, name string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening what the build made: %w", err)
	}
	defer root.Close()
	rel, err := inside(dir, name)
	if err != nil {
		return nil, err
	}
	info, err := direct(root, rel)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, notMade(rel, "no file")
	}
	f, err := root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening what the build made: %w", err)
	}
	now, err := f.Stat()
	if err == nil && !os.SameFile(info, now) {
		err = notMade(rel, "being replaced")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// ReadMade is the content of a file as OpenMade opens it. One with more than most bytes is a *build.Failure.
func ReadMade(dir, name string, most int64) ([]byte, error) {
	f, err := OpenMade(dir, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("reading what the build made: %w", err)
	}
	if int64(len(data)) > most {
		return nil, notMade(filepath.Base(name), fmt.Sprintf("larger than %d MiB", most>>20))
	}
	return data, nil
}

// MadeDir tells whether a directory is there that code of the user could make. One that is reached by a link is a *build.Failure, as for OpenMade.
func MadeDir(dir, name string) (bool, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false, fmt.Errorf("opening what the build made: %w", err)
	}
	defer root.Close()
	rel, err := inside(dir, name)
	if err != nil {
		return false, err
	}
	info, err := direct(root, rel)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.IsDir(), err
}

// inside is the path of name from dir.
func inside(dir, name string) (string, error) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	rel, err := filepath.Rel(dir, name)
	if err == nil && !filepath.IsLocal(rel) {
		err = fmt.Errorf("%s is not below %s", name, dir)
	}
	if err != nil {
		return "", fmt.Errorf("opening what the build made: %w", err)
	}
	return rel, nil
}

// direct looks at a path that no part of is a link.
func direct(root *os.Root, rel string) (fs.FileInfo, error) {
	for i := 0; i < len(rel); i++ {
		if rel[i] != filepath.Separator {
			continue
		}
		info, err := root.Lstat(rel[:i])
		if err != nil {
			return nil, fmt.Errorf("opening what the build made: %w", err)
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return nil, notMade(rel[:i], "a link")
		}
	}
	info, err := root.Lstat(rel)
	if err != nil {
		return nil, fmt.Errorf("opening what the build made: %w", err)
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return nil, notMade(rel, "a link")
	}
	return info, nil
}

func notMade(name, what string) *build.Failure {
	return Failure("BuildOutputInvalid", "what the build made cannot be taken: %s is %s; a file itself, of a usual size, must be there",
		strings.TrimPrefix(filepath.ToSlash(name), "project/"), what)
}
