package podlog

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

const (
	// stamp is the form of times before lines, that of the logs of one machine.
	stamp = "2006-01-02T15:04:05.000000000Z"
	// maxLine is where a line that does not end is divided.
	maxLine = 64 << 10
)

// line is one of a container, without its end.
type line struct {
	from one
	at   time.Time
	text []byte
}

// log is the lines of one container.
type log struct {
	from one
	body io.ReadCloser
	in   *bufio.Reader
	at   time.Time // of the last line
	rest bool      // the last line goes on
	next line
}

func newLog(from one, body io.ReadCloser) *log {
	return &log{from: from, body: body, in: bufio.NewReaderSize(body, maxLine)}
}

// read makes next the next line that is later than a time, when that is not zero.
func (l *log) read(after time.Time) error {
	for {
		text, err := l.in.ReadSlice('\n')
		whole := err == nil
		if len(text) == 0 || err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return err
		}
		text = bytes.TrimSuffix(text, []byte("\n"))
		if !l.rest {
			at, said, ok := bytes.Cut(text, []byte(" "))
			if t, err := time.Parse(time.RFC3339Nano, string(at)); err == nil {
				l.at, text = t, said
				if !ok {
					text = nil
				}
			}
		}
		l.rest = !whole
		if after.IsZero() || l.at.After(after) {
			l.next = line{l.from, l.at, bytes.Clone(text)}
			return nil
		}
	}
}

func (r *Reader) write(q Query, n line) error {
	var err error
	if q.Bare {
		_, err = fmt.Fprintf(r.Out, "%s\n", n.text)
	} else {
		_, err = fmt.Fprintf(r.Out, "%s %s %s\n", n.at.UTC().Format(stamp), n.from.label(), n.text)
	}
	if err != nil {
		return fmt.Errorf("writing the log: %w", err)
	}
	return nil
}

// merge writes what containers have written so far, in the order of time, and gives the time of the last line of each.
func (r *Reader) merge(ctx context.Context, q Query, containers []one) (map[place]time.Time, error) {
	var logs []*log
	defer func() {
		for _, l := range logs {
			l.body.Close()
		}
	}()
	for _, c := range containers {
		body, none, err := r.open(ctx, q, c, q.Since, false)
		switch {
		case err != nil:
			return nil, err
		case body == nil:
			r.Note("%s", none)
		default:
			logs = append(logs, newLog(c, body))
		}
	}
	last := map[place]time.Time{}
	var kept []line // the last ones, when only those are wanted
	err := each(slices.Clone(logs), func(n line) error {
		last[n.from.place()] = n.at
		if q.Tail <= 0 {
			return r.write(q, n)
		}
		if kept = append(kept, n); len(kept) >= 2*q.Tail {
			kept = append(kept[:0:0], kept[len(kept)-q.Tail:]...)
		}
		return nil
	})
	for _, n := range kept[max(0, len(kept)-q.Tail):] {
		if err == nil {
			err = r.write(q, n)
		}
	}
	return last, err
}

// each calls what with the lines of logs in the order of time; those of one log stay in theirs.
func each(logs []*log, what func(line) error) error {
	advance := func(l *log) (bool, error) {
		err := l.read(time.Time{})
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("reading the log of pod %s: %w", l.from.pod, err)
		}
		return true, nil
	}
	live := logs[:0]
	for _, l := range logs {
		more, err := advance(l)
		if err != nil {
			return err
		}
		if more {
			live = append(live, l)
		}
	}
	for len(live) > 0 {
		first := 0
		for i, l := range live {
			if l.next.at.Before(live[first].next.at) {
				first = i
			}
		}
		if err := what(live[first].next); err != nil {
			return err
		}
		more, err := advance(live[first])
		if err != nil {
			return err
		}
		if !more {
			live = slices.Delete(live, first, first+1)
		}
	}
	return nil
}
