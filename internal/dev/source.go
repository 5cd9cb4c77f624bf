package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/image/bundle"
)

// Source gives builds a copy of a directory, whatever source they ask for. What its .ofnignore names is left out, as when it is deployed.
type Source struct{ Dir string }

var _ build.Fetcher = Source{}

// Head implements build.Fetcher; a directory that is being worked on has no name for its state.
func (Source) Head(context.Context, build.Source) (string, error) { return "", nil }

// Fetch implements build.Fetcher.
func (s Source) Fetch(ctx context.Context, _ build.Source, dir string, log io.Writer) (build.Tree, error) {
	err := bundle.Walk(ctx, s.Dir, func(at, rel string, d fs.DirEntry) error {
		if rel == "." {
			return nil
		}
		err := copyEntry(filepath.Join(dir, filepath.FromSlash(rel)), at, rel, d)
		switch {
		case errors.Is(err, errOutside):
			fmt.Fprintf(log, "%s is left out: %v\n", rel, err)
			return nil
		case errors.Is(err, fs.ErrNotExist) && !d.IsDir():
			return nil // an editor's file that went at once
		}
		return err
	})
	if err != nil {
		return build.Tree{}, fmt.Errorf("reading the source: %w", err)
	}
	return build.Tree{SubPath: ".", Result: build.SourceResult{Name: "default"}}, nil
}

var errOutside = errors.New("it is a link that leads out of the directory, or no file")

func copyEntry(to, from, rel string, d fs.DirEntry) error {
	switch {
	case d.IsDir():
		return os.Mkdir(to, 0o755)
	case d.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		if path.IsAbs(target) || !filepath.IsLocal(path.Join(path.Dir(rel), target)) {
			return errOutside
		}
		return os.Symlink(target, to)
	case !d.Type().IsRegular():
		return errOutside
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm()|0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
