package dev

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build"
)

// Program is what a build made, ready to run on this machine.
type Program struct {
	Args, Env []string // Env is what the build says about the function, "KEY=value"
	// Dir is where it runs; empty is the developer's own directory.
	Dir string
	// Root holds the files of this version alone.
	Root string
	// ListenFD says that it takes its listening socket as file descriptor 3, otherwise it listens on the port in $PORT.
	ListenFD bool
	Digest   string // of all that but Root
}

// Programs lays out what the programs of images need on this machine. It serves one build at a time.
type Programs struct {
	dir  string
	last Program
	n    int
}

var _ build.Images = (*Programs)(nil)

// NewPrograms keeps programs in a directory that exists and is its own.
func NewPrograms(dir string) *Programs { return &Programs{dir: dir} }

// Write implements build.Images: it keeps the image's program in a directory of its own.
func (p *Programs) Write(_ context.Context, _ build.Output, img build.Image) (string, int64, error) {
	l := img.Local
	if l == nil {
		return "", 0, &build.Failure{Reason: "LocalUnsupported", Message: "programs of this kind run in an image only: deploy it with `ofn deploy`"}
	}
	p.n++
	made := Program{Root: filepath.Join(p.dir, fmt.Sprintf("version-%d", p.n)), ListenFD: l.ListenFD}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %v\n", l.Args, l.Env, l.Dir, l.ListenFD)
	size, err := layOut(made.Root, l, h)
	if err != nil {
		return "", 0, errors.Join(fmt.Errorf("keeping the program: %w", err), os.RemoveAll(made.Root))
	}
	at := strings.NewReplacer(build.LocalRoot, made.Root)
	for _, s := range l.Args {
		made.Args = append(made.Args, at.Replace(s))
	}
	for _, s := range l.Env {
		made.Env = append(made.Env, at.Replace(s))
	}
	made.Dir = at.Replace(l.Dir)
	made.Digest = "sha256:" + hex.EncodeToString(h.Sum(nil))
	p.last = made
	return made.Digest, size, nil
}

// Reuse implements build.Images.
func (p *Programs) Reuse(_ context.Context, _ build.Output, digest string) (bool, error) {
	if p.last.Digest != digest {
		return false, nil
	}
	_, err := os.Stat(p.last.Root)
	return err == nil, nil
}

// Last is the program of the build that ended last with success.
func (p *Programs) Last() Program { return p.last }

// forget makes a version that is being removed one that no build can come back to.
func (p *Programs) forget(root string) {
	if p.last.Root == root {
		p.last = Program{}
	}
}

// layOut makes the files of a program and tells their size. Everything of them but the place goes into the hash.
func layOut(root string, l *build.Local, h hash.Hash) (int64, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return 0, err
	}
	inside, err := os.OpenRoot(root)
	if err != nil {
		return 0, err
	}
	defer inside.Close()
	var size int64
	for _, layer := range l.Layers {
		for _, e := range layer {
			n, err := place(inside, e, h)
			if err != nil {
				return 0, err
			}
			size += n
		}
	}
	for _, at := range slices.Sorted(maps.Keys(l.Links)) {
		fmt.Fprintf(h, "link %q %q\n", at, l.Links[at])
		name := filepath.FromSlash(at)
		if err := inside.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return 0, err
		}
		if err := inside.Symlink(l.Links[at], name); err != nil {
			return 0, err
		}
	}
	return size, nil
}

// place makes one file. A higher layer replaces what a lower one has.
func place(inside *os.Root, e build.Entry, h hash.Hash) (int64, error) {
	fmt.Fprintf(h, "%q %v %q\n", e.Path, e.Mode, e.Link)
	name := filepath.FromSlash(e.Path)
	if e.Mode.IsDir() {
		return 0, inside.MkdirAll(name, 0o755)
	}
	if err := inside.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return 0, err
	}
	if err := inside.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if e.Mode&fs.ModeSymlink != 0 {
		return 0, inside.Symlink(e.Link, name)
	}
	return copyEntryOf(inside, name, e, h)
}

// copyEntryOf copies because the work directory of a build goes when it ends.
func copyEntryOf(inside *os.Root, name string, e build.Entry, h hash.Hash) (int64, error) {
	var from io.Reader = strings.NewReader(string(e.Data))
	if e.File != "" {
		f, err := os.Open(e.File)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		from = f
	}
	out, err := inside.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, e.Mode.Perm()|0o600)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.MultiWriter(out, h), from)
	return n, errors.Join(err, out.Close())
}
