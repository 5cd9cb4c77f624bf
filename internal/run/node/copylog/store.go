// Package copylog keeps what the copies of functions write: one bounded, rotated file for each copy, also of a few that are
// gone, read back merged in the order of time.
package copylog

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/run"
)

// Options bound a store. Zero fields are the defaults.
type Options struct {
	MaxSize int64 // bytes of one file; each copy has at most two. 10 MiB
	Dead    int   // logs kept of copies that are gone, per revision. 5
	Log     *slog.Logger
}

// Store is a directory of logs: namespace/function/revision/copy.log. Its methods may be called from any goroutine.
type Store struct {
	dir string
	opt Options

	mu        sync.Mutex
	live      map[string]*sink // by path
	followers map[*follower]struct{}
}

const (
	suffix  = ".log"
	rotated = ".log.1"
	noName  = "_" // stands for an empty function name
)

// Open makes a store of dir, which is created.
func Open(dir string, o Options) (*Store, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("creating log directory: %w", err)
	}
	if o.MaxSize <= 0 {
		o.MaxSize = 10 << 20
	}
	if o.Dead <= 0 {
		o.Dead = 5
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Store{dir: dir, opt: o, live: map[string]*sink{}, followers: map[*follower]struct{}{}}, nil
}

// Sink takes the output of one copy until it is closed. Its Write never fails and never waits for a reader; what cannot be
// stored is lost, and the platform's log says so once. The file is made by the first write.
func (s *Store) Sink(rev run.Key, function, copy string) io.WriteCloser {
	if function == "" {
		function = noName
	}
	from := source{rev.Namespace, function, rev.Name, copy}
	k := &sink{store: s, from: from, path: filepath.Join(s.dir, filepath.Join(from.path()...)+suffix)}
	if !from.valid() {
		s.opt.Log.Error("log of a copy is not kept: its name is not one of a file", "copy", copy, "revision", rev.String())
		k.broken = true
		return k
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[k.path] = k
	for f := range s.followers {
		if f.query.matches(from) {
			k.followers = append(k.followers, f)
		}
	}
	return k
}

// Forget removes the logs of a revision; what its copies still write is lost with them.
func (s *Store) Forget(rev run.Key, function string) {
	if function == "" {
		function = noName
	}
	from := source{rev.Namespace, function, rev.Name, "x"}
	if !from.valid() {
		return
	}
	dir := filepath.Join(s.dir, from.namespace, from.function, from.revision)
	if err := os.RemoveAll(dir); err != nil {
		s.opt.Log.Error("removing the logs of a revision", "revision", rev.String(), "error", err)
	}
	os.Remove(filepath.Dir(dir)) // only when it is empty
}

// closed takes a sink that ended out of the store and removes the oldest logs of dead copies.
func (s *Store) closed(k *sink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, k.path)
	dir := filepath.Dir(k.path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	type dead struct {
		path string
		at   time.Time
	}
	var all []dead
	for _, e := range entries {
		p := filepath.Join(dir, e.Name())
		info, err := e.Info()
		if err == nil && strings.HasSuffix(p, suffix) && s.live[p] == nil {
			all = append(all, dead{p, info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b dead) int { return b.at.Compare(a.at) })
	for _, d := range all[min(len(all), s.opt.Dead):] {
		os.Remove(d.path)
		os.Remove(strings.TrimSuffix(d.path, suffix) + rotated)
	}
}

// source names a copy.
type source struct{ namespace, function, revision, copy string }

func (f source) path() []string { return []string{f.namespace, f.function, f.revision, f.copy} }

// valid is whether every part can be the name of a file.
func (f source) valid() bool {
	for _, p := range f.path() {
		if p == "" || p == "." || p == ".." || strings.ContainsAny(p, "/\x00") {
			return false
		}
	}
	return true
}
