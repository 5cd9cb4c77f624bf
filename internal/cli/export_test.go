package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is wrong is said before anything is asked or written.
func TestExportRefuses(t *testing.T) {
	f := newFakeAPI(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"export": "--all",
		"export --all --registry https://r.example/x":  "without a scheme",
		"export --all --registry UPPER/x":              "HOST/PREFIX",
		"export --all --to " + file:                    "is a file",
		"export --all --images":                        "--to",
		"export --all --target moon":                   "cluster or machine",
		"export nosuch --to " + filepath.Dir(file):     `no function "nosuch"`,
		"export --all --target machine --registry r/x": "ofn import",
	} {
		if _, _, err := f.run(t, strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
	f.version = "v1.33.0"
	if _, _, err := f.run(t, "import", filepath.Dir(file)); err == nil || !strings.Contains(err.Error(), "ofn export --registry") {
		t.Errorf("import on a cluster: %v", err)
	}
	if _, _, err := f.run(t, "invoke", "x", "--async"); err == nil {
		t.Error("an asynchronous call on a cluster")
	}
}
