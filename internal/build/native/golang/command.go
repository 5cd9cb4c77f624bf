package golang

import (
	"io/fs"
	"path"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// commanded lays links to the compiled program where a command looks for it: under bin, by the name of its package, as other builders
// do, and at the path that the command begins with when the source has no such file.
func commanded(j *lang.Job, importPath string) []build.Layer {
	if j.Env.Command == "" {
		return nil
	}
	names := []string{"bin/" + programName(importPath)}
	for word := range strings.FieldsSeq(j.Env.Command) {
		if strings.Contains(word, "=") || word == "exec" {
			continue
		}
		name := path.Clean(word)
		if !strings.Contains(word, "/") {
			name = "bin/" + word
		}
		dir, in := path.Split(name)
		if own := dir == "bin/" || dir == "" && in != ".."; own && name != names[0] && (in == programName(importPath) || strings.Contains(word, "/")) && !j.Tree.Has(path.Join(j.Tree.Sub, name)) {
			names = append(names, name)
		}
		break
	}
	var l build.Layer
	for _, name := range names {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			l = append(build.Layer{{Path: path.Join(lang.SourceDir, dir), Mode: fs.ModeDir | 0o755}}, l...)
		}
		l = append(l, build.Entry{Path: path.Join(lang.SourceDir, name), Mode: fs.ModeSymlink | 0o777, Link: strings.Repeat("../", strings.Count(name, "/")+1) + lang.AppDir + "/function"})
	}
	return []build.Layer{l}
}

// programName is what the go command calls the program of a package.
func programName(importPath string) string {
	name := path.Base(importPath)
	if len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" {
		name = path.Base(path.Dir(importPath))
	}
	return name
}
