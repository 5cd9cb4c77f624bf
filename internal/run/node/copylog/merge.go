package copylog

import (
	"context"
	"fmt"
	"io"
	"time"
)

// copyTo writes the history, merged, and then what is followed.
func (s *Store) copyTo(ctx context.Context, w io.Writer, q Query, all []*history, f *follower) error {
	if f != nil {
		defer s.unfollow(f)
	}
	err := merge(ctx, w, q, all)
	for _, h := range all {
		h.file.Close()
	}
	if err != nil || f == nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case line := <-f.lines:
			if n := f.dropped.Swap(0); n > 0 {
				line = fmt.Appendf(nil, "%s %s [%d lines are not shown: the reader was too slow]\n%s", time.Now().UTC().Format(stamp), noName, n, line)
			}
			if _, err := w.Write(line); err != nil {
				return nil // the reader was closed
			}
		}
	}
}

// unfollow makes no more lines come.
func (s *Store) unfollow(f *follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.followers, f)
	for _, k := range s.live {
		k.mu.Lock()
		for i, x := range k.followers {
			if x == f {
				k.followers = append(k.followers[:i:i], k.followers[i+1:]...)
				break
			}
		}
		k.mu.Unlock()
	}
}

// merge writes the lines of all histories in the order of time, or the last of them.
func merge(ctx context.Context, w io.Writer, q Query, all []*history) error {
	since := ""
	if !q.Since.IsZero() {
		since = q.Since.UTC().Format(stamp)
	}
	for _, h := range all {
		h.next(since)
	}
	last := lastLines{keep: q.Tail}
	for ctx.Err() == nil {
		h := earliest(all)
		if h == nil {
			return last.flush(w)
		}
		line := append(mark(h.copy, h.head), '\n')
		h.next(since)
		if q.Tail > 0 {
			last.add(line)
		} else if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// earliest is the history with the oldest line; the first of equals.
func earliest(all []*history) *history {
	var first *history
	for _, h := range all {
		if h.head != nil && (first == nil || string(h.head[:len(stamp)]) < string(first.head[:len(stamp)])) {
			first = h
		}
	}
	return first
}

// lastLines keeps the newest lines in a ring.
type lastLines struct {
	keep  int
	lines [][]byte
	next  int
}

func (l *lastLines) add(line []byte) {
	if len(l.lines) < l.keep {
		l.lines = append(l.lines, line)
		return
	}
	l.lines[l.next] = line
	l.next = (l.next + 1) % l.keep
}

func (l *lastLines) flush(w io.Writer) error {
	for i := range l.lines {
		if _, err := w.Write(l.lines[(l.next+i)%len(l.lines)]); err != nil {
			return err
		}
	}
	return nil
}
