// Package file makes events of files that come, change and go. What changes while nothing runs is not told.
package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/openfunction/ofn/internal/event/cloudevent"
	"github.com/openfunction/ofn/internal/event/source"
)

// spec is api/events/v1alpha1.FileSpec.
type spec struct {
	Path      string   `json:"path"`
	Pattern   string   `json:"pattern"`
	Recursive bool     `json:"recursive"`
	Events    []string `json:"events"`
	Content   bool     `json:"content"`
}

const (
	quiet      = 100 * time.Millisecond // a file is told of when it was left alone for so long
	maxContent = 1 << 20
	maxPending = 10_000
)

// Allow says which path of the machine a namespace means by a path, and refuses those that it may not see.
type Allow func(namespace, path string) (string, error)

// New makes the sources.
func New(allow Allow) source.New {
	return func(c source.Config) (source.Source, error) {
		s := spec{Events: []string{"create", "write"}}
		if err := c.Decode(&s); err != nil {
			return nil, err
		}
		if s.Path == "" {
			return nil, source.Required("path")
		}
		if _, err := filepath.Match(s.Pattern, "x"); err != nil {
			return nil, source.Invalid{Field: "pattern", Problem: "it must be like *.csv"}
		}
		for _, e := range s.Events {
			if !slices.Contains([]string{"create", "write", "remove", "rename"}, e) {
				return nil, source.Invalid{Field: "events", Problem: "none of create, write, remove and rename: " + e}
			}
		}
		root, err := allow(c.Namespace, s.Path)
		if err != nil {
			return nil, source.Invalid{Field: "path", Problem: err.Error()}
		}
		return &watch{id: c.Identity, spec: s, root: filepath.Clean(root)}, nil
	}
}

type watch struct {
	id   source.Identity
	spec spec
	root string
}

// Event is the payload.
type Event struct {
	Event   string    `json:"event"` // create, write, remove, rename
	Path    string    `json:"path"`  // as the source names it
	Name    string    `json:"name"`
	Size    int64     `json:"size,omitempty"`
	ModTime time.Time `json:"modTime,omitzero"`
}

func (w *watch) Run(ctx context.Context, out source.Out) error {
	fsw, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching files: %w", err)
	}
	defer func() { _ = fsw.Close() }()
	dir, only := w.root, ""
	if info, err := os.Stat(w.root); err == nil && !info.IsDir() {
		dir, only = filepath.Dir(w.root), w.root // editors replace files: their directory tells
	}
	if err := w.add(fsw, dir, nil); err != nil {
		return source.Ended(ctx, fmt.Errorf("watching %s: %w", w.spec.Path, err))
	}
	out.Connected()
	return source.Ended(ctx, w.follow(ctx, fsw, only, out))
}

// add watches a directory and, if that is wanted, those below; seen is told of the files there.
func (w *watch) add(fsw *fsnotify.Watcher, dir string, seen func(path string)) error {
	if !w.spec.Recursive {
		return fsw.Add(dir)
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path != dir:
			return nil
		case err != nil:
			return err
		case d.IsDir():
			return fsw.Add(path)
		case seen != nil:
			seen(path)
		}
		return nil
	})
}

type pending struct {
	what  string
	since time.Time // of the last change
}

func (w *watch) follow(ctx context.Context, fsw *fsnotify.Watcher, only string, out source.Out) error {
	waiting := map[string]pending{}
	tick := time.NewTicker(quiet / 2)
	defer tick.Stop()
	for {
		in := fsw.Events
		if len(waiting) >= maxPending {
			in = nil // first what is there; the kernel tells when its own queue overflows
		}
		select {
		case <-ctx.Done():
			return nil
		case err, ok := <-fsw.Errors:
			if !ok {
				return errors.New("watching files ended")
			}
			out.Trouble(fmt.Errorf("watching %s: %w; changes may have been missed", w.spec.Path, err))
			out.Connected()
		case e, ok := <-in:
			if !ok {
				return errors.New("watching files ended")
			}
			if err := w.note(fsw, e, only, waiting); err != nil {
				return err
			}
		case <-tick.C:
			if err := w.flush(ctx, waiting, out); err != nil {
				return err
			}
		}
	}
}

// note remembers a change; several changes of one file that is created or written are one.
func (w *watch) note(fsw *fsnotify.Watcher, e fsnotify.Event, only string, waiting map[string]pending) error {
	if only != "" && e.Name != only {
		return nil
	}
	if e.Name == w.root && (e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)) && only == "" {
		return fmt.Errorf("%s is gone", w.spec.Path)
	}
	now := time.Now()
	what := ""
	switch {
	case e.Has(fsnotify.Create):
		if info, err := os.Lstat(e.Name); err == nil && info.IsDir() {
			if w.spec.Recursive { // files may have come into it before it was watched
				return w.add(fsw, e.Name, func(path string) { waiting[path] = pending{"create", now} })
			}
			return nil
		}
		what = "create"
	case e.Has(fsnotify.Write):
		what = "write"
		if p, ok := waiting[e.Name]; ok && p.what == "create" {
			what = "create"
		}
	case e.Has(fsnotify.Remove):
		what = "remove"
	case e.Has(fsnotify.Rename):
		what = "rename"
	default:
		return nil
	}
	waiting[e.Name] = pending{what, now}
	return nil
}

func (w *watch) flush(ctx context.Context, waiting map[string]pending, out source.Out) error {
	now := time.Now()
	for path, p := range waiting {
		if now.Sub(p.since) < quiet {
			continue
		}
		delete(waiting, path)
		e, ok := w.event(path, p, now)
		if !ok {
			continue
		}
		if err := out.Emit(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (w *watch) event(path string, p pending, now time.Time) (e cloudevent.Event, ok bool) {
	name := filepath.Base(path)
	if matched, err := filepath.Match(w.spec.Pattern, name); !slices.Contains(w.spec.Events, p.what) || w.spec.Pattern != "" && (err != nil || !matched) {
		return e, false
	}
	rel, err := filepath.Rel(w.root, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return e, false
	}
	data := Event{Event: p.what, Path: filepath.Join(w.spec.Path, rel), Name: name}
	var content []byte
	if p.what == "create" || p.what == "write" {
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() {
			return e, false // it is gone again, or is no file: links may lead anywhere
		}
		data.Size, data.ModTime = info.Size(), info.ModTime().UTC()
		if w.spec.Content {
			if content, err = read(path); err != nil {
				return e, false
			}
		}
	}
	id := source.Hash(path, p.what, now.UTC().Format(time.RFC3339Nano))
	if w.spec.Content && content != nil {
		e = w.id.Make(id, "", content, now)
	} else {
		b, _ := json.Marshal(data) // strings and numbers
		e = w.id.Make(id, "application/json", b, now)
	}
	e.Subject = data.Path
	if e.Validate() != nil {
		e.Subject = ""
	}
	return e, true
}

// read reads the beginning of a file, never through a link: its directory is opened first.
func read(path string) ([]byte, error) {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	f, err := root.Open(filepath.Base(path))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxContent))
	if b == nil {
		b = []byte{}
	}
	return b, err
}
