package python

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

const (
	maxDiagnostics = 32 << 10
	maxLine        = 8 << 10
)

// diagnostics passes what a tool says on to the log, line by line, with paths as the user knows them, and keeps it.
type diagnostics struct {
	log     io.Writer
	rewrite *strings.Replacer

	mu      sync.Mutex
	partial []byte
	kept    bytes.Buffer
}

func newDiagnostics(j *job) *diagnostics {
	return &diagnostics{log: j.Log, rewrite: strings.NewReplacer(j.dir+"/.ofn-requirements.txt", j.deps.file, j.dir+"/", "", j.dir, ".", j.Work+"/", "")}
}

// Write never fails: a build does not end because nobody reads its log.
func (d *diagnostics) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.partial = append(d.partial, b...)
	for {
		i := bytes.IndexByte(d.partial, '\n')
		if i < 0 && len(d.partial) < maxLine {
			return len(b), nil
		}
		if i < 0 {
			i = len(d.partial) - 1
		}
		d.line(string(d.partial[:i+1]))
		d.partial = d.partial[i+1:]
	}
}

func (d *diagnostics) flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.partial) > 0 {
		d.line(string(d.partial) + "\n")
		d.partial = nil
	}
}

// line needs d.mu.
func (d *diagnostics) line(s string) {
	s = d.rewrite.Replace(s)
	_, _ = io.WriteString(d.log, s) // a log that cannot be written is no reason to fail the build
	quiet := strings.TrimSpace(s)
	for _, noise := range []string{"Collecting ", "Downloading ", "Using cached ", "Installing collected ", "Looking in ", "WARNING: Target directory", "Requirement already", "[notice]"} {
		if strings.HasPrefix(quiet, noise) {
			return
		}
	}
	d.kept.WriteString(s)
	if over := d.kept.Len() - maxDiagnostics; over > 0 { // the end says what was wrong
		d.kept.Next(over)
	}
}

func (d *diagnostics) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.TrimSpace(d.kept.String())
}
