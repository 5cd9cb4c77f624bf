package dev

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/openfunction/ofn/internal/build"
)

// report tells the developer what happens, a line at a time. It may be used by many goroutines.
type report struct {
	to    io.Writer
	shown string

	mu    sync.Mutex
	found string          // what the build before said it found
	told  map[string]bool // warnings
}

func (r *report) line(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.to, format+"\n", args...)
}

func (r *report) building(changed []string) {
	switch len(changed) {
	case 0:
		r.line("building")
	case 1:
		r.line("%s changed: building", changed[0])
	default:
		r.line("%s and %d more changed: building", changed[0], len(changed)-1)
	}
}

func (r *report) unchanged(out outcome) {
	r.line("nothing changed for the function (%s)", seconds(out.built))
}

func (r *report) ready(out outcome, at net.Addr) {
	if out.built == 0 {
		r.line("started again, on http://%s/", at)
		return
	}
	r.line("ready after %s (build %s), on http://%s/", seconds(out.took), seconds(out.built), at)
}

// position finds the paths of the source in the words of compilers and interpreters: hello.go:3, File "main.py", line 3.
var position = regexp.MustCompile(`(?m)(^|^\s*File ")([^\s:"<>/][^\s:"]*\.(?:go|py|[cm]?[jt]s|java|rs)(?::\d+|", line ))`)

// failed reports and returns the text for those who call the function meanwhile.
func (r *report) failed(out outcome, serving bool) string {
	text := out.err.Error()
	what := "the function does not start"
	var f *build.Failure
	if errors.As(out.err, &f) {
		text, what = f.Message, "the build failed"
		if r.shown != "" {
			text = position.ReplaceAllString(text, "${1}"+strings.ReplaceAll(r.shown, "$", "$$")+"/${2}")
		}
	}
	after := "waiting for a change"
	if serving {
		after = "the version before it keeps serving"
	}
	r.line("%s\n%s after %s; %s", text, what, seconds(out.took), after)
	if s, ok := errors.AsType[*startError](out.err); ok && logged(s.said) == "" && s.said != "" {
		text += "\n" + s.said // which the developer has seen already
	}
	return what + ":\n" + text
}

func (r *report) died(p *process) {
	r.line("the function ended by itself after %s: %s", seconds(time.Since(p.began)), p.ending())
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// progress takes of a build's log what is worth reading while it runs; why it failed comes as its error.
type progress struct {
	report  *report
	partial []byte
}

// Write never fails.
func (p *progress) Write(b []byte) (int, error) {
	p.partial = append(p.partial, b...)
	for {
		i := bytes.IndexByte(p.partial, '\n')
		if i < 0 {
			return len(b), nil
		}
		p.report.progress(string(p.partial[:i]))
		p.partial = p.partial[i+1:]
	}
}

func (r *report) progress(line string) {
	switch {
	case strings.HasPrefix(line, "found "):
		r.mu.Lock()
		news := r.found != line
		r.found = line
		r.mu.Unlock()
		if !news {
			return
		}
	case strings.HasPrefix(line, "warning: "):
		r.mu.Lock()
		news := !r.told[line]
		if r.told == nil || len(r.told) > 100 {
			r.told = map[string]bool{}
		}
		r.told[line] = true
		r.mu.Unlock()
		if !news {
			return
		}
	case strings.HasPrefix(line, "resolving "), strings.HasPrefix(line, "go: downloading "),
		strings.HasPrefix(line, "installing "), strings.HasPrefix(line, "fetching "), strings.Contains(line, " has no effect here"),
		strings.Contains(line, " is left out: "):
	default:
		return
	}
	r.line("  %s", line)
}
