// Package system puts programs of this machine, such as an interpreter, into image layers together with the shared libraries they
// need, so that an image holds all that it runs with and runs elsewhere too.
package system

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build"
)

// Collection gathers files of this machine for a layer. Its zero value is not ready: see New.
type Collection struct {
	root    string
	entries map[string]build.Entry // by path in the image
	queue   []string               // shared objects whose needs are not looked at yet
	seen    map[string]bool
	search  []string
}

// New begins an empty collection of files of the machine whose root is given: "/" but for tests.
func New(root string) *Collection {
	return &Collection{root: root, entries: map[string]build.Entry{}, seen: map[string]bool{}, search: searchPath(root)}
}

// Program adds an executable under the path that at says ("usr/local/bin/node"), with its loader and shared libraries.
// A script is added as it is.
func (c *Collection) Program(file, at string) error {
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return fmt.Errorf("collecting %s: %w", file, err)
	}
	c.add(build.Entry{Path: at, Mode: 0o755, File: real})
	c.queue = append(c.queue, real)
	return c.resolve()
}

// Library adds a shared library by its name ("libstdc++.so.6") with those it needs. It is false when the machine has none.
func (c *Collection) Library(name string) (bool, error) {
	file, ok := c.find(name, elf.ELFCLASS64, nil)
	if !ok {
		return false, nil
	}
	if err := c.library(file); err != nil {
		return false, err
	}
	return true, c.resolve()
}

// Tree adds a directory of this machine under dir of the image, and the shared libraries that shared objects in it need from outside of
// it. keep, when not nil, is asked for each slash-separated path below the directory; a directory that is not kept is not entered.
func (c *Collection) Tree(from, dir string, keep func(p string, d fs.DirEntry) bool) error {
	real, err := filepath.EvalSymlinks(from)
	if err != nil {
		return fmt.Errorf("collecting %s: %w", from, err)
	}
	c.dirs(dir)
	err = filepath.WalkDir(real, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == real {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(name, real+string(filepath.Separator)))
		if keep != nil && !keep(rel, d) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		return c.walked(name, real, path.Join(dir, rel), d)
	})
	if err != nil {
		return fmt.Errorf("collecting %s: %w", from, err)
	}
	return c.resolve()
}

// walked adds one file of a tree. A link that leaves the tree becomes what it points to.
func (c *Collection) walked(name, tree, at string, d fs.DirEntry) error {
	if d.IsDir() {
		c.dirs(at)
		return nil
	}
	info, err := os.Stat(name) // follows links
	if err != nil {
		return nil //nolint:nilerr // a link to nothing: nobody can miss it
	}
	if d.Type()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(name)
		if err != nil {
			return err
		}
		real, err := filepath.EvalSymlinks(name)
		if err != nil {
			return err
		}
		if !filepath.IsAbs(target) && strings.HasPrefix(real, tree+string(filepath.Separator)) {
			c.add(build.Entry{Path: at, Mode: fs.ModeSymlink | 0o777, Link: target})
			return nil
		}
		name = real
		if info.IsDir() {
			return nil // another tree: the caller names it if it is needed
		}
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	c.add(build.Entry{Path: at, Mode: mode, File: name})
	if strings.Contains(filepath.Base(name), ".so") || mode == 0o755 {
		c.queue = append(c.queue, name)
	}
	return nil
}

// Layer is what was collected, sorted by path.
func (c *Collection) Layer() build.Layer {
	var l build.Layer
	for _, e := range c.entries {
		l = append(l, e)
	}
	slices.SortFunc(l, func(a, b build.Entry) int { return strings.Compare(a.Path, b.Path) })
	return l
}

func (c *Collection) add(e build.Entry) {
	c.dirs(path.Dir(e.Path))
	c.entries[e.Path] = e
}

func (c *Collection) dirs(dir string) {
	for ; dir != "." && dir != "/"; dir = path.Dir(dir) {
		if _, ok := c.entries[dir]; ok {
			return
		}
		c.entries[dir] = build.Entry{Path: dir, Mode: fs.ModeDir | 0o755}
	}
}

// resolve adds what the queued objects need, and what those need.
func (c *Collection) resolve() error {
	for len(c.queue) > 0 {
		file := c.queue[0]
		c.queue = c.queue[1:]
		if c.seen[file] {
			continue
		}
		c.seen[file] = true
		if err := c.needs(file); err != nil {
			return fmt.Errorf("looking for the libraries of %s: %w", file, err)
		}
	}
	return nil
}

func (c *Collection) needs(file string) error {
	f, err := elf.Open(file)
	if err != nil {
		var format *elf.FormatError
		if errors.As(err, &format) { // a script, or data of that name
			return nil
		}
		return err
	}
	defer f.Close()
	loader, err := interpreter(f)
	if err != nil {
		return err
	}
	if loader != "" { // where the kernel looks for it, whatever links lead there
		real, err := filepath.EvalSymlinks(filepath.Join(c.root, loader))
		if err != nil {
			return err
		}
		c.add(build.Entry{Path: strings.TrimPrefix(loader, "/"), Mode: 0o755, File: real})
	}
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return err
	}
	own := runPath(f, filepath.Dir(file))
	for _, name := range libraries {
		found, ok := c.find(name, f.Class, own)
		if !ok {
			continue // optional parts of a tree name libraries that no machine need have; their import tells it
		}
		if err := c.library(found); err != nil {
			return err
		}
	}
	return nil
}

// library adds a shared object under the path by which it was found, unless a tree that was collected holds it.
func (c *Collection) library(file string) error {
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	for _, e := range c.entries {
		if e.File == real {
			return nil
		}
	}
	at, err := filepath.Rel(c.root, file)
	if err != nil {
		return err
	}
	c.add(build.Entry{Path: filepath.ToSlash(at), Mode: 0o755, File: real})
	c.queue = append(c.queue, real)
	return nil
}
