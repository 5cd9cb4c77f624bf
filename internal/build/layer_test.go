package build

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A build of a user may have replaced a file, or a directory above it, by a link to a file of this machine.
func TestLayerFollowsNoLinks(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"real", "other"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, d, "file"), []byte(d), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"real/link": "../other/file", "away": "other"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for file, ok := range map[string]bool{"real/file": true, "real/link": false, "away/file": false} {
		err := Layer{{Path: "x", Mode: 0o644, File: filepath.Join(dir, file)}}.WriteTar(io.Discard)
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "link") {
			t.Errorf("%s: got %v", file, err)
		}
	}
}
