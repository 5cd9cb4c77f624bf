package dev

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"sync"
)

// mostKept bounds what is remembered of a function's output.
const mostKept = 8 << 10

// output passes on what a function prints, with the paths of its copy of the source as the developer knows them, and remembers the end of it.
type output struct {
	to      io.Writer
	replace *strings.Replacer

	mu   sync.Mutex
	kept []byte
}

func newOutput(to io.Writer, root, shown string) *output {
	if shown != "" {
		shown += "/"
	}
	return &output{to: to, replace: strings.NewReplacer(root+"/workspace/", shown)}
}

// Write is given whole lines by all that print whole lines.
func (o *output) Write(b []byte) (int, error) {
	text := []byte(o.replace.Replace(string(b)))
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = append(o.kept, text...)
	if more := len(o.kept) - mostKept; more > 0 {
		o.kept = append([]byte(nil), o.kept[more:]...)
	}
	if _, err := o.to.Write(text); err != nil {
		return 0, err
	}
	return len(b), nil
}

// last is the end of what was printed.
func (o *output) last() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(string(o.kept))
}

// startError is a function that ended before it was ready.
type startError struct {
	how  string
	said string // the end of what it printed
}

// Error tells the reason too, when the function's framework logged it.
func (e *startError) Error() string {
	if why := logged(e.said); why != "" {
		return e.how + "\n" + why
	}
	return e.how
}

// logged reads why a framework ended from its log: the error, and its traceback.
func logged(said string) string {
	for _, line := range bytes.Split([]byte(said), []byte("\n")) {
		var l struct{ Msg, Error, Stack string }
		if json.Unmarshal(line, &l) == nil && l.Msg == "function server ended" {
			return strings.TrimSpace(l.Error + "\n" + l.Stack)
		}
	}
	return ""
}
