package copylog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// Query says what to read. Empty names match everything of the namespace, which must be set.
type Query struct {
	Namespace, Function, Revision, Copy string

	Tail   int       // only so many of the last lines; 0 is all
	Since  time.Time // only lines of then and later
	Follow bool      // go on with what is written from now on, also by copies that start later, until ctx ends
}

func (q Query) matches(s source) bool {
	return q.Namespace == s.namespace && (q.Function == "" || q.Function == s.function) &&
		(q.Revision == "" || q.Revision == s.revision) && (q.Copy == "" || q.Copy == s.copy)
}

// backlog is how many lines a follower may be behind before lines are dropped for it.
const backlog = 1024

// follower receives lines as they are written.
type follower struct {
	query   Query
	lines   chan []byte
	dropped atomic.Int64
}

// send hands a stored line over, marked with its copy, or counts it as dropped.
func (f *follower) send(copy string, stored []byte) {
	select {
	case f.lines <- mark(copy, stored):
	default:
		f.dropped.Add(1)
	}
}

// mark puts the copy's name between the time and the text of a stored line.
func mark(copy string, stored []byte) []byte {
	n := min(len(stamp), len(stored))
	out := make([]byte, 0, len(stored)+len(copy)+1)
	out = append(append(append(out, stored[:n]...), ' '), copy...)
	return append(out, stored[n:]...)
}

// Read gives lines "<RFC 3339 time> <copy> <text>" of all copies that match, in the order of time. The reader must be closed; it
// ends early with ctx. No log at all is an empty one, no error.
func (s *Store) Read(ctx context.Context, q Query) (io.ReadCloser, error) {
	if !(source{q.Namespace, noName, noName, noName}).valid() {
		return nil, fmt.Errorf("reading logs: %q is not a namespace", q.Namespace)
	}
	history, f, err := s.snapshot(q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	pr, pw := io.Pipe()
	r := &reader{PipeReader: pr, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		pw.CloseWithError(s.copyTo(ctx, pw, q, history, f))
	}()
	return r, nil
}

// reader is the reading end; closing it waits for the goroutine that fills it.
type reader struct {
	*io.PipeReader
	cancel context.CancelFunc
	done   chan struct{}
}

// Close ends the reading.
func (r *reader) Close() error {
	r.cancel()
	r.PipeReader.Close()
	<-r.done
	return nil
}

// snapshot opens what is stored now and, to follow, registers for what is written later, with nothing between lost or twice.
func (s *Store) snapshot(q Query) ([]*history, *follower, error) {
	var f *follower
	if q.Follow {
		f = &follower{query: q, lines: make(chan []byte, backlog)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f != nil {
		s.followers[f] = struct{}{}
	}
	var all []*history
	err := s.stored(q, func(from source, path string) {
		if k := s.live[path]; k != nil {
			k.mu.Lock()
			defer k.mu.Unlock()
		}
		all = append(all, open(from, strings.TrimSuffix(path, suffix)+rotated)...)
		all = append(all, open(from, path)...)
	})
	for _, k := range s.live {
		if f != nil && q.matches(k.from) {
			k.mu.Lock()
			k.followers = append(k.followers, f)
			k.mu.Unlock()
		}
	}
	return all, f, err
}

// stored visits the logs on disk that match.
func (s *Store) stored(q Query, visit func(source, string)) error {
	err := filepath.WalkDir(filepath.Join(s.dir, q.Namespace), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, suffix) {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // removed meanwhile
			}
			return err
		}
		rel, err := filepath.Rel(s.dir, path)
		if err != nil {
			return err
		}
		parts := strings.Split(strings.TrimSuffix(rel, suffix), string(filepath.Separator))
		if len(parts) != 4 {
			return nil
		}
		if from := (source{parts[0], parts[1], parts[2], parts[3]}); q.matches(from) {
			visit(from, path)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading logs: %w", err)
	}
	return nil
}

// history is one file up to the size it had.
type history struct {
	copy string
	file *os.File
	scan *bufio.Scanner
	head []byte // the next line, nil at the end
}

func open(from source, path string) []*history {
	f, err := os.Open(path)
	if err != nil {
		return nil // not rotated yet, or removed meanwhile
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil
	}
	h := &history{copy: from.copy, file: f, scan: bufio.NewScanner(io.LimitReader(f, info.Size()))}
	h.scan.Buffer(make([]byte, 0, 4096), maxLine+len(stamp)+2)
	return []*history{h}
}

// next moves to the next line not before since.
func (h *history) next(since string) {
	h.head = nil
	for h.scan.Scan() {
		if b := h.scan.Bytes(); len(b) > len(stamp) && string(b[:len(stamp)]) >= since {
			h.head = b
			return
		}
	}
}
