package embedded_test

import (
	"encoding/json"
	"testing"

	"github.com/openfunction/ofn/internal/event"
)

// A source whose events go nowhere would acknowledge what nobody has.
func TestSourceWithoutGoal(t *testing.T) {
	w := start(t, nil)
	defer w.close(t)
	if err := w.ApplySource(t.Context(), event.Source{Name: name, Event: "ev", Kind: "feed", Spec: json.RawMessage(`{}`)}); err == nil {
		t.Fatal("it was taken")
	}
}
