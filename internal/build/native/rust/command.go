package rust

import (
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// releaseDir is where cargo leaves programs, and so where commands look for them.
const releaseDir = "target/release"

// commandProgram is the program of a package that a command most likely starts: that of FUNC_NAME, that which the command names, or the first.
func commandProgram(e lang.Env, programs []string) string {
	for _, name := range []string{e.Name, path.Base(commandWord(e.Command))} {
		if slices.Contains(programs, name) {
			return name
		}
	}
	return programs[0]
}

// commandWord is the first word of a command that is no assignment.
func commandWord(command string) string {
	for word := range strings.FieldsSeq(command) {
		if word != "exec" && (!strings.Contains(word, "=") || strings.Contains(word, "/")) {
			return word
		}
	}
	return ""
}

// commanded lays the programs where a command looks for them: where cargo leaves them, under bin, and at the path that the command begins with when
// the source has no such file. It also names the files other than that of the program itself.
func commanded(j *job) (build.Layer, []string, error) {
	if len(j.plan.programs) == 0 { // one that was rendered, or the only file
		name := strings.TrimSuffix(path.Base(j.plan.file), ".rs")
		return links(j, name, imageProgram), nil, nil
	}
	dir, err := j.Fresh()
	if err != nil {
		return nil, nil, err
	}
	l := build.Layer{{Path: path.Join(lang.SourceDir, "target"), Mode: fs.ModeDir | 0o755}, {Path: path.Join(lang.SourceDir, releaseDir), Mode: fs.ModeDir | 0o755}}
	var others []string
	for _, name := range j.plan.programs {
		at := path.Join(lang.SourceDir, releaseDir, name)
		if name == j.plan.program {
			l = append(l, build.Entry{Path: at, Mode: fs.ModeSymlink | 0o777, Link: upTo(releaseDir+"/"+name) + imageProgram})
		} else {
			file := filepath.Join(dir, name)
			if err := take(j, path.Join(j.triple, "release", name), file); err != nil {
				return nil, nil, err
			}
			others = append(others, file)
			l = append(l, build.Entry{Path: at, Mode: 0o755, File: file})
		}
		l = append(l, links(j, name, at)...)
	}
	return l, others, nil
}

// links lead to a program from bin, and from the path that the command begins with.
func links(j *job, name, target string) build.Layer {
	paths := []string{"bin/" + name}
	word := commandWord(j.Env.Command)
	clean := path.Clean(word)
	own := strings.Contains(word, "/") && !path.IsAbs(clean) && !strings.HasPrefix(clean, "../")
	if own && path.Base(clean) == name && clean != paths[0] && path.Dir(clean) != releaseDir {
		paths = append(paths, clean)
	}
	var l build.Layer
	for _, p := range paths {
		if j.Tree.Has(path.Join(j.Tree.Sub, p)) {
			continue
		}
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			l = append(build.Layer{{Path: path.Join(lang.SourceDir, dir), Mode: fs.ModeDir | 0o755}}, l...)
		}
		l = append(l, build.Entry{Path: path.Join(lang.SourceDir, p), Mode: fs.ModeSymlink | 0o777, Link: upTo(p) + target})
	}
	return l
}

// upTo leads from a file of the source to the root of the image.
func upTo(p string) string { return strings.Repeat("../", strings.Count(p, "/")+1) }
