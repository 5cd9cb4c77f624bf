package scenarios_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/openfunction/ofn/test/cluster/internal/image"
)

// missing are programs that the builder image does not have, and that scripts are not to find either, so that what needs them skips. Python is
// among them because its functions want packages of its index, and nothing is fetched on the test cluster.
func missing() []string {
	return []string{"python3", "java", "javac", "jlink", "mvn", "gradle", "cargo", "rustc", "clang"}
}

const (
	node = "/usr/bin/node"
	npm  = "/usr/lib/node_modules/npm"
)

// languages are tools of this machine beside Go, for the builder image: those that shell scripts call, and Node.js where the distribution's
// package is here.
func languages(t *testing.T) []image.File {
	var programs []string
	for _, name := range []string{"cat", "cut", "env", "grep", "head", "ls", "sleep", "sort", "tail", "tr", "wc", "yes"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, path)
	}
	if _, err := os.Stat(node); err == nil {
		programs = append(programs, node)
	}
	files, err := image.Machine(programs...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(npm); err != nil {
		return files
	}
	more, err := image.Tree(npm, func(path string, folder bool) bool {
		return !folder || !slices.Contains([]string{"docs", "man", "test"}, filepath.Base(path))
	})
	if err != nil {
		t.Fatal(err)
	}
	// npm looks for itself beside the file that is started, so a link would have to be one.
	start := filepath.Join(t.TempDir(), "npm")
	if err := os.WriteFile(start, []byte("#!/bin/sh\nexec "+node+" "+npm+"/bin/npm-cli.js \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return append(append(files, more...), image.File{Path: "/usr/bin/npm", Source: start})
}
