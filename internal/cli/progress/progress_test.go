package progress

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

func TestPlain(t *testing.T) {
	var out bytes.Buffer
	d := New(&out, false, clocktesting.NewFakeClock(time.Time{}))
	d.Step("building")
	d.Step("building")
	log := d.Log()
	fmt.Fprint(log, "a\r\nb")
	fmt.Fprint(log, "c\nrest")
	log.Flush()
	d.Step("starting")
	d.Step("building")
	d.Line("done\n")
	d.Close()
	if want := "building …\n  │ a\n  │ bc\n  │ rest\nstarting …\ndone\n"; out.String() != want {
		t.Errorf("got %q", out.String())
	}
}

func TestLongLineIsCut(t *testing.T) {
	var out bytes.Buffer
	d := New(&out, false, clocktesting.NewFakeClock(time.Time{}))
	log := d.Log()
	for range 3 {
		fmt.Fprint(log, strings.Repeat("x", maxLine))
	}
	if len(log.rest) > maxLine+1 {
		t.Errorf("%d bytes are held", len(log.rest))
	}
}

// lockedBuffer is written to by the display's own goroutine too.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func TestTerminal(t *testing.T) {
	var out lockedBuffer
	c := clocktesting.NewFakeClock(time.Time{})
	d := New(&out, true, c)
	d.Step("building")
	d.Line("note")
	d.Close()
	d.Close()
	if want := eraseLine + "building … 0.0s" + eraseLine + "note\n" + eraseLine + "building … 0.0s" + eraseLine; out.String() != want {
		t.Errorf("got %q", out.String())
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{420 * time.Millisecond: "0.4s", 12400 * time.Millisecond: "12s", 185 * time.Second: "3m5s"} {
		if got := Duration(d); got != want {
			t.Errorf("%s is %s, want %s", d, got, want)
		}
	}
}
