// Package embedded reads the source of frameworks that is compiled into this program.
package embedded

import (
	"io/fs"
	"strings"
)

// Files are those at and below dir of a compiled-in file system, "." for all: text by the slash-separated path from dir.
func Files(source fs.ReadFileFS, dir string) map[string][]byte {
	files := map[string][]byte{}
	// The file system is compiled in, so reading it cannot fail.
	_ = fs.WalkDir(source, dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files[strings.TrimPrefix(name, dir+"/")], err = source.ReadFile(name)
		}
		return err
	})
	return files
}
