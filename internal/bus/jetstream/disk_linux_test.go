package jetstream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openfunction/ofn/internal/bus"
)

// small mounts a disk of a few MiB.
func small(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// TestDiskFull fills the disk by the bus itself, and by others behind its back, so that the server's own writes fail. What was
// acknowledged before is kept, and when there is room again the bus goes on by itself.
func TestDiskFull(t *testing.T) {
	for name, reserve := range map[string]int64{"minded": 8 << 20, "met": 1} {
		t.Run(name, func(t *testing.T) { diskFull(t, reserve) })
	}
}

func diskFull(t *testing.T, reserve int64) {
	dir := small(t, "32m")
	e := NewEmbedded(EmbeddedOptions{Dir: filepath.Join(dir, "events"), Reserve: reserve})
	defer e.Close()
	b := New(e, Options{Name: "ns/full"})
	defer b.Close()
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	kept := 0
	publish := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		m := bus.Message{Topic: "t", Data: make([]byte, 256<<10)}
		copy(m.Data, fmt.Append(nil, kept, "\n"))
		_, err := b.Publish(ctx, m)
		if err == nil {
			kept++
		}
		return err
	}
	var err error
	for err == nil && kept < 200 {
		err = publish()
	}
	t.Logf("%d events, then: %v", kept, err)
	if !errors.Is(err, bus.ErrFull) {
		t.Errorf("a full disk: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if err = publish(); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("with room again: %v", err)
		}
	}
	got := 0
	err = b.Read(t.Context(), nil, bus.From{All: true}, false, func(m bus.Stored) error {
		if want := fmt.Sprint(got, "\n"); string(m.Data[:len(want)]) != want {
			return fmt.Errorf("event %d begins with %q", got, m.Data[:8])
		}
		got++
		return nil
	})
	if err != nil || got != kept {
		t.Errorf("%d of %d events are there: %v", got, kept, err)
	}
}
