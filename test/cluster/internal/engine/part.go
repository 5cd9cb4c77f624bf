package engine

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Part says which files of one folder a program is compiled with. What registers itself by being there, and brings a library each
// time, is left out with its file.
type Part struct {
	Folder string   // below the module
	Files  []string // that stay, without .go
}

// copyPart copies to dir what of a module its programs are made of: no tests, no documents, of the part's folder its files alone.
func copyPart(dir, module string, part Part) error {
	return filepath.WalkDir(module, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(module, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipped := []string{"tests", "docs", "charts", "img", "grafana"}; slices.Contains(skipped, name) {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(dir, name), 0o755)
		}
		if strings.HasSuffix(name, "_test.go") || filepath.Dir(name) == part.Folder && !slices.Contains(part.Files, strings.TrimSuffix(d.Name(), ".go")) {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("copying %s: %w", name, err)
		}
		return os.WriteFile(filepath.Join(dir, name), content, 0o600)
	})
}
