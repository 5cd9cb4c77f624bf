package scenarios_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openfunction/ofn/test/cluster/internal/image"
)

// languages are tools of this machine beside Go, for the builder image: Python and Node.js, where the distribution's packages are here.
// Functions of other languages are not built on the cluster.
func languages(t *testing.T) []image.File {
	var all []image.File
	seen := map[string]bool{}
	add := func(files []image.File, err error) {
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if !seen[f.Path] {
				seen[f.Path] = true
				all = append(all, f)
			}
		}
	}
	with := func(program string, trees ...string) bool {
		if _, err := os.Stat(program); err != nil {
			return false
		}
		add(image.Machine(program))
		for _, tree := range trees {
			add(image.Tree(tree, needed))
			objects, err := filepath.Glob(filepath.Join(tree, "lib-dynload", "*.so"))
			if err != nil {
				t.Fatal(err)
			}
			add(image.Machine(objects...))
		}
		return true
	}
	if out, err := exec.Command("/usr/bin/python3", "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))").Output(); err == nil {
		with("/usr/bin/python3", strings.TrimSpace(string(out)))
	}
	const npm = "/usr/lib/node_modules/npm"
	if with("/usr/bin/node") {
		if _, err := os.Stat(npm); err == nil {
			add(image.Tree(npm, needed))
			// npm looks for itself beside the file that is started, so a link would have to be one.
			start := filepath.Join(t.TempDir(), "npm")
			if err := os.WriteFile(start, []byte("#!/bin/sh\nexec /usr/bin/node "+npm+"/bin/npm-cli.js \"$@\"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			add([]image.File{{Path: "/usr/bin/npm", Source: start}}, nil)
		}
	}
	return all
}

// needed leaves out what no build reads.
func needed(path string, folder bool) bool {
	base := filepath.Base(path)
	return !(folder && (base == "__pycache__" || base == "test" || base == "tests" || base == "dist-packages" || base == "docs" || base == "man"))
}
