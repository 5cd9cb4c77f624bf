package native

import (
	"slices"
	"strings"

	"github.com/openfunction/ofn/internal/build"
	"github.com/openfunction/ofn/internal/build/native/lang"
)

// local is how a program runs on this machine: as its language says, else by its entrypoint when that is one of its own files. It is
// nil when neither is so.
func local(j *lang.Job, p lang.Program) *build.Local {
	if p.Bare {
		return nil
	}
	layers := slices.Clone(p.Layers)
	src := j.Tree.Layer(lang.SourceDir, j.Replaced)
	if p.SourceNeeded || p.Local == nil && holds([]build.Layer{src}, p.Entrypoint) {
		layers = append(layers, src)
	}
	l := &build.Local{Layers: append(layers, p.Above...), ListenFD: p.ListenFD}
	if p.Local != nil {
		l.Args, l.Env, l.Dir, l.Links = p.Local.Args, p.Local.Env, p.Local.Dir, p.Local.Links
		return l
	}
	if !holds(l.Layers, p.Entrypoint) {
		return nil
	}
	for _, arg := range p.Entrypoint {
		l.Args = append(l.Args, translated(arg))
	}
	for _, e := range p.Env {
		if k, v, _ := strings.Cut(e, "="); strings.HasPrefix(k, "FUNC") { // the rest describes the image's own file system
			l.Env = append(l.Env, k+"="+translated(v))
		}
	}
	if p.Dir != "" {
		l.Dir = translated(p.Dir)
	}
	return l
}

// translated leads a path inside an image to where its files lie.
func translated(s string) string {
	for _, dir := range []string{lang.AppDir, lang.SourceDir} {
		if s == "/"+dir || strings.HasPrefix(s, "/"+dir+"/") {
			return build.LocalRoot + s
		}
	}
	return s
}

// holds tells whether the program of an entrypoint is a file of the layers.
func holds(layers []build.Layer, entrypoint []string) bool {
	return len(entrypoint) > 0 && slices.ContainsFunc(layers, func(l build.Layer) bool {
		return slices.ContainsFunc(l, func(e build.Entry) bool {
			return "/"+e.Path == entrypoint[0] && e.Mode.IsRegular()
		})
	})
}
