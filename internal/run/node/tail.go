package node

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// What of a copy's last words goes into a message.
const (
	tailBytes = 4096
	tailLines = 10
)

// tail passes a copy's output on and remembers its end.
type tail struct {
	to io.WriteCloser

	mu   sync.Mutex
	last []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	t.last = append(t.last, p[max(0, len(p)-tailBytes):]...)
	if extra := len(t.last) - tailBytes; extra > 0 {
		t.last = append(t.last[:0], t.last[extra:]...)
	}
	t.mu.Unlock()
	return t.to.Write(p)
}

// lines are the last lines, as valid text; empty when nothing was written.
func (t *tail) lines() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := bytes.Split(bytes.TrimRight(t.last, "\n"), []byte("\n"))
	all = all[max(0, len(all)-tailLines):]
	return strings.ToValidUTF8(string(bytes.Join(all, []byte("\n"))), "\uFFFD")
}
