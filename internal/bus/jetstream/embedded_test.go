package jetstream

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/openfunction/ofn/internal/bus"
)

func TestEmbeddedKeepsWhatItTook(t *testing.T) {
	dir := t.TempDir()
	e := NewEmbedded(EmbeddedOptions{Dir: filepath.Join(dir, "events")})
	if e.Exists() {
		t.Fatal("something exists before anything was done")
	}
	js, err := e.JetStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s.a", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("closing took %s", d)
	}
	if _, err := e.Conn(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}

	e = NewEmbedded(EmbeddedOptions{Dir: filepath.Join(dir, "events")})
	defer e.Close()
	if !e.Exists() {
		t.Error("nothing exists after a publish")
	}
	if js, err = e.JetStream(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := s.GetMsg(t.Context(), 1); err != nil || string(m.Data) != "kept" {
		t.Errorf("after a restart: %v %v", m, err)
	}
}

func TestEmbeddedListensNowhere(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{Dir: t.TempDir()})
	defer e.Close()
	nc, err := e.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if addr := e.running.Load().Addr(); addr != nil {
		t.Errorf("listens on %s", addr)
	}
	if got := nc.MaxPayload(); got != 8<<20 {
		t.Errorf("largest message is %d", got)
	}
}

func TestEmbeddedTellsOfDamage(t *testing.T) {
	dir := t.TempDir()
	e := NewEmbedded(EmbeddedOptions{Dir: dir})
	js, err := e.JetStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s.a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	e.Close()
	if err := os.WriteFile(filepath.Join(e.streams(), "S", "meta.inf"), []byte("{nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	e = NewEmbedded(EmbeddedOptions{Dir: dir})
	defer e.Close()
	err = e.Open(t.Context())
	if err == nil || !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), filepath.Join("streams", "S")) {
		t.Fatalf("a damaged stream: %v", err)
	}
	// What a start that was cut short left over is no damage.
	if err := os.RemoveAll(filepath.Join(e.streams(), "S", "msgs")); err != nil {
		t.Fatal(err)
	}
	if err := e.Open(t.Context()); err != nil {
		t.Errorf("remains without events: %v", err)
	}
}

func TestEmbeddedRefusesWithoutRoom(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{Dir: t.TempDir(), Reserve: 1 << 60})
	defer e.Close()
	if err := e.Open(t.Context()); !errors.Is(err, bus.ErrFull) {
		t.Errorf("with no room: %v", err)
	}
}

func TestEmbeddedHealsAndKeepsItsConnection(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{Dir: t.TempDir()})
	defer e.Close()
	nc, err := e.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := e.running.Load()
	if err := e.heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e.running.Load() == before {
		t.Fatal("the server was not started anew")
	}
	for deadline := time.Now().Add(time.Minute); ; { // what was asked before the client noticed is lost
		_, err := nc.Request("$JS.API.INFO", nil, time.Second)
		if err == nil || errors.Is(err, nats.ErrNoResponders) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	js, _ := e.JetStream(t.Context())
	if _, err := js.AccountInfo(t.Context()); err != nil {
		t.Errorf("after healing: %v", err)
	}
}

// Reading what is kept takes its time: the server that could write no more is replaced by one that can, whoever waits for it and however
// long, and once for all who met the failure.
func TestEmbeddedHealsOnceAndInTheEnd(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{Dir: t.TempDir()})
	defer e.Close()
	if err := e.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	met := e.failure()
	met.set(errors.New("no space"))
	late, cancel := context.WithTimeout(t.Context(), 0) // it is over when the server has started
	defer cancel()
	if err := e.replace(late, met); err != nil {
		t.Errorf("the server has started, and is said not to have: %v", err)
	}
	healed := e.running.Load()
	if why := e.failure().why(); why != nil {
		t.Errorf("it would be started anew, without end: %v", why)
	}
	e.mu.Lock()
	e.healed = time.Time{} // as if the start had taken long
	e.mu.Unlock()
	if err := e.replace(t.Context(), met); err != nil || e.running.Load() != healed {
		t.Errorf("it was started anew by another who met the same failure (%v)", err)
	}
}
