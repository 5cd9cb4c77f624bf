package node_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/openfunction/ofn/test/cluster/internal/node"
)

func TestNewDirRefusesHiddenTrees(t *testing.T) {
	for path, good := range map[string]bool{"/var/lib/a": false, "/run": false, "/var/library": true, "a": true} {
		if _, err := node.NewDir(path); (err == nil) != good {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestDownWithoutAClusterLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	d, err := node.NewDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := node.Down(d); err != nil {
			t.Error(err)
		}
	}
	if _, err := node.Inside(t.Context(), d, "true"); err == nil {
		t.Error("a command ran inside a cluster that does not exist")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is left: %v", err)
	}
}
