package s3

import (
	"testing"
	"time"

	"github.com/openfunction/ofn/internal/event/source"
)

// What was told of is forgotten in time by sources that list nothing, too: there is no end of objects that come and go.
func TestObjectsAreForgotten(t *testing.T) {
	now := time.Now()
	b := &bucket{spec: spec{Events: []string{"s3:ObjectRemoved:*"}}, at: place{now}, recent: map[string]time.Time{"old": now.Add(-time.Minute), "new": now}}
	if err := b.list(t.Context(), nil, source.Out{}, false); err != nil {
		t.Fatal(err)
	}
	if len(b.recent) != 1 || b.recent["new"] != now {
		t.Errorf("it remembers %v", b.recent)
	}
}
