package node

import (
	"bytes"
	"io"
	"sync"
)

// chorus is a log that several write to. Lines of voices are whole and begin with a name.
type chorus struct {
	mu sync.Mutex
	to io.Writer
}

// Write is that of the one without a name.
func (c *chorus) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.to.Write(p)
}

// voice is a writer of lines in the name of one.
func (c *chorus) voice(name string) *voice { return &voice{to: c, name: name + ": "} }

// longestLine is where a line without an end is cut, in bytes.
const longestLine = 16 << 10

type voice struct {
	to   *chorus
	name string
	mu   sync.Mutex
	part []byte // of a line
}

// Write implements io.Writer.
func (v *voice) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.part = append(v.part, p...)
	var out []byte
	for {
		end := bytes.IndexByte(v.part, '\n') + 1
		if end == 0 && len(v.part) < longestLine {
			break
		}
		if end == 0 {
			end = longestLine
		}
		out = v.line(out, v.part[:end])
		v.part = v.part[end:]
	}
	if len(out) == 0 {
		return len(p), nil
	}
	if _, err := v.to.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// line adds one with its name and end.
func (v *voice) line(out, line []byte) []byte {
	out = append(append(out, v.name...), line...)
	if !bytes.HasSuffix(line, []byte("\n")) {
		out = append(out, '\n')
	}
	return out
}

// flush writes what waits for the end of its line.
func (v *voice) flush() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.part) > 0 {
		_, _ = v.to.Write(v.line(nil, v.part))
		v.part = nil
	}
}
