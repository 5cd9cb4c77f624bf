package bundle

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
)

// Walk visits what of a directory is source: everything but .git and what the ignore files name. at is the path to open, rel the
// slash-separated path from dir; dir itself comes first, as ".". Links are visited, not followed. visit may return fs.SkipDir.
func Walk(ctx context.Context, dir string, visit func(at, rel string, d fs.DirEntry) error) error {
	w := &walker{dir: dir}
	var err error
	if w.own, err = w.read(IgnoreFile, nil); err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, at)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if err := w.enter(rel, d); err != nil {
			return err
		}
		if w.ignored {
			return nil
		}
		return visit(at, rel, d)
	})
}

// walker is one walk.
type walker struct {
	dir      string
	patterns []gitignore.Pattern
	own      bool // patterns come from IgnoreFile alone
	ignored  bool // the entry last entered is no source
}

// enter decides about one entry and reads the ignore file of a directory.
func (w *walker) enter(rel string, d fs.DirEntry) error {
	parts := strings.Split(rel, "/")
	if rel == "." {
		parts = nil
	}
	w.ignored = parts != nil && (d.Name() == ".git" || gitignore.NewMatcher(w.patterns).Match(parts, d.IsDir()))
	if w.ignored && d.IsDir() {
		return fs.SkipDir
	}
	if w.ignored || !d.IsDir() || w.own {
		return nil
	}
	_, err := w.read(path.Join(rel, ".gitignore"), parts)
	return err
}

// read adds the patterns of an ignore file of the directory domain; it tells whether there is one.
func (w *walker) read(name string, domain []string) (bool, error) {
	f, err := os.Open(filepath.Join(w.dir, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if s := lines.Text(); !strings.HasPrefix(s, "#") && strings.TrimSpace(s) != "" {
			w.patterns = append(w.patterns, gitignore.ParsePattern(s, slices.Clone(domain)))
		}
	}
	if err := lines.Err(); err != nil {
		return false, fmt.Errorf("reading %s: %w", name, err)
	}
	return true, nil
}
