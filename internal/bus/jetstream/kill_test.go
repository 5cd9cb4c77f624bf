package jetstream

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/bus"
)

var kills = flag.Int("kills", 12, "how often TestKilled kills the process")

// TestKilled kills a process that publishes to an embedded bus and consumes from it, at any moment, again and again. Whatever
// was acknowledged to a publisher must have been handled in the end, and of each key in order.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	told := newLedger()
	for i := range *kills {
		child := startChild(t, dir, fmt.Sprint(i), told)
		if i%4 != 0 { // the others are killed while they start
			child.awaitPublish(t)
		}
		time.Sleep(time.Duration(rand.IntN(120)) * time.Millisecond) // the point of the kill, not a wait for something
		child.kill()
	}
	startChild(t, dir, "last", told).wait(t)
	t.Logf("%d published, %d handled, %d of them again", len(told.published), len(told.handled), told.again)
	if len(told.published) < *kills {
		t.Errorf("only %d events were published: the kills proved nothing", len(told.published))
	}
	for id := range told.published {
		if told.handled[id] == 0 {
			t.Errorf("event %s was acknowledged and never handled", id)
		}
	}
	for _, p := range told.disorder {
		t.Error(p)
	}
}

// ledger is what the children said: "P id" when a publish was acknowledged, "H id" when the handler was done.
type ledger struct {
	published map[string]bool
	handled   map[string]int
	again     int
	newest    map[string]int // by publisher
	disorder  []string
}

func newLedger() *ledger {
	return &ledger{published: map[string]bool{}, handled: map[string]int{}, newest: map[string]int{}}
}

func (l *ledger) read(from io.Reader, published func()) {
	for lines := bufio.NewScanner(from); lines.Scan(); {
		kind, id, ok := strings.Cut(lines.Text(), " ")
		switch {
		case ok && kind == "P":
			l.published[id] = true
			published()
		case ok && kind == "H":
			l.handle(id)
		}
	}
}

func (l *ledger) handle(id string) {
	if l.handled[id]++; l.handled[id] > 1 {
		l.again++
		return
	}
	var n int
	key := id[:strings.LastIndex(id, "-")]
	if _, err := fmt.Sscanf(id[len(key)+1:], "%d", &n); err != nil {
		return // cut off by the kill
	}
	if n < l.newest[key] {
		l.disorder = append(l.disorder, fmt.Sprintf("event %s was handled for the first time after number %d", id, l.newest[key]))
	}
	l.newest[key] = max(n, l.newest[key])
}

type child struct {
	cmd       *exec.Cmd
	published chan struct{} // closed with the first event
	read      chan struct{} // closed when all it said was read
}

func startChild(t *testing.T, dir, life string, told *ledger) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledChild$", "-test.timeout=120s", "--", dir, life) //nolint:gosec // ourselves
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, published: make(chan struct{}), read: make(chan struct{})}
	go func() {
		defer close(c.read)
		told.read(out, sync.OnceFunc(func() { close(c.published) }))
	}()
	return c
}

func (c *child) awaitPublish(t *testing.T) {
	t.Helper()
	select {
	case <-c.published:
	case <-c.read:
		t.Fatal("the process ended by itself")
	case <-time.After(time.Minute):
		t.Fatal("the process publishes nothing")
	}
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.read
	_ = c.cmd.Wait()
}

func (c *child) wait(t *testing.T) {
	t.Helper()
	<-c.read
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("the last process: %v", err)
	}
}

// TestKilledChild is the process that is killed. In its last life it publishes nothing and ends when nothing waits.
func TestKilledChild(t *testing.T) {
	if flag.NArg() != 2 {
		t.Skip("runs only as a child of TestKilled")
	}
	dir, life := flag.Arg(0), flag.Arg(1)
	e := NewEmbedded(EmbeddedOptions{Dir: dir})
	defer e.Close()
	b := New(e, Options{Name: "ns/killed"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	consumer := bus.Consumer{Name: "c", Topics: []string{"t"}, From: bus.From{All: true}, Ordered: true, Concurrency: 4}
	all.Go(func() {
		_ = b.Consume(ctx, consumer, func(_ context.Context, m bus.Stored) bus.Verdict {
			if m.Attempt == 1 && m.Sequence%17 == 0 {
				return bus.Verdict{Retry: true, After: 10 * time.Millisecond}
			}
			fmt.Printf("H %s\n", m.Data)
			return bus.Verdict{}
		})
	})
	if life != "last" {
		for p := range 12 {
			all.Go(func() { publishForEver(t, b, fmt.Sprintf("%s-%d", life, p)) })
		}
		all.Wait()
		return
	}
	for n, err := b.Lag(ctx, "c"); err != nil || n != 0; n, err = b.Lag(ctx, "c") {
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	all.Wait()
}

func publishForEver(t *testing.T, b *Bus, key string) {
	for i := 0; ; i++ {
		id := fmt.Sprintf("%s-%d", key, i)
		if _, err := b.Publish(t.Context(), bus.Message{Topic: "t", ID: id, Key: key, Data: []byte(id)}); err != nil {
			t.Errorf("publishing: %v", err)
			return
		}
		fmt.Printf("P %s\n", id)
	}
}
