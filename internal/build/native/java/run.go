package java

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"strings"
	"sync"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// step is one command of a build.
type step struct {
	args    []string
	env     []string
	dir     string // empty is where the build begins
	sees    []string
	writes  []string
	network bool
	quiet   bool // only what is wrong is shown
}

// run runs a command and returns its exit code and what it said, at most the end of it.
func (l *Java) run(ctx context.Context, j *job, s step) (int, string, error) {
	if s.dir == "" {
		s.dir = j.dir
	}
	log := j.Log
	if s.quiet {
		log = io.Discard
	}
	w := &words{log: log, rewrite: strings.NewReplacer(j.dir+"/", "", j.dir, ".", j.Work+"/project/", "", j.Work+"/", "")}
	env := []string{"PATH=" + j.kit.home + "/bin:/usr/local/bin:/usr/bin:/bin", "JAVA_HOME=" + j.kit.home, "LC_ALL=C.UTF-8", "LANG=C.UTF-8", "CI=true", "NO_COLOR=1"}
	code, err := l.opts.Run(ctx, j.Job, lang.Command{
		Args: s.args, Env: append(env, s.env...), Dir: s.dir, ReadOnly: append(j.kit.visible(), s.sees...), ReadWrite: s.writes, Network: s.network, Output: w,
	})
	w.flush()
	return code, strings.TrimSpace(w.kept.String()), err
}

const (
	maxWords = 32 << 10
	maxLine  = 8 << 10
)

// words passes what a command says on to the log, line by line, with paths as the user knows them, and keeps the end of it.
type words struct {
	log     io.Writer
	rewrite *strings.Replacer

	mu      sync.Mutex
	partial []byte
	kept    bytes.Buffer
}

var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// Write never fails: a build does not end because nobody reads its log.
func (w *words) Write(b []byte) (int, error) {
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

func (w *words) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.partial) > 0 {
		w.line(string(w.partial) + "\n")
		w.partial = nil
	}
}

// line needs w.mu.
func (w *words) line(s string) {
	s = w.rewrite.Replace(colours.ReplaceAllString(s, ""))
	_, _ = io.WriteString(w.log, s) // a log that cannot be written is no reason to fail the build
	w.kept.WriteString(s)
	if over := w.kept.Len() - maxWords; over > 0 {
		w.kept.Next(over)
	}
}
