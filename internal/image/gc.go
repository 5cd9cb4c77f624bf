package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/openfunction/ofn/internal/image/registry"
)

// Freed is what a garbage collection gave back.
type Freed struct {
	Registry registry.Freed
	Images   int // remembered
	Layers   int // directories
}

// hold keeps directories from GC until release.
func (s *Store) hold(dirs []string) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range dirs {
		s.inUse[d]++
	}
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, d := range dirs {
			if s.inUse[d]--; s.inUse[d] == 0 {
				delete(s.inUse, d)
			}
		}
	})
}

// GC removes what nothing needs. What is kept, and nothing else:
//
//   - in the platform's own registry, what registry.GC keeps: tags and manifests for which keep is true, all they refer to, what refers to
//     them, and whatever is younger than its grace;
//   - the record of an image, by which it starts without being asked for: while a root holds the image, and while keep is true for its digest
//     under any of the names it was resolved by. A record that cannot be read goes;
//   - an unpacked layer: while a root holds it, and while the record of an image that has it is kept. Layers have no grace: one that is
//     being unpacked is held by the root it is for.
//
// Tags mean nothing to records: what a tag named yesterday is kept only by its digest.
//
// keep is asked about Ref.LocalRepo of images with tag or digest, "docker.io/me/fn:latest" or "docker.io/me/fn@sha256:…", and must not
// call the store. nil keeps the registry's tags and no image that is not held.
func (s *Store) GC(ctx context.Context, keep func(ref string) bool) (Freed, error) {
	var f Freed
	var err error
	if f.Registry, err = s.registry.GC(ctx, keep); err != nil {
		return f, err
	}
	needed, err := s.collectRecords(keep, &f)
	if err != nil {
		return f, fmt.Errorf("collecting images: %w", err)
	}
	for _, kind := range []string{"layers", "flat"} {
		if err := s.sweep(ctx, s.path(kind, "sha256"), needed, &f); err != nil {
			return f, fmt.Errorf("collecting layers: %w", err)
		}
	}
	return f, nil
}

// collectRecords forgets images that are not kept and returns the directories of those that are.
func (s *Store) collectRecords(keep func(string) bool, f *Freed) (needed map[string]bool, err error) {
	s.recording.Lock()
	defer s.recording.Unlock()
	digests, err := s.remembered()
	needed = map[string]bool{}
	for _, d := range digests {
		dirs, kept := s.needs(d, keep)
		if kept {
			for _, dir := range dirs {
				needed[dir] = true
			}
			continue
		}
		f.Images++
		err = errors.Join(err, os.Remove(s.path("images", "sha256", strings.TrimPrefix(d, "sha256:"))))
	}
	return needed, err
}

// needs returns the directories of an image and whether it is kept: by one of its names, or by a root that holds it.
// An unreadable record is not.
func (s *Store) needs(digest string, keep func(string) bool) (dirs []string, kept bool) {
	rec, err := s.load(digest)
	if err != nil {
		return nil, false
	}
	diffs, _, err := rec.diffs()
	if err != nil {
		return nil, false
	}
	for _, name := range rec.Names {
		kept = kept || keep != nil && keep(name+"@"+digest)
	}
	flat := s.flatDir(diffs)
	s.mu.Lock()
	defer s.mu.Unlock()
	kept = kept || s.inUse[flat] > 0 // every root holds the name of its flat directory, made or not
	return append(s.layerDirs(diffs), flat), kept
}

func (s *Store) sweep(ctx context.Context, dir string, needed map[string]bool, f *Freed) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		layer := filepath.Join(dir, e.Name())
		if needed[layer] {
			continue
		}
		gone, err := s.discard(layer)
		if err != nil {
			return err
		}
		if gone {
			f.Layers++
		}
	}
	return nil
}

// discard removes a layer that no root holds. It is renamed first, under the lock, so that nobody finds half of it.
func (s *Store) discard(layer string) (bool, error) {
	trash, err := s.toTrash(layer)
	if err != nil || trash == "" {
		return false, err
	}
	return true, removeAll(trash)
}

func (s *Store) toTrash(layer string) (trash string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inUse[layer] > 0 {
		return "", nil
	}
	holder, err := os.MkdirTemp(s.path("tmp"), "trash-")
	if err != nil {
		return "", err
	}
	err = os.Rename(layer, filepath.Join(holder, "layer"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", os.Remove(holder)
	}
	return holder, err
}
