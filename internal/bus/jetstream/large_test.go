package jetstream

import (
	"errors"
	"strings"
	"testing"

	"github.com/openfunction/ofn/internal/bus"
)

// A header that the server never takes must not be tried again for ever.
func TestHeaderThatIsTooLarge(t *testing.T) {
	e := NewEmbedded(EmbeddedOptions{Dir: t.TempDir()})
	defer e.Close()
	b := New(e, Options{Name: "ns/b"})
	defer b.Close()
	_, err := b.Publish(t.Context(), bus.Message{Topic: "t", Header: map[string]string{"ce-subject": strings.Repeat("x", 70_000)}})
	if !errors.Is(err, bus.ErrTooLarge) {
		t.Fatalf("%v, want ErrTooLarge", err)
	}
	if _, err := b.Publish(t.Context(), bus.Message{Topic: "t"}); err != nil {
		t.Fatal(err)
	}
}
