package dev

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/openfunction/ofn/internal/image/bundle"
)

const (
	// settle is how long nothing may happen before a save counts as done: editors write in several steps.
	settle = 60 * time.Millisecond
	// mostWait bounds that for a directory in which something always happens.
	mostWait = time.Second
)

// watcher tells of changes to the source in a directory. Events only say when to look: what changed is seen by comparing, so that an
// ignored file, a new directory or a lost event need no care of their own.
type watcher struct {
	dir     string
	notify  *fsnotify.Watcher
	seen    map[string]stamp
	changes chan []string // the paths that changed, slash-separated from dir
}

// stamp is what tells one state of a file from another.
type stamp struct {
	size    int64
	changed time.Time
	mode    fs.FileMode
}

func newWatcher(ctx context.Context, dir string) (*watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", dir, err)
	}
	w := &watcher{dir: dir, notify: notify, seen: map[string]stamp{}, changes: make(chan []string)}
	if _, err := w.look(ctx); err != nil {
		return nil, errors.Join(err, notify.Close())
	}
	return w, nil
}

// run sends what changes until ctx ends or watching fails.
func (w *watcher) run(ctx context.Context) error {
	var quiet, latest <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-w.notify.Events:
			if !ok {
				return errors.New("the system ended the watch")
			}
			quiet = time.After(settle)
			if latest == nil {
				latest = time.After(mostWait)
			}
			continue
		case err := <-w.notify.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watching %s: %w", w.dir, err)
			}
		case <-quiet:
		case <-latest:
		}
		quiet, latest = nil, nil
		changed, err := w.look(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if len(changed) == 0 {
			continue
		}
		select {
		case w.changes <- changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// look compares the source with what was there before, and watches its directories.
func (w *watcher) look(ctx context.Context) ([]string, error) {
	now, err := w.list(ctx)
	for range 3 { // a directory may go while it is being read
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		now, err = w.list(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("looking at the source: %w", err)
	}
	var changed []string
	for rel, s := range now {
		if w.seen[rel] != s {
			changed = append(changed, rel)
		}
	}
	for rel := range w.seen {
		if _, there := now[rel]; !there {
			changed = append(changed, rel)
		}
	}
	w.seen = now
	slices.Sort(changed)
	return changed, nil
}

func (w *watcher) list(ctx context.Context) (map[string]stamp, error) {
	found := map[string]stamp{}
	err := bundle.Walk(ctx, w.dir, func(at, rel string, d fs.DirEntry) error {
		if d.IsDir() {
			return w.watch(at)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		found[rel] = stamp{info.Size(), info.ModTime(), info.Mode()}
		return nil
	})
	return found, err
}

// watch also renews the watch of a directory that was replaced by another of its name; to one that is watched it does nothing.
func (w *watcher) watch(dir string) error {
	err := w.notify.Add(dir)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) {
		return fmt.Errorf("watching %s: the system allows no more watches: list what is not source in %s, or raise the limit (on Linux: sysctl fs.inotify.max_user_watches): %w",
			dir, bundle.IgnoreFile, err)
	}
	return err
}
