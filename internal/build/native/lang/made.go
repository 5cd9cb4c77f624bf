package lang

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/openfunction/ofn/internal/build"
)

// Guard has every command of the build checked for having left a directory below Work alone: still there, and reached by no link. The builder uses
// such directories by their names, and code of the user could otherwise lead it elsewhere.
func (j *Job) Guard(dir string) { j.guarded = append(j.guarded, dir) }

// Unguard ends what Guard began, for a directory that the builder moves away.
func (j *Job) Unguard(dir string) {
	j.guarded = slices.DeleteFunc(j.guarded, func(d string) bool { return d == dir })
}

// guard fails when a guarded directory is not itself any more.
func (j *Job) guard() error {
	for _, dir := range j.guarded {
		is, err := MadeDir(j.Work, dir)
		if err == nil && !is {
			err = notMade(filepath.Base(dir), "no directory any more")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Fresh makes a directory in Work that code of the user cannot have prepared, because nobody knows its name before.
func (j *Job) Fresh() (string, error) {
	dir, err := os.MkdirTemp(j.Work, "made-")
	if err == nil {
		err = os.Chmod(dir, 0o755) //nolint:gosec // what becomes a part of images is for everybody
	}
	if err != nil {
		return "", fmt.Errorf("preparing a directory of the build: %w", err)
	}
	return dir, nil
}

// OpenMade opens a file that code of the user could write while the build ran: the result of a check, a jar, a list of requirements. name is below
// dir, absolute or from there, and such code cannot replace dir itself. On the way there are no links, and what is there is a file: anything else is a
// *build.Failure, because it would have this process read a file of the machine, or wait for ever.
func OpenMade(dir, name string) (f *os.File, err error) {
	err = within(dir, name, func(root *os.Root, rel string) error {
		info, err := direct(root, rel)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return notMade(rel, "no file")
		}
		if f, err = open(root, rel); err != nil {
			return err
		}
		if now, err := f.Stat(); err != nil || !os.SameFile(info, now) {
			return errors.Join(err, notMade(rel, "being replaced"), f.Close())
		}
		return nil
	})
	return f, err
}

// open does not wait for the other end of a pipe.
func open(root *os.Root, rel string) (*os.File, error) {
	f, err := root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening what the build made: %w", err)
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
	return bounded(f, most)
}

func bounded(f *os.File, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("reading what the build made: %w", err)
	}
	if int64(len(data)) > most {
		return nil, notMade(filepath.Base(f.Name()), fmt.Sprintf("larger than %d MiB", most>>20))
	}
	return data, nil
}

// ReadWithin is like ReadMade where links are usual, as among the packages of pnpm: those that stay below dir are followed.
func ReadWithin(dir, name string, most int64) (data []byte, err error) {
	err = within(dir, name, func(root *os.Root, rel string) error {
		f, err := open(root, rel)
		if err != nil {
			return err
		}
		defer f.Close()
		if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
			return errors.Join(err, notMade(rel, "no file"))
		}
		data, err = bounded(f, most)
		return err
	})
	return data, err
}

// MadeDir tells whether a directory is there that code of the user could make. One that is reached by a link is a *build.Failure, as for OpenMade.
func MadeDir(dir, name string) (is bool, err error) {
	err = within(dir, name, func(root *os.Root, rel string) error {
		info, err := direct(root, rel)
		is = err == nil && info.IsDir()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return is, err
}

// within calls do with a directory out of which nothing leads, and the path of name from there.
func within(dir, name string, do func(root *os.Root, rel string) error) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening what the build made: %w", err)
	}
	defer root.Close()
	rel, err := inside(dir, name)
	if err != nil {
		return err
	}
	return do(root, rel)
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
