package lang

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"sync"
)

const (
	keptWords = 32 << 10
	maxLine   = 8 << 10
)

// Words passes what a tool says on to the log, line by line, with paths as the user knows them and
// without colours, and keeps it for the message of a
// failure. Its fields are set before the first Write.
type Words struct {
	Log     io.Writer
	Rewrite *strings.Replacer // applied to every line; nil leaves it
	// Drop, where it is set, tells lines, as the tool wrote them, that nobody should see.
	Drop func(line string) bool
	// Quiet, where it is set, tells rewritten lines that are progress and no part of a failure's message.
	Quiet func(line string) bool
	// First keeps the beginning of what was said, as suits tools that say the cause first; otherwise it is the end. At most 32 KiB.
	First bool

	mu      sync.Mutex
	partial []byte
	kept    bytes.Buffer
}

// Write never fails: a build does not end because nobody reads its log.
func (w *Words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.partial = append(w.partial, b...)
	for {
		i := bytes.IndexByte(w.partial, '\n')
		if i < 0 && len(w.partial) < maxLine {
			return len(b), nil
		}
		if i < 0 {
			i = len(w.partial) - 1
		}
		w.line(string(w.partial[:i+1]))
		w.partial = w.partial[i+1:]
	}
}

// Text ends the last line and returns what was kept, without white space around it.
func (w *Words) Text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.partial) > 0 {
		w.line(string(w.partial) + "\n")
		w.partial = nil
	}
	return strings.TrimSpace(w.kept.String())
}

var colours = regexp.MustCompile("\x1b\\[[0-9;]*[a-zA-Z]")

// line needs w.mu.
func (w *Words) line(s string) {
	s = colours.ReplaceAllString(s, "")
	if w.Drop != nil && w.Drop(s) {
		return
	}
	if w.Rewrite != nil {
		s = w.Rewrite.Replace(s)
	}
	s = strings.TrimPrefix(s, "./")
	_, _ = io.WriteString(w.Log, s) // a log that cannot be written is no reason to fail the build
	if w.Quiet != nil && w.Quiet(s) {
		return
	}
	if w.First {
		s = s[:min(len(s), keptWords-w.kept.Len())]
	}
	w.kept.WriteString(s)
	if over := w.kept.Len() - keptWords; over > 0 {
		w.kept.Next(over)
	}
}
