// Package progress shows how something long goes on: one line that is redrawn on a terminal, plain lines elsewhere.
package progress

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// interval is how often the line is redrawn.
const interval = 100 * time.Millisecond

// maxStep is how much of a step is drawn on a terminal, in characters.
const maxStep = 68

// eraseLine takes the line of the current step away.
const eraseLine = "\r\x1b[K"

// Display writes to one place. It may be used by several goroutines.
type Display struct {
	clock clock.WithTicker
	draw  bool

	mu      sync.Mutex
	out     io.Writer
	step    string
	started time.Time
	drawn   bool
	written map[string]bool

	stop func()
}

// New shows on out; terminal says that lines may be redrawn. Close ends it.
func New(out io.Writer, terminal bool, c clock.WithTicker) *Display {
	d := &Display{clock: c, draw: terminal, out: out, written: map[string]bool{}, stop: func() {}}
	if !terminal {
		return d
	}
	end, ended := make(chan struct{}), make(chan struct{})
	ticker := c.NewTicker(interval)
	go func() {
		defer close(ended)
		defer ticker.Stop()
		for {
			select {
			case <-end:
				return
			case <-ticker.C():
				d.mu.Lock()
				d.redraw()
				d.mu.Unlock()
			}
		}
	}()
	d.stop = sync.OnceFunc(func() { close(end); <-ended })
	return d
}

// Close takes the current step's line away and waits until nothing draws any more.
func (d *Display) Close() {
	d.stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.erase()
	d.step = ""
}

// Step says what is being waited for from now on. The same step again changes nothing.
func (d *Display) Step(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	step := fmt.Sprintf(format, args...)
	if step == d.step {
		return
	}
	d.step, d.started = step, d.clock.Now()
	if !d.draw {
		if !d.written[step] { // going back to a step is worth no line
			d.written[step] = true
			fmt.Fprintf(d.out, "%s …\n", step)
		}
		return
	}
	d.redraw()
}

// Line writes a line that stays.
func (d *Display) Line(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.line(fmt.Sprintf(format, args...))
}

func (d *Display) line(s string) {
	d.erase()
	fmt.Fprintln(d.out, strings.TrimRight(s, "\n"))
	d.redraw()
}

func (d *Display) erase() {
	if d.drawn {
		fmt.Fprint(d.out, eraseLine)
		d.drawn = false
	}
}

func (d *Display) redraw() {
	if !d.draw || d.step == "" {
		return
	}
	// A line that wraps could not be taken away again.
	step := []rune(strings.ReplaceAll(d.step, "\n", " "))
	fmt.Fprintf(d.out, "%s%s … %.1fs", eraseLine, string(step[:min(len(step), maxStep)]), d.clock.Since(d.started).Seconds())
	d.drawn = true
}

// Log is a writer whose lines are shown indented, each when it is complete.
func (d *Display) Log() *LogWriter { return &LogWriter{display: d} }

// maxLine bounds what is held of a line without an end.
const maxLine = 64 << 10

// LogWriter is an io.Writer made by Log, for one goroutine.
type LogWriter struct {
	display *Display
	rest    []byte
}

// Write never fails: what cannot be shown is lost.
func (w *LogWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 && len(w.rest) > maxLine {
			i = maxLine - 1
		}
		if i < 0 {
			return len(p), nil
		}
		w.display.Line("  │ %s", bytes.TrimRight(w.rest[:i], "\r"))
		w.rest = w.rest[i+1:]
	}
}

// Flush shows a last line that has no end.
func (w *LogWriter) Flush() {
	if len(w.rest) > 0 {
		w.display.Line("  │ %s", w.rest)
		w.rest = nil
	}
}

// Duration is a duration as people read it: 0.4s, 12s, 3m5s.
func Duration(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}
