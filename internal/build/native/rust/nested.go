package rust

import (
	"path"
	"strings"

	"github.com/openfunction/ofn/internal/build/native/lang"
)

// nested is the one directory of a source that has a Cargo.toml, one level down, where the source itself has nothing to build: such a
// source was made to be built with its Dockerfile. It is empty when there is none.
func nested(t *lang.Tree) string {
	found := ""
	for _, f := range t.Files {
		rel, in := lang.Below(t.Sub, f.Path)
		if !in {
			continue
		}
		dir, name := path.Split(rel)
		switch {
		case dir == "" && !aside(name):
			return ""
		case name == "Cargo.toml" && strings.Count(dir, "/") == 1:
			if found != "" {
				return ""
			}
			found = path.Join(t.Sub, dir)
		}
	}
	return found
}

// aside is whether a file says nothing about how a source is built.
func aside(name string) bool {
	word, _, _ := strings.Cut(name, ".")
	switch word {
	case "", "LICENSE", "NOTICE", "README", "Dockerfile", "Makefile":
		return true
	}
	switch path.Ext(name) {
	case ".md", ".yaml", ".yml":
		return true
	}
	return false
}
