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
	queue   []object               // whose needs are not looked at yet
	seen    map[string]bool
	search  []string
}

// object is a shared object or program. One of a user names only files of its own tree, within, and libraries of the machine: what it names
// otherwise, whoever made it, would put any file of the machine into an image. Empty is an object of the machine.
type object struct{ file, within string }

// New begins an empty collection of files of the machine whose root is given: "/" but for tests.
func New(root string) *Collection {
	return &Collection{root: root, entries: map[string]build.Entry{}, seen: map[string]bool{}, search: searchPath(root)}
}

// Program adds an executable of the machine under the path that at says ("usr/local/bin/node"), with its loader and shared libraries.
// A script is added as it is.
func (c *Collection) Program(file, at string) error {
	return c.program(file, at, "")
}

// UserProgram is like Program for one that a user brings, in a directory of the user's that may hold libraries of its own.
func (c *Collection) UserProgram(file, at, within string) error {
	real, err := filepath.EvalSymlinks(within)
	if err != nil {
		return fmt.Errorf("collecting %s: %w", file, err)
	}
	return c.program(file, at, real)
}

func (c *Collection) program(file, at, within string) error {
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return fmt.Errorf("collecting %s: %w", file, err)
	}
	if within != "" && !below(within, real) {
		return fmt.Errorf("collecting %s: it leads out of %s", file, within)
	}
	c.add(build.Entry{Path: at, Mode: 0o755, File: real})
	c.queue = append(c.queue, object{real, within})
	return c.resolve()
}

func below(dir, file string) bool { return strings.HasPrefix(file, dir+string(filepath.Separator)) }

// Library adds a shared library by its name ("libstdc++.so.6") with those it needs. It is false when the machine has none.
func (c *Collection) Library(name string) (bool, error) {
	file, ok := c.find(name, elf.ELFCLASS64, nil, "")
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
	return c.tree(from, dir, keep, false)
}

// UserTree is like Tree for a directory that code of a user may have written: links that leave it are left out.
func (c *Collection) UserTree(from, dir string, keep func(p string, d fs.DirEntry) bool) error {
	return c.tree(from, dir, keep, true)
}

func (c *Collection) tree(from, dir string, keep func(p string, d fs.DirEntry) bool, users bool) error {
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
		return c.walked(name, real, path.Join(dir, rel), d, users)
	})
	if err != nil {
		return fmt.Errorf("collecting %s: %w", from, err)
	}
	return c.resolve()
}

// walked adds one file of a tree. A link that leaves the tree becomes what it points to.
func (c *Collection) walked(name, tree, at string, d fs.DirEntry, users bool) error {
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
		if info.IsDir() || users {
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
		o := object{file: name}
		if users {
			o.within = tree
		}
		c.queue = append(c.queue, o)
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
		o := c.queue[0]
		c.queue = c.queue[1:]
		if c.seen[o.file] {
			continue
		}
		c.seen[o.file] = true
		if err := c.needs(o); err != nil {
			return fmt.Errorf("looking for the libraries of %s: %w", o.file, err)
		}
	}
	return nil
}

func (c *Collection) needs(o object) error {
	f, err := elf.Open(o.file)
	if err != nil {
		var format *elf.FormatError
		if errors.As(err, &format) { // a script, or data of that name
			return nil
		}
		return err
	}
	defer f.Close()
	if err := c.loader(f, o); err != nil {
		return err
	}
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return err
	}
	own := runPath(f, filepath.Dir(o.file))
	for _, name := range libraries {
		found, ok := c.find(name, f.Class, own, o.within)
		if !ok {
			continue // optional parts of a tree name libraries that no machine need have; their import tells it
		}
		if err := c.library(found); err != nil {
			return err
		}
	}
	return nil
}

// loader adds the program that starts the object, where the kernel looks for it, whatever links lead there.
func (c *Collection) loader(f *elf.File, o object) error {
	name, err := interpreter(f)
	if err != nil || name == "" {
		return err
	}
	real, err := filepath.EvalSymlinks(filepath.Join(c.root, name))
	if err != nil {
		return err
	}
	if o.within != "" && !c.isLibrary(real) || classOf(real) != f.Class {
		return fmt.Errorf("its loader %s is none of this machine's", name)
	}
	c.add(build.Entry{Path: strings.TrimPrefix(path.Clean(name), "/"), Mode: 0o755, File: real})
	return nil
}

// isLibrary reports whether a file lies where the machine has its libraries.
func (c *Collection) isLibrary(real string) bool {
	return slices.ContainsFunc(c.search, func(dir string) bool {
		dir, err := filepath.EvalSymlinks(dir)
		return err == nil && below(dir, real)
	})
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
	c.queue = append(c.queue, object{file: real})
	return nil
}
