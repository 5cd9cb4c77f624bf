package conformance

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"
)

// output keeps what a process writes, for tests that wait for lines.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	ended   bool
	changed chan struct{} // closed and replaced at each change
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

// Write keeps p.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.change()
	return o.text.Write(p)
}

// end says that no more comes.
func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.change()
}

func (o *output) change() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// String is all that was written so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// lines are the whole lines written so far, without their newlines.
func (o *output) lines() []string {
	lines := strings.Split(o.String(), "\n")
	return lines[:len(lines)-1]
}

// line waits for a line that is wanted.
func (o *output) line(t *testing.T, what string, wanted func(string) bool) string {
	t.Helper()
	timeout := time.After(patient)
	for {
		o.mu.Lock()
		changed, ended := o.changed, o.ended
		o.mu.Unlock()
		for _, l := range o.lines() {
			if wanted(l) {
				return l
			}
		}
		if ended {
			t.Fatalf("%s was not written; there is:\n%s", what, o)
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("%s was not written; there is:\n%s", what, o)
		}
	}
}

// exactly waits for a line of this text.
func (o *output) exactly(t *testing.T, text string) {
	t.Helper()
	o.line(t, "the line "+text, func(l string) bool { return l == text })
}

// entry is a line of the framework's log.
type entry map[string]any

func parseEntry(line string) (entry, bool) {
	var e entry
	if json.Unmarshal([]byte(line), &e) != nil {
		return nil, false
	}
	return e, true
}

// text is a field that must be a string; empty when it is none.
func (e entry) text(field string) string {
	s, _ := e[field].(string)
	return s
}

// entry waits for the line of the log whose field has a value.
func (o *output) entry(t *testing.T, field, value string) entry {
	t.Helper()
	line := o.line(t, "a log line with "+field+" = "+value, func(l string) bool {
		e, ok := parseEntry(l)
		return ok && e.text(field) == value
	})
	e, _ := parseEntry(line)
	return e
}

// check tells what of a log line is not as the contract wants it. Values of want are compared as JSON shows them.
func (e entry) check(t *testing.T, want map[string]any) {
	t.Helper()
	if _, err := time.Parse(time.RFC3339Nano, e.text("time")); err != nil || !strings.Contains(e.text("time"), ".") {
		t.Errorf("log line %v: time is %q, want RFC 3339 with a fraction", e, e["time"])
	}
	for field, value := range want {
		if e[field] != value {
			t.Errorf("log line %v: %s is %#v, want %#v", e, field, e[field], value)
		}
	}
}
