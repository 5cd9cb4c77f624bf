package calls_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/bus/jetstream"
	"github.com/openfunction/ofn/internal/calls"
)

type answering func(*http.Request) (*http.Response, error)

func (f answering) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// On a disk that fills up calls are refused, none that was accepted is lost, and it goes on when there is room again.
func TestDiskFull(t *testing.T) {
	if testing.Short() {
		t.Skip("a write to a full disk takes ten seconds to fail")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=48m"); err != nil {
		t.Skipf("a small disk needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	store := jetstream.NewEmbedded(jetstream.EmbeddedOptions{Dir: filepath.Join(dir, "store"), Reserve: 8 << 20})
	defer store.Close()
	js, err := store.JetStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	c, err := calls.Open(t.Context(), calls.Options{JetStream: js, Room: store.Room, Mend: store.Heal, HostOf: func(n calls.Name) string { return n.Name },
		Transport: answering(func(*http.Request) (*http.Response, error) {
			<-gate
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		})})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	call := calls.Call{Function: calls.Name{Namespace: "ns", Name: "f"}, Host: "f", Method: "POST", Path: "/", Body: make([]byte, 1<<20)}
	var ids []string
	for range 100 {
		a, err := c.Accept(t.Context(), call)
		if errors.Is(err, calls.ErrUnavailable) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, a.ID)
	}
	if len(ids) < 5 || len(ids) > 48 {
		t.Fatalf("%d calls of 1 MiB were accepted on a disk of 48 MiB", len(ids))
	}
	// The rest is taken by somebody else, so that not even a record can be written.
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for piece := make([]byte, 64<<10); ; {
		if _, err := f.Write(piece); err != nil {
			break
		}
	}
	f.Close()
	close(gate)
	if _, err := c.Accept(t.Context(), call); !errors.Is(err, calls.ErrUnavailable) {
		t.Errorf("on a full disk: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, id := range ids {
		if err := c.Wait(ctx, id); err != nil {
			t.Fatalf("call %s does not end: %v", id, err)
		}
		if r, err := c.Get(ctx, id); err != nil || r.State != calls.Succeeded {
			t.Fatalf("%+v %v", r, err)
		}
	}
	for store.Room() != nil && ctx.Err() == nil { // requests of calls that succeeded go
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := c.Accept(ctx, call); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
}
